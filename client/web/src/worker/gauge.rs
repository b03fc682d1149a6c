//! Counts at every stage of a burst that is recorded, so that what is lost shows where; and tells the page how it goes.

use core::cell::Cell;
use core::time::Duration;

use holler_core::engine::SpokenFigures;
use holler_core::units::{BurstId, Mono};
use js_sys::Reflect;
use wasm_bindgen::JsValue;

use super::clock;
use super::sound::Sound;
use crate::message::ToPage;

/// How often the page is told while it watches.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What was counted of the burst that is recorded, or was recorded last.
#[derive(Default)]
pub(super) struct Gauge {
    spoken: Cell<Option<SpokenFigures>>,
    burst: Cell<Option<BurstId>>,
    key_down: Cell<Option<Mono>>,
    watched: Cell<bool>,
}

impl Gauge {
    /// A burst begins to be recorded.
    pub(super) fn begin(&self, burst: BurstId) {
        self.burst.set(Some(burst));
        self.spoken.set(Some(SpokenFigures::default()));
    }

    /// The encoder gave a packet, after so long; of a burst before, it does not count here.
    pub(super) fn packet(&self, burst: BurstId, took: Duration) {
        if self.burst.get() == Some(burst) {
            self.count(|spoken| {
                spoken.packets += 1;
                spoken.encode = took;
            });
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut SpokenFigures)) {
        if let Some(mut spoken) = self.spoken.get() {
            count(&mut spoken);
            self.spoken.set(Some(spoken));
        }
    }

    /// What the sound thread counted.
    pub(super) fn thread(&self, counts: &JsValue) {
        let field = |name: &str| {
            let value = Reflect::get(counts, &name.into()).ok().and_then(|value| value.as_f64()).unwrap_or(0.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count below 2^53")]
            let count = value as u64;
            count
        };
        self.count(|spoken| {
            (spoken.samples, spoken.skipped, spoken.silent) = (field("samples"), field("skipped"), field("silent"));
        });
    }
}

impl Sound {
    /// The button went down.
    pub(super) fn key_down(&self) {
        self.gauge.key_down.set(Some(clock::now()));
    }

    /// A live frame was given to the network, after so long in its queue.
    pub(super) fn sent(&self, queued: Duration) {
        let first = self.gauge.key_down.take().map(|down| clock::now().since(down));
        self.gauge.count(|spoken| {
            // Over a path in doubt a frame goes both ways; it counts once.
            spoken.sent = spoken.sent.saturating_add(1).min(spoken.packets);
            spoken.queue = queued;
            spoken.first_sent = spoken.first_sent.or(first);
        });
    }

    /// Live frames were not sent.
    pub(super) fn dropped(&self, frames: u32) {
        self.gauge.count(|spoken| spoken.stale = spoken.stale.saturating_add(frames));
    }

    /// Whether the page is told how it goes.
    pub(super) fn watch(&self, on: bool) {
        self.gauge.watched.set(on);
        self.tell_quality();
    }

    /// Tells the page how it goes, now and while it watches.
    pub(super) fn tell_quality(&self) {
        if let Some(shell) = self.shell.upgrade() {
            let (spoken, path) = (self.gauge.spoken.get(), shell.path_loss());
            shell.tell(&ToPage::Quality { spoken, heard: shell.heard(), path });
        }
        self.look.set(self.gauge.watched.get().then_some(TELL_EVERY));
    }
}
