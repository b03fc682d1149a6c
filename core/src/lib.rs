//! Holler's core: the machines that decide, and the types that travel.
//!
//! Nothing here does I/O, reads a clock or draws a random number. Every machine takes the time and any random bytes as
//! arguments, changes its own state, and gives back what its shell must do. That is what lets one implementation run in
//! the server, in a native client and in a browser, and lets a failure be replayed from its inputs.
//!
//! | module | what it holds |
//! |---|---|
//! | [`units`] | identifiers, sequence numbers, time, bit rates: types that carry their unit |
//! | [`model`] | users, rooms, roles, priorities, scopes and the events of a room's log |
//! | [`wire`] | everything serialised on the network, with its bounds |
//! | [`seal`] | sealing values at rest with a key that the caller brings |
//! | [`floor`] | who may talk: one arbiter per room |
//! | [`burst`] | the frames of one press of the talk button: gaps, digest, repair |
//! | [`log`] | the ordered, durable, idempotent log of a room |
//! | [`session`] | one socket's session on the server: order of messages, cursors, send queue |
//! | [`presence`] | who is here: states with their ages and leases |
//! | [`playing`] | which of one person's devices plays live voice aloud |
//! | [`path`] | voice as datagrams beside the socket: proof, copies, falling back |
//! | [`engine`] | the client: composes the machines above behind ports |
//!
//! The machines (`floor`, `burst`, `log`, `session`, `presence`, `playing`, `path`) do not import each other; `engine` and the server's shells compose
//! them. `./x check layout` enforces it.

pub mod burst;
pub mod engine;
pub mod floor;
pub mod log;
pub mod model;
pub mod path;
pub mod playing;
pub mod presence;
pub mod seal;
pub mod session;
pub mod sorted;
pub mod units;
pub mod wire;
