//! The components that the screens are made of.

mod burst;
mod composer;
pub(crate) mod hearing;
mod icon;
mod invite;
mod item;
mod lines;
mod people;
mod queued;
mod talk;
mod timeline;
mod trial;

pub use composer::Composer;
pub use hearing::{MuteRoom, PersonVolume, RoomVolume};
pub use icon::{Icon, IconName, Logo};
pub use invite::Invite;
pub use lines::{Banner, BannerKind, Faults, LinkLine, LiveRegion, RoomRow};
pub use people::People;
pub use queued::{Kept, Queued};
pub use talk::TalkPanel;
pub use timeline::Timeline;
pub use trial::TryMicrophone;
