//! The screens, each made of [`crate::parts`].

mod entered;
mod home;
mod quality;
mod queue;
mod settings;
mod sign_in;

pub use entered::Entered;
pub use home::Home;
pub use quality::Quality;
pub use queue::Queue;
pub use settings::Settings;
pub use sign_in::SignIn;
