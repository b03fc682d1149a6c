//! What both ends of a path, and those who use one, speak of.

use core::time::Duration;

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It probes.
    Client,
    /// It answers.
    Server,
}

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By datagram, with this counter: send what was written out.
    Datagram(u32),
    /// The same, and the frame over the socket as well.
    Both(u32),
    /// Over the socket.
    Socket,
}

/// A path in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFigures {
    /// Whether it carries voice.
    pub up: bool,
    /// The round trip on it, smoothed; a client's only.
    pub rtt: Option<Duration>,
    /// Loss on the way to the other end, in thousandths.
    pub loss_sent: u16,
    /// Loss on the way here, in thousandths.
    pub loss_received: u16,
    /// How many earlier frames each datagram repeats.
    pub copies: usize,
}
