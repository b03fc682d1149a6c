//! The voice path: datagrams beside the socket, by WebTransport. What the browser does of it is in `js/path.js`.

use bytes::{BufMut as _, Bytes};
use holler_core::engine::{Input, LinkNo};
use holler_core::wire::datagram::{PathKind, PathOffer};
use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen::{JsCast as _, JsValue};

use super::{Shell, global};

#[wasm_bindgen]
extern "C" {
    /// The object that `worker.js` gives: `js/path.js`.
    pub type Paths;

    /// Begins to open one. The callback hears `undefined` once it is open, bytes for each datagram, and a text when it ended.
    #[wasm_bindgen(method)]
    fn open(
        this: &Paths,
        url: &str,
        session: &str,
        secret: &str,
        certificates: Vec<String>,
        told: &Closure<dyn FnMut(JsValue)>,
    ) -> Open;

    type Open;

    /// Sends a datagram now, or never.
    #[wasm_bindgen(method)]
    fn send(this: &Open, datagram: &[u8]);

    /// Ends it; nothing more is told of it.
    #[wasm_bindgen(method)]
    fn close(this: &Open);
}

/// What this browser can use: browsers have no other datagrams.
pub(super) fn kinds() -> &'static [PathKind] {
    let can = Reflect::has(&global(), &"WebTransport".into()).unwrap_or_default();
    if can { &[PathKind::Webtransport] } else { &[] }
}

/// One path.
pub(super) struct Path {
    link: LinkNo,
    open: Open,
    _told: Closure<dyn FnMut(JsValue)>,
}

impl Path {
    /// Begins to open the path that the server offered to this connection, and tells what becomes of it.
    pub(super) fn open(shell: &Shell, link: LinkNo, offer: &PathOffer) -> Self {
        let this = shell.this.clone();
        let told = Closure::new(move |what: JsValue| {
            let Some(shell) = this.upgrade() else { return };
            if what.is_undefined() {
                return shell.input(Input::PathOpened { link });
            }
            if let Some(detail) = what.as_string() {
                return shell.input(Input::PathFailed { link, detail });
            }
            let mut bytes = Bytes::from(what.unchecked_into::<Uint8Array>().to_vec());
            if let Some((counter, _)) = bytes.split_first_chunk() {
                let counter = u32::from_be_bytes(*counter);
                let inner = bytes.split_off(size_of_val(&counter));
                shell.input(Input::Datagram { link, counter, inner });
            }
        });
        let url = format!("https://{}:{}/api/v1/voice", global().location().hostname(), offer.port);
        let open = shell.paths.open(&url, &offer.session, &offer.secret, offer.certificates.clone(), &told);
        Self { link, open, _told: told }
    }

    /// Whether it belongs to that connection.
    pub(super) fn is(&self, link: LinkNo) -> bool {
        self.link == link
    }

    /// Sends a datagram now, or never.
    pub(super) fn send(&self, counter: u32, inner: &[u8]) {
        let mut datagram = Vec::with_capacity(size_of_val(&counter) + inner.len());
        datagram.put_u32(counter);
        datagram.put_slice(inner);
        self.open.send(&datagram);
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.open.close();
    }
}
