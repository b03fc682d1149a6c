//! Which language the page speaks: the one that was chosen, or the browser's.

use std::cell::Cell;
use std::rc::Rc;

use holler_ui::port::Told;
use holler_ui::words::Language;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, Response};

/// Fetches the words of other languages, and tells them.
pub(crate) struct Words {
    base: String,
    spoken: Cell<Language>,
    tell: Box<dyn Fn(Told)>,
}

impl Words {
    /// English, at first. `base` is the folder that the files are in.
    pub(crate) fn new(base: &str, tell: impl Fn(Told) + 'static) -> Rc<Self> {
        Rc::new(Self { base: base.to_owned(), spoken: Cell::new(Language::English), tell: Box::new(tell) })
    }

    /// From now on this language is spoken (`None`: the browser's), once its words are here.
    pub(crate) async fn speak(&self, chosen: Option<Language>) {
        let language = chosen.or_else(of_browser).unwrap_or_default();
        if language != self.spoken.get() {
            let file = match language {
                Language::English => Ok(String::new()),
                Language::Arabic => fetch(&format!("{}{}.ftl", self.base, language.tag())).await,
            };
            // Without its words the language stays as it is: the next load tries again.
            let Ok(file) = file else { return };
            self.spoken.set(language);
            (self.tell)(Told::Words { language, file });
        }
        mark(language);
    }
}

async fn fetch(url: &str) -> Result<String, JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let response: Response = JsFuture::from(window.fetch_with_str(url)).await?.dyn_into()?;
    if !response.ok() {
        return Err("not there".into());
    }
    JsFuture::from(response.text()?).await?.as_string().ok_or_else(|| "no text".into())
}

/// The first of the browser's languages that is spoken here.
fn of_browser() -> Option<Language> {
    let languages = web_sys::window()?.navigator().languages();
    languages.iter().find_map(|tag| Language::of(&tag.as_string()?))
}

fn root() -> Option<Element> {
    web_sys::window()?.document()?.document_element()
}

/// Tells the browser, and with it screen readers and the style sheet, which language this is and how it runs.
fn mark(language: Language) {
    let Some(root) = root() else { return };
    // The browser's own kind of a language, such as `en-GB`, says how times are written.
    let languages = web_sys::window().map(|window| window.navigator().languages());
    let own = languages
        .and_then(|all| all.iter().filter_map(|tag| tag.as_string()).find(|tag| Language::of(tag) == Some(language)));
    for (name, value) in
        [("lang", own.as_deref().unwrap_or(language.tag())), ("dir", if language.is_rtl() { "rtl" } else { "ltr" })]
    {
        // An element takes any attribute.
        let _ = root.set_attribute(name, value);
    }
}

/// The tag of the language that is spoken, for what the browser writes.
pub(crate) fn tag() -> String {
    root().and_then(|root| root.get_attribute("lang")).unwrap_or_else(|| Language::English.tag().to_owned())
}
