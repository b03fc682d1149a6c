//! The screen stays on while somebody is signed in and looks at the page, where the person wants it (Screen Wake Lock).

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Holds the lock while it is wanted and can be had: one, for one that was let out of sight could never be given back.
#[derive(Default)]
pub(crate) struct Awake {
    set: Cell<bool>,
    signed_in: Cell<bool>,
    asking: Cell<bool>,
    held: RefCell<Option<JsValue>>,
}

impl Awake {
    /// Not wanted yet. Browsers take the lock away whenever the page is hidden: it is asked for again when it shows.
    pub(crate) fn new() -> Rc<Self> {
        let awake = Rc::new(Self::default());
        let again = Rc::clone(&awake);
        if let Some(document) = web_sys::window().and_then(|window| window.document()) {
            let shown = Closure::<dyn FnMut()>::new(move || again.look());
            // A document takes any listener.
            let _ = document.add_event_listener_with_callback("visibilitychange", shown.as_ref().unchecked_ref());
            shown.forget();
        }
        awake
    }

    /// Whether the person wants it.
    pub(crate) fn set(self: &Rc<Self>, wanted: bool) {
        self.set.set(wanted);
        self.look();
    }

    /// Whether somebody is signed in.
    pub(crate) fn signed_in(self: &Rc<Self>, is: bool) {
        self.signed_in.set(is);
        self.look();
    }

    /// Asks for the lock, or gives it back, as it is wanted now.
    fn look(self: &Rc<Self>) {
        if self.asking.get() {
            // Looked at again with the answer.
            return;
        }
        let wanted = self.set.get() && self.signed_in.get();
        let held = self
            .held
            .take()
            .filter(|held| !Reflect::get(held, &"released".into()).is_ok_and(|released| released.is_truthy()));
        match held {
            held @ Some(_) if wanted => *self.held.borrow_mut() = held,
            // One that the browser took meanwhile needs no release.
            Some(held) => drop(call(&held, "release", &JsValue::UNDEFINED)),
            None if wanted => self.ask(),
            None => {}
        }
    }

    fn ask(self: &Rc<Self>) {
        // A browser that refuses (battery, no support, hidden) dims the screen as ever.
        let Some(window) = web_sys::window() else { return };
        let Ok(lock) = Reflect::get(&window.navigator(), &"wakeLock".into()) else { return };
        let Ok(asked) = call(&lock, "request", &"screen".into()) else { return };
        self.asking.set(true);
        let this = Rc::clone(self);
        wasm_bindgen_futures::spawn_local(async move {
            let held = JsFuture::from(asked).await;
            this.asking.set(false);
            if let Ok(held) = held {
                *this.held.borrow_mut() = Some(held);
                // Somebody may have changed their mind.
                this.look();
            }
        });
    }
}

fn call(of: &JsValue, name: &str, with: &JsValue) -> Result<Promise, JsValue> {
    let method: Function = Reflect::get(of, &name.into())?.dyn_into()?;
    method.call1(of, with)?.dyn_into()
}
