//! What only a browser's window knows: the space bar, a button that is let go anywhere, a page that is hidden, the network.

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use holler_client_web::message::ToWorker;
use holler_client_web::page::{Engine, Sound};
use holler_core::engine::Command;
use holler_ui::port::Told;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Element, Event, EventTarget, KeyboardEvent, PointerEvent, UiEvent};

/// How often the screens are told that time goes by.
const TICK: Duration = Duration::from_millis(250);

/// Listens as long as the page lives.
pub(crate) fn listen(
    sound: &Rc<Sound>,
    engine: &Rc<Engine>,
    key: &Rc<RefCell<String>>,
    send: impl Fn(Told) + Clone + 'static,
) -> Result<(), JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let document = window.document().ok_or("no document")?;
    let target: &EventTarget = window.as_ref();

    let (down, talks) = (send.clone(), Rc::clone(key));
    on(target, "keydown", move |event| {
        let event: KeyboardEvent = event.unchecked_into();
        if event.code() == *talks.borrow()
            && !is_for_others(&event)
            && !event.ctrl_key()
            && !event.alt_key()
            && !event.meta_key()
        {
            event.prevent_default();
            if !event.repeat() {
                down(Told::Key(true));
            }
        } else if event.repeat() && is_at_button(&event) {
            // A key that is held would click over and over.
            event.prevent_default();
        }
    })?;
    let (up, talks) = (send.clone(), Rc::clone(key));
    on(target, "keyup", move |event| {
        let event: KeyboardEvent = event.unchecked_into();
        if event.code() == *talks.borrow() {
            if !is_for_others(&event) {
                event.prevent_default();
            }
            up(Told::Key(false));
        }
    })?;
    // A finger or mouse that leaves the button still holds it; wherever it is lifted, it is lifted.
    on(target, "pointerdown", |event| {
        let event: PointerEvent = event.unchecked_into();
        if let Some(button) = closest(&event, "[data-talk]") {
            // A pointer that is gone already was lifted, which is told as well.
            let _ = button.set_pointer_capture(event.pointer_id());
        }
    })?;
    for lifted in ["pointerup", "pointercancel", "blur"] {
        let up = send.clone();
        on(target, lifted, move |_| up(Told::Key(false)))?;
    }
    let gone = send.clone();
    on(target, "pagehide", move |_| gone(Told::Gone))?;
    let (seen, hidden, look) = (send.clone(), document.clone(), Rc::clone(engine));
    on(document.as_ref(), "visibilitychange", move |_| {
        if hidden.hidden() {
            seen(Told::Key(false));
        } else {
            look.tell(&ToWorker::Look);
        }
        seen(Told::Visible(!hidden.hidden()));
    })?;
    // Browsers keep a page silent until somebody touched it.
    for touched in ["pointerdown", "keydown"] {
        let sound = Rc::clone(sound);
        on(target, touched, move |_| sound.wake())?;
    }
    // Where use moves the sound, nothing moves away under the finger, or before the key that leads through the page got there: a click is
    // use, by finger, mouse or key.
    let (used, clicked) = (Rc::clone(engine), send.clone());
    on(target, "click", move |event| {
        let event: UiEvent = event.unchecked_into();
        // A click that no pointer made: another key than the one that talks, a screen reader, a switch.
        if event.detail() == 0 && is_at_button(&event) {
            clicked(Told::Clicked);
        }
        used.tell(&ToWorker::Command(Command::Used));
    })?;
    let look = Rc::clone(engine);
    on(target, "focus", move |_| look.tell(&ToWorker::Look))?;
    let engine = Rc::clone(engine);
    on(target, "online", move |_| engine.tell(&ToWorker::Connect))?;

    let tick = Closure::<dyn FnMut()>::new(move || send(Told::Tick));
    let every = i32::try_from(TICK.as_millis()).unwrap_or(250);
    window.set_interval_with_callback_and_timeout_and_arguments_0(tick.as_ref().unchecked_ref(), every)?;
    tick.forget();
    Ok(())
}

fn on(target: &EventTarget, event: &str, run: impl FnMut(Event) + 'static) -> Result<(), JsValue> {
    let listener = Closure::<dyn FnMut(Event)>::new(run);
    target.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref())?;
    listener.forget();
    Ok(())
}

/// What an event is for, or the nearest of this kind around it.
fn closest(event: &Event, kind: &str) -> Option<Element> {
    event.target()?.dyn_into::<Element>().ok()?.closest(kind).ok()?
}

/// Whether an event is for the talk button.
fn is_at_button(event: &Event) -> bool {
    closest(event, "[data-talk]").is_some()
}

/// Whether the key means something to what has the focus: a text, or another button.
fn is_for_others(event: &KeyboardEvent) -> bool {
    // Other keys than these two do nothing at buttons and links.
    let others = if ["Space", "Enter"].contains(&event.code().as_str()) {
        "input, textarea, select, a, button, [contenteditable]"
    } else {
        "input, textarea, select, [contenteditable], [data-keys]"
    };
    closest(event, others).is_some_and(|other| !other.has_attribute("data-talk"))
}
