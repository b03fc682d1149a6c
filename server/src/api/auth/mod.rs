//! Sign-in and what follows from it.

pub mod refresh;
pub mod reset;
pub mod sign_in;
pub mod sign_out;
