//! The page's share: the worker, the microphone, the loudspeaker.

mod sound;

use core::cell::Cell;
use std::rc::Rc;

use holler_core::engine::Command;
use holler_core::wire::json;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::{MessageEvent, Worker};

use crate::message::{ToPage, ToWorker};
pub use sound::{Choice, Microphone, Sound, Tone};

/// The worker of this page.
pub struct Engine {
    worker: Worker,
    /// The browser was asked to keep what this page keeps, also where room runs short.
    asked: Cell<bool>,
    _listener: Closure<dyn FnMut(MessageEvent)>,
}

impl Engine {
    /// Listens to the worker, which has this page's own module.
    pub fn start(worker: Worker, told: impl Fn(ToPage) + 'static) -> Rc<Self> {
        let listener = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let text = event.data().as_string().unwrap_or_default();
            text.lines().filter_map(|line| json::read(line).ok()).for_each(&told);
        });
        worker.set_onmessage(Some(listener.as_ref().unchecked_ref()));
        Rc::new(Self { worker, asked: Cell::new(false), _listener: listener })
    }

    /// Tells the worker something.
    pub fn tell(&self, message: &ToWorker) {
        if matches!(message, ToWorker::Command(Command::Send { .. } | Command::KeyUp)) && !self.asked.replace(true) {
            // There is something to lose now. A browser may never answer this: nobody waits for it.
            let _ = web_sys::window().map(|window| window.navigator().storage().persist());
        }
        if let Ok(text) = serde_json::to_string(message) {
            // It fails only for values that can't be copied, and a text can.
            let _ = self.worker.post_message(&text.into());
        }
    }

    fn tell_with(&self, message: &ToWorker, ports: &js_sys::Array) {
        if let Ok(text) = serde_json::to_string(message) {
            let _ = self.worker.post_message_with_transfer(&text.into(), ports);
        }
    }
}
