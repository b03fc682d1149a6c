//! How often a connection on which nothing happens gives a sign of life.

use core::time::Duration;

use super::super::Cx;
use super::Link;
use crate::units::Mono;

/// How often to give a sign of life while nothing else is sent.
///
/// A phone's radio works for some ten seconds after each. So a device that was put away doubles the wait with every ping that was
/// answered while nothing else happened, and begins anew as soon as somebody talks, writes or presses a button. Where a
/// connection had died in such a wait, the table of some network box in between was shorter: half of it is the longest from
/// then on, until the network is another.
#[derive(Debug)]
pub(super) struct Rhythm {
    /// The device was put away.
    pub(super) idle: bool,
    /// Other devices are silent because this one plays: who waits for its signs of life should not wait for long.
    pub(super) relied_on: bool,
    /// As the server wants it.
    pub(super) usual: Duration,
    pub(super) now: Duration,
    pub(super) longest: Duration,
}

impl Rhythm {
    pub(super) fn begin(&mut self) {
        self.now = self.usual;
    }

    /// Whether the waits may grow.
    pub(super) fn is_idle(&self) -> bool {
        self.idle && !self.relied_on
    }

    pub(super) fn answered(&mut self) {
        if self.is_idle() {
            self.now = (self.now * 2).min(self.longest).max(self.usual);
        }
    }

    pub(super) fn died(&mut self) {
        if self.now > self.usual {
            self.longest = (self.now / 2).max(self.usual);
        }
        self.begin();
    }
}

impl Link {
    /// The device was put away, or taken up again.
    pub(in super::super) fn set_idle(&mut self, now: Mono, idle: bool) {
        self.rhythm.idle = idle;
        if !idle {
            self.note_active(now);
        }
    }

    /// Whether the device was put away.
    pub(in super::super) fn is_put_away(&self) -> bool {
        self.rhythm.idle
    }

    /// Whether other devices of the same person rely on this one's being heard from.
    pub(in super::super) fn set_relied_on(&mut self, cx: &mut Cx<'_>, relied_on: bool) {
        if relied_on && !self.rhythm.relied_on {
            self.rhythm.begin();
            if self.promised > self.rhythm.usual {
                self.rhythm.relied_on = true;
                self.send_ping(cx);
            }
        }
        self.rhythm.relied_on = relied_on;
    }
}

/// A `ping` that waits for its `pong`.
#[derive(Debug)]
pub(super) struct Ping {
    pub(super) nonce: u32,
    pub(super) sent: Mono,
    /// Nothing else had happened since the ping before.
    pub(super) quiet: bool,
}
