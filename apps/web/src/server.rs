//! What only shows beside the connection: whether the server has another version of this page, and whether this device's clock
//! agrees with the server's.

use std::rc::Rc;

use holler_client_web::message::ToPage;
use holler_core::engine::{LinkState, Notice};
use holler_ui::port::Told;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{RequestCache, RequestInit, Response};

/// Looks after each connection.
pub(crate) struct Server {
    version: String,
    tell: Rc<dyn Fn(Told)>,
}

impl Server {
    /// `base` is the folder of this version: `/app/{version}/`.
    pub(crate) fn new(base: &str, tell: impl Fn(Told) + 'static) -> Self {
        let version = base.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        Self { version, tell: Rc::new(tell) }
    }

    /// The worker said this.
    pub(crate) fn heard(&self, message: &ToPage) {
        if matches!(message, ToPage::Notice(Notice::Link(LinkState::Up { .. }))) {
            let (version, tell) = (self.version.clone(), Rc::clone(&self.tell));
            wasm_bindgen_futures::spawn_local(async move {
                // A server that does not answer now is looked at again after the next connection.
                if let Ok((tag, ahead)) = look().await {
                    if tag.is_some_and(|tag| !tag.contains(&version)) {
                        tell(Told::Outdated);
                    }
                    if let Some(ahead) = ahead {
                        tell(Told::ClockOff(ahead));
                    }
                }
            });
        }
    }
}

/// The version of the page that the server has, as its tag; and by how many ms this clock is ahead of the server's.
async fn look() -> Result<(Option<String>, Option<f64>), JsValue> {
    let window = web_sys::window().ok_or("no window")?;
    let how = RequestInit::new();
    how.set_method("HEAD");
    how.set_cache(RequestCache::NoStore);
    let asked = js_sys::Date::now();
    let response: Response = JsFuture::from(window.fetch_with_str_and_init("/", &how)).await?.dyn_into()?;
    let answered = js_sys::Date::now();
    let headers = response.headers();
    let server = headers.get("date")?.map(|date| js_sys::Date::parse(&date)).filter(|server| server.is_finite());
    Ok((headers.get("etag")?, server.map(|server| (asked + answered) / 2.0 - server)))
}
