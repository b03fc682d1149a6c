//! One socket's session on the server, without the socket.
//!
//! Two machines, because the two directions live in different tasks of the shell:
//!
//! - [`Inbound`] judges what the client sends: authentication first and in time, readable and within its bounds, not too
//!   fast, not silent for too long.
//! - [`Outbox`] decides what is sent next, and what is given up when the client takes less than there is to send. Live voice
//!   goes first; stale and surplus voice is dropped first, for a listener can fetch it later; states are coalesced; events
//!   that find no room stay in the room's log and are read from there once the queue has drained. So the memory of a slow
//!   reader is bounded and nothing is lost to it.
//!
//! ```text
//!   socket ─▶ Inbound ─▶ shell (auth, home, store)
//!   socket ◀─ Outbox  ◀─ shell (answers, fan-out)  ◀─ Fetch: pages of the log
//! ```

mod inbound;
mod outbox;

pub use inbound::{Inbound, Received};
pub use outbox::{Coalesce, Dropped, Next, Outbox};
