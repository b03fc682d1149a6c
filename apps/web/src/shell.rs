//! What the page has of the browser around it: `static/shell.js`, which is there before this module.

use holler_ui::port::Telling;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// The object that `page.js` gives.
    pub type Shell;

    /// Has the callback told that a new version waits (`waiting`), that a room is to be shown (`open`, and which),
    /// or whether this device is told of what it missed (`telling`, and a word of [`telling`]).
    #[wasm_bindgen(method)]
    pub(crate) fn listen(this: &Shell, callback: &Closure<dyn FnMut(String, Option<String>)>);

    /// Gives it the way to the server's `/push`: number, method, path, body. The answers come by [`Shell::answered`].
    #[wasm_bindgen(method)]
    pub(crate) fn attach(this: &Shell, ask: &Closure<dyn FnMut(u32, String, String, String)>);

    /// What the server answered: JSON, or nothing where it did not do it.
    #[wasm_bindgen(method)]
    pub(crate) fn answered(this: &Shell, number: u32, answer: Option<String>);

    /// Somebody is signed in and connected.
    #[wasm_bindgen(method)]
    pub(crate) fn connected(this: &Shell);

    /// Has this device told of what it missed, or no more.
    #[wasm_bindgen(method)]
    pub(crate) fn telling(this: &Shell, on: bool);

    /// Nobody is signed in any more: what was kept of them goes.
    #[wasm_bindgen(method)]
    pub(crate) fn forget(this: &Shell);

    /// Somebody speaks here, or all that was spoken is safe: a new version does not take over meanwhile.
    #[wasm_bindgen(method)]
    pub(crate) fn speaking(this: &Shell, now: bool);

    /// The button is up, and what was spoken is on its way to the disk.
    #[wasm_bindgen(method)]
    pub(crate) fn released(this: &Shell);

    /// Goes on with the newest version there is.
    #[wasm_bindgen(method)]
    pub(crate) fn reload(this: &Shell);

    /// This room was opened last.
    #[wasm_bindgen(method)]
    pub(crate) fn opened(this: &Shell, room: &str);

    /// Notifications speak this language.
    #[wasm_bindgen(method)]
    pub(crate) fn language(this: &Shell, tag: &str);
}

/// What the shell says of it.
pub(crate) fn telling(word: &str) -> Telling {
    match word {
        "unasked" => Telling::Unasked,
        "off" => Telling::Off,
        "on" => Telling::On,
        "refused" => Telling::Refused,
        _ => Telling::Never,
    }
}
