//! The buttons of headsets, lock screens and keyboards that stand for playing and stopping (Media Session).
//!
//! Browsers give them to a page that they take to be playing something: which page that is, each decides for itself.

use holler_ui::port::{Media, Told};
use js_sys::{Function, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};

/// The browser's names for the buttons, and what they mean here.
const BUTTONS: &[(&str, Media)] =
    &[("play", Media::Play), ("pause", Media::Stop), ("stop", Media::Stop), ("hangup", Media::HangUp)];

/// Listens as long as the page lives.
pub(crate) fn listen(send: impl Fn(Told) + Clone + 'static) {
    for (button, media) in BUTTONS {
        let send = send.clone();
        let pressed = Closure::<dyn FnMut()>::new(move || send(Told::Media(*media)));
        // A browser that does not know a button refuses it, and has none of them where it knows no media session.
        if handle(button, pressed.as_ref()).is_ok() {
            pressed.forget();
        }
    }
}

fn handle(button: &str, pressed: &JsValue) -> Result<(), JsValue> {
    let navigator = web_sys::window().ok_or("no window")?.navigator();
    let session = Reflect::get(&navigator, &"mediaSession".into())?;
    let set: Function = Reflect::get(&session, &"setActionHandler".into())?.dyn_into()?;
    set.call2(&session, &button.into(), pressed).map(drop)
}
