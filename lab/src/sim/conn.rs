//! A client's connection to the server: two pipes, and what each end knows of the other.

use bytes::Bytes;
use holler_core::engine::LinkNo;
use holler_core::units::Mono;

use crate::chance::Chance;
use crate::link::{Pipe, Profile};

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Wire {
    Text(String),
    Binary(Bytes),
    /// A close frame, or the end of the stream.
    Close(Option<u16>),
}

impl Wire {
    pub(super) fn bytes(&self) -> usize {
        // A WebSocket frame and a TLS record around each.
        40 + match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Close(_) => 4,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) client: usize,
    /// Of which of the client's lives.
    pub(super) life: u32,
    pub(super) link: LinkNo,
    pub(super) up: Pipe<Wire>,
    pub(super) down: Pipe<Wire>,
    /// Whether the client's end is there.
    pub(super) client_open: bool,
    /// Whether the client was welcomed on it.
    pub(super) welcomed: bool,
    /// The server's socket at the other end; `None`: it is gone.
    pub(super) socket: Option<u64>,
    /// Nothing passes in either direction any more, and neither end is told.
    pub(super) half_open: bool,
    /// The client takes nothing until then.
    pub(super) lazy_until: Mono,
}

impl Conn {
    pub(super) fn new(
        client: usize,
        life: u32,
        link: LinkNo,
        socket: u64,
        up: Profile,
        down: Profile,
        chance: &mut Chance,
    ) -> Self {
        Self {
            client,
            life,
            link,
            up: Pipe::new(up, chance.fork()),
            down: Pipe::new(down, chance.fork()),
            client_open: true,
            welcomed: false,
            socket: Some(socket),
            half_open: false,
            lazy_until: Mono::default(),
        }
    }

    pub(super) fn cut(&mut self, now: Mono) {
        self.up.cut(now);
        self.down.cut(now);
    }

    pub(super) fn heal(&mut self, now: Mono) {
        if !self.half_open {
            self.up.heal(now);
            self.down.heal(now);
        }
    }

    /// Whether nobody needs it any more.
    pub(super) fn is_over(&self) -> bool {
        !self.client_open && self.socket.is_none()
    }
}
