//! The components that the screens are made of.

mod icon;
mod lines;
mod people;
mod talk;
mod timeline;

pub use icon::{Icon, IconName, Logo};
pub use lines::{Banner, BannerKind, Faults, LinkLine, LiveRegion, RoomRow};
pub use people::People;
pub use talk::TalkPanel;
pub use timeline::{Composer, Timeline};
