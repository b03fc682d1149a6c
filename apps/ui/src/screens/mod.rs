//! The screens, each made of [`crate::parts`].

mod home;
mod sign_in;

pub use home::Home;
pub use sign_in::SignIn;
