//! Whether this client plays aloud, or another device of the same person does.
//!
//! A client whose sound a person can hear says so, and when it was used; the server says which of the person's devices plays, the one
//! that was used last. In doubt this one plays: on a connection on which nothing was told, and without one. What a person says on one
//! of their devices is played aloud on none of the others. One that is not to be disturbed keeps no other from playing.

use core::time::Duration;

use super::Cx;
use super::notice::Notice;
use super::ports::Lane;
use crate::units::{DeviceId, Mono};
use crate::wire::limits::{PLAYING_USED, PLAYING_USED_HERE};
use crate::wire::socket::ClientMessage;

#[derive(Debug, Default)]
pub(super) struct Aloud {
    /// A person can hear what is played here.
    on: bool,
    /// But does not want to.
    quiet: bool,
    /// When somebody used this device, as far as that counts.
    used_at: Mono,
    /// When that was last said, on this connection.
    said_at: Option<Mono>,
    /// When to say it again.
    due: Option<Mono>,
    /// Which device plays, and among how many, as told on this connection.
    told: Option<(DeviceId, u32)>,
    /// This one plays, and the last sign of life of the one before it was so long ago.
    takes_over: Option<Duration>,
    /// What the person was told.
    shown: Option<DeviceId>,
}

/// How it stands, for the rest of the engine.
#[derive(Debug)]
pub(super) struct Shown {
    /// A person can hear what is played here.
    pub(super) on: bool,
    /// Another device of theirs plays.
    pub(super) elsewhere: bool,
    /// Others are silent because this one plays.
    pub(super) relied_on: bool,
    /// As this one was just told that it plays: how long ago the last sign of life of the one before it was.
    pub(super) takes_over: Option<Duration>,
}

impl Aloud {
    /// Whether a person can hear what is played here. To begin with is to be used: somebody opened it.
    pub(super) fn set(&mut self, cx: &mut Cx<'_>, on: bool) {
        let plays = self.plays();
        self.on = on;
        self.changed(cx, plays);
    }

    /// Whether the person wants to hear nothing here, but for emergencies. Who changes that uses the device.
    pub(super) fn set_quiet(&mut self, cx: &mut Cx<'_>, quiet: bool) {
        let plays = self.plays();
        self.quiet = quiet;
        self.changed(cx, plays);
    }

    fn plays(&self) -> bool {
        self.on && !self.quiet
    }

    fn changed(&mut self, cx: &mut Cx<'_>, before: bool) {
        if self.plays() == before {
            return;
        }
        self.told = None;
        if self.plays() {
            self.used_at = self.used_at.max(cx.now);
            self.say(cx);
        } else {
            self.due = None;
            cx.send(Lane::Control, &ClientMessage::PlayingStopped {});
        }
    }

    /// Somebody used this device.
    pub(super) fn used(&mut self, cx: &mut Cx<'_>) {
        self.used_at = cx.now;
        if self.plays() && cx.session.is_some() {
            let every = if self.elsewhere(cx).is_some() { PLAYING_USED } else { PLAYING_USED_HERE };
            self.due = Some(self.said_at.map_or(cx.now, |said| said + every));
            self.on_timeout(cx);
        }
    }

    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>) {
        if self.plays() {
            self.say(cx);
        }
    }

    pub(super) fn link_down(&mut self) {
        (self.said_at, self.due, self.told) = (None, None, None);
    }

    /// The server says which device plays, and to that how long ago the last sign of life of the one before it was.
    pub(super) fn told(&mut self, cx: &mut Cx<'_>, device: DeviceId, among: u32, last_sign_ms: Option<u64>) {
        if !self.plays() {
            return;
        }
        self.told = Some((device, among));
        self.takes_over = last_sign_ms.filter(|_| self.elsewhere(cx).is_none()).map(Duration::from_millis);
        // What was not said, as this one played, may be later than what the server goes by.
        if let (Some(due), Some(said)) = (self.due, self.said_at)
            && self.elsewhere(cx).is_some()
        {
            self.due = Some(due.min(said + PLAYING_USED));
            self.on_timeout(cx);
        }
    }

    fn say(&mut self, cx: &mut Cx<'_>) {
        let used_ago_ms = u64::try_from(cx.now.since(self.used_at).as_millis()).unwrap_or(u64::MAX);
        cx.send(Lane::Control, &ClientMessage::PlayingHere { used_ago_ms });
        (self.said_at, self.due) = (Some(cx.now), None);
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.due
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.due.is_some_and(|due| cx.now >= due) {
            self.say(cx);
        }
    }

    /// The other device of this person that plays.
    pub(super) fn elsewhere(&self, cx: &Cx<'_>) -> Option<DeviceId> {
        let (plays, _) = self.told?;
        cx.session.filter(|session| session.device != plays).map(|_| plays)
    }

    /// Tells the person where it plays, where that changed.
    pub(super) fn show(&mut self, cx: &mut Cx<'_>) -> Shown {
        let elsewhere = self.elsewhere(cx);
        if self.shown != elsewhere {
            self.shown = elsewhere;
            cx.notice(Notice::Playing { elsewhere });
        }
        let others = self.told.is_some_and(|(_, among)| among > 1);
        Shown {
            on: self.on,
            elsewhere: elsewhere.is_some(),
            relied_on: others && elsewhere.is_none(),
            takes_over: self.takes_over.take(),
        }
    }
}
