//! Holler's native client shell: sockets, storage, Opus and sound devices around the engine of `holler-core`.

pub mod audio;
pub mod clock;
