//! When to fetch the roster: the people and rooms that this person sees, of which the shell keeps a copy.
//!
//! Once after each connection, as changes may have been missed, and whenever the server says that something changed. The server
//! tells everybody in the same instant, so that each waits for a time that is drawn.

use core::time::Duration;

use super::Cx;
use super::notice::Notice;
use super::ports::{FetchError, Output};
use crate::units::Mono;

/// Within this time of a change the roster is fetched, half of it to the whole: a thousand clients must not ask at once.
const SPREAD: Duration = Duration::from_secs(4);
/// The same after a connection was made: names are wanted, and connections are spread themselves.
const SPREAD_UP: Duration = Duration::from_millis(500);
/// How long to wait before a fetch that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// The part of the engine that keeps the roster fresh.
#[derive(Debug, Default)]
pub(super) struct Roster {
    kept: bool,
    at: Option<Mono>,
    in_flight: bool,
}

impl Roster {
    /// The program around the client wants the roster.
    pub(super) fn keep(&mut self, cx: &mut Cx<'_>) {
        self.kept = true;
        if cx.session.is_some() {
            self.link_up(cx);
        }
    }

    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>) {
        if self.kept {
            self.at = Some(cx.now + cx.chance.spread(SPREAD_UP));
        }
    }

    pub(super) fn link_down(&mut self) {
        self.at = None;
    }

    /// The server says that something changed.
    pub(super) fn changed(&mut self, cx: &mut Cx<'_>) {
        if self.kept && self.at.is_none() {
            self.at = Some(cx.now + cx.chance.spread(SPREAD));
        }
    }

    /// The answer to [`Output::FetchRoster`].
    pub(super) fn fetched(&mut self, cx: &mut Cx<'_>, answer: Result<(), FetchError>) {
        self.in_flight = false;
        match answer {
            Ok(()) => cx.notice(Notice::Roster),
            Err(FetchError::Later(_)) if cx.session.is_some() => {
                self.at = self.at.or(Some(cx.now + cx.chance.spread(RETRY)));
            }
            Err(FetchError::After(wait, _)) if cx.session.is_some() => {
                self.at = self.at.or(Some(cx.now + wait + cx.chance.spread(RETRY)));
            }
            Err(FetchError::Later(_) | FetchError::After(..)) => {}
            Err(FetchError::Never(detail)) => {
                self.kept = false;
                cx.notice(Notice::Fault { detail: format!("the roster can't be fetched: {detail}") });
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.at.filter(|_| !self.in_flight)
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.poll_timeout().is_some_and(|at| cx.now >= at) {
            self.at = None;
            self.in_flight = true;
            cx.push(Output::FetchRoster);
        }
    }
}
