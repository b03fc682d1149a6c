//! The one place where the worker reads a clock and draws random bytes, and its timers.

use core::cell::Cell;
use core::time::Duration;

use holler_core::units::{Mono, UnixMs};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;

use super::global;

/// Longest wait of a browser's timer: 2³¹ − 1 ms.
const TIMER_MS_MAX: u128 = i32::MAX as u128;

/// Now, µs. It does not run backwards; browsers round it to 5 µs with cross-origin isolation, to 100 µs without.
pub(super) fn now() -> Mono {
    let ms = global().performance().map_or(0.0, |performance| performance.time_origin() + performance.now());
    Mono(whole(ms * 1_000.0))
}

/// The wall clock, for how long a token kept over a restart is valid; nothing is ordered by it.
pub(super) fn wall() -> UnixMs {
    UnixMs(whole(js_sys::Date::now()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates; times are not negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

/// 16 random bytes from the browser.
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // Browsers refuse more than 65,536 bytes at once, and nothing else.
    if let Ok(crypto) = global().crypto() {
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    bytes
}

/// One wait, always for the same work; set anew, it forgets the wait before.
pub(super) struct Timer {
    waits: Cell<Option<i32>>,
    run: Closure<dyn FnMut()>,
}

impl Timer {
    pub(super) fn new(run: impl FnMut() + 'static) -> Self {
        Self { waits: Cell::new(None), run: Closure::new(run) }
    }

    /// Runs the work after this long; `None`: not at all.
    pub(super) fn set(&self, after: Option<Duration>) {
        if let Some(waits) = self.waits.take() {
            global().clear_timeout_with_handle(waits);
        }
        let Some(after) = after else { return };
        // Rounded up: an engine that is asked a moment too early is asked again.
        let ms = after.as_micros().div_ceil(1_000).min(TIMER_MS_MAX);
        let ms = i32::try_from(ms).unwrap_or(i32::MAX);
        let run = self.run.as_ref().unchecked_ref();
        self.waits.set(global().set_timeout_with_callback_and_timeout_and_arguments_0(run, ms).ok());
    }
}

impl Timer {
    /// Whether it waits. One that ran waits no more.
    pub(super) fn is_set(&self) -> bool {
        self.waits.get().is_some()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.set(None);
    }
}
