//! The components that the screens are made of.

pub(crate) mod hearing;
mod icon;
mod lines;
mod people;
mod talk;
mod timeline;
mod trial;

pub use hearing::{MuteRoom, PersonVolume, RoomVolume};
pub use icon::{Icon, IconName, Logo};
pub use lines::{Banner, BannerKind, Faults, LinkLine, LiveRegion, RoomRow};
pub use people::People;
pub use talk::TalkPanel;
pub use timeline::{Composer, Timeline};
pub use trial::TryMicrophone;
