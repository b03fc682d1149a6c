//! Holler's native client shell: sockets, storage, Opus and sound devices around the engine of `holler-core`.
//!
//! | module | what it does |
//! |---|---|
//! | [`client`] | [`client::Client`]: runs the engine, does its outputs |
//! | [`net`] | the socket: TLS, lanes, close codes |
//! | `path` | the voice path beside the socket: sealed UDP |
//! | [`rest`] | the REST interface, problem documents decoded |
//! | [`trust`] | which certificates are trusted, and what to do where one is not |
//! | [`store`] | the local store: profile, tokens, cursors, own bursts, unsent texts, sealed |
//! | [`sound`] | the seam between engine and sound, and its implementation with [`audio`] |
//! | [`audio`] | files, devices, Opus |
//! | [`clock`] | the only place that reads a clock |

mod account;
pub mod audio;
mod choice;
pub mod client;
pub mod clock;
pub mod join;
pub mod net;
mod path;
mod receipts;
pub mod rest;
pub mod roster;
pub mod sound;
pub mod store;
pub mod trust;
mod watch;
