//! What is set on this device, kept by the browser, and files for the person.

use holler_ui::state::{Look, Settings};
use js_sys::Array;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Storage, Url};

const NAME: &str = "holler-settings";

/// Says that somebody is signed in here. Browsers that throw away what a page keeps leave this line, or throw it away as well.
const SIGNED_IN: &str = "holler-signed-in";

fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok()?
}

/// What was set before; as if nothing ever was, where this browser keeps nothing for this page.
pub(crate) fn settings() -> Settings {
    let line = storage().and_then(|storage| storage.get_item(NAME).ok()?).unwrap_or_default();
    Settings::of(&line)
}

/// Keeps the settings until they are changed, where the browser keeps anything.
pub(crate) fn keep(settings: &Settings) {
    if let Some(storage) = storage() {
        let _ = storage.set_item(NAME, &settings.line());
    }
}

/// Notes whether somebody is signed in. Whether somebody was, where nobody is.
pub(crate) fn note_signed_in(signed_in: bool) -> bool {
    let Some(storage) = storage() else { return false };
    let before = matches!(storage.get_item(SIGNED_IN), Ok(Some(_)));
    let _ = if signed_in { storage.set_item(SIGNED_IN, "") } else { storage.remove_item(SIGNED_IN) };
    before && !signed_in
}

/// Whether somebody was signed in here when a page was open last, as far as the browser keeps that.
pub(crate) fn was_signed_in() -> bool {
    storage().is_some_and(|storage| matches!(storage.get_item(SIGNED_IN), Ok(Some(_))))
}

/// Makes the page look as it was set; the style sheet does the rest.
pub(crate) fn look(settings: &Settings) {
    let root = web_sys::window().and_then(|window| window.document()).and_then(|document| document.document_element());
    let Some(root) = root else { return };
    let mark = |name: &str, value: Option<&str>| {
        // An element takes any attribute.
        let _ = match value {
            Some(value) => root.set_attribute(name, value),
            None => root.remove_attribute(name),
        };
    };
    mark("data-look", Some(settings.look.word()).filter(|_| settings.look != Look::System));
    mark("data-contrast", settings.contrast.then_some("more"));
    mark("data-motion", settings.still.then_some("none"));
}

/// Lets the person save lines of JSON as a file.
pub(crate) fn save(lines: &str) {
    let saved = || -> Result<(), JsValue> {
        let kind = BlobPropertyBag::new();
        kind.set_type("application/x-ndjson");
        let blob = Blob::new_with_str_sequence_and_options(&Array::of1(&lines.into()), &kind)?;
        let document = web_sys::window().and_then(|window| window.document()).ok_or("no document")?;
        let link: HtmlAnchorElement = document.create_element("a")?.unchecked_into();
        let url = Url::create_object_url_with_blob(&blob)?;
        link.set_href(&url);
        link.set_download("holler-data.jsonl");
        link.click();
        Url::revoke_object_url(&url)
    };
    // A browser that saves no files says so itself.
    let _ = saved();
}
