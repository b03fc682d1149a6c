//! Holler's browser shell: the engine of `holler-core` in a dedicated worker, and the page's share of the work.
//!
//! A page may be busy for a moment, be throttled, or wait for a dialog; speech may not. So the engine, the socket, the codec and
//! every timer live in a worker. The page draws, and holds what browsers give to pages only: the microphone and the sound
//! context. Samples go straight between the sound thread and the worker, over message ports that the page makes and hands out,
//! so that nothing a page does delays them.
//!
//! ```text
//!  page (main thread)                worker                              sound thread
//!  screens ── message::ToWorker ──►  engine, socket, REST, codec  ◄──── samples ────  capture
//!          ◄── message::ToPage ────  sign-in, sealed            ───── samples ────►  playback
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | [`message`] | what page and worker tell each other |
//! | [`lanes`] | what is handed to the socket next |
//! | [`store`] | what is kept over a restart of the browser |
//! | [`volumes`] | how loud rooms and people are |
//! | `worker` | runs the engine: clock, timers, network, codec, sign-in |
//! | `page` | starts the worker, opens the microphone and the loudspeaker |
//!
//! The last two exist for `wasm32` only.

pub mod lanes;
pub mod message;
#[cfg(target_arch = "wasm32")]
pub mod page;
pub mod store;
pub mod volumes;
#[cfg(target_arch = "wasm32")]
pub mod worker;
