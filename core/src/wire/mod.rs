//! Everything that is serialised on the network, with its bounds.
//!
//! [`socket`] holds the control messages of the socket (JSON text), [`voice`] the binary voice frame, [`datagram`] how it travels
//! beside the socket, [`rest`] the bodies of
//! the REST interface, [`presence`] what both tell of people, [`problem`] how errors are told, [`limits`] every bound, [`frames`] the body of a burst's frames over
//! REST. [`json`] reads it all.

mod check;
mod close;
pub mod datagram;
mod floor;
pub mod frames;
pub mod json;
pub mod limits;
pub mod policy;
pub mod presence;
pub mod problem;
pub mod rest;
#[cfg(feature = "sealed-udp")]
pub mod sealed;
pub mod socket;
pub mod voice;
