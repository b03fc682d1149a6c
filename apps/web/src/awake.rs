//! The screen stays on while the page is looked at, where the person wants it (Screen Wake Lock).

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};

/// Holds the lock while it is wanted and can be had.
pub(crate) struct Awake {
    wanted: Cell<bool>,
}

impl Awake {
    /// Not wanted yet. Browsers take the lock away whenever the page is hidden: it is asked for again when it shows.
    pub(crate) fn new() -> Rc<Self> {
        let awake = Rc::new(Self { wanted: Cell::new(false) });
        let again = Rc::clone(&awake);
        if let Some(document) = web_sys::window().and_then(|window| window.document()) {
            let shown = Closure::<dyn FnMut()>::new(move || again.ask());
            // A document takes any listener.
            let _ = document.add_event_listener_with_callback("visibilitychange", shown.as_ref().unchecked_ref());
            shown.forget();
        }
        awake
    }

    /// Whether the screen is to stay on.
    pub(crate) fn set(&self, wanted: bool) {
        if self.wanted.replace(wanted) && !wanted {
            return release();
        }
        self.ask();
    }

    fn ask(&self) {
        if self.wanted.get() {
            // A browser that refuses (battery, no support, hidden) dims the screen as ever.
            let _ = request();
        }
    }
}

/// Where the lock is kept, so that it can be given back.
const HELD: &str = "hollerAwake";

fn request() -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let lock = Reflect::get(&window.navigator(), &"wakeLock".into())?;
    if lock.is_undefined() {
        return Ok(());
    }
    let request: Function = Reflect::get(&lock, &"request".into())?.dyn_into()?;
    let asked: Promise = request.call1(&lock, &"screen".into())?.dyn_into()?;
    wasm_bindgen_futures::spawn_local(async move {
        if let Ok(held) = wasm_bindgen_futures::JsFuture::from(asked).await {
            // A window takes any field.
            let _ = Reflect::set(&window, &HELD.into(), &held);
        }
    });
    Ok(())
}

fn release() {
    let released = || -> Result<(), JsValue> {
        let window = web_sys::window().ok_or("no window")?;
        let held = Reflect::get(&window, &HELD.into())?;
        if !held.is_undefined() {
            let release: Function = Reflect::get(&held, &"release".into())?.dyn_into()?;
            release.call0(&held)?;
        }
        Ok(())
    };
    // One that the browser took already needs no release.
    let _ = released();
}
