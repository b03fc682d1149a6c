//! The socket. What waits to be sent lies in [`Lanes`]; the browser gets little at a time, so that live voice can overtake.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use holler_core::engine::{ConnectFailure, Input, Lane, LinkNo};
use holler_core::units::Mono;
use holler_core::wire::socket::SUBPROTOCOL;
use holler_core::wire::voice::VoiceFrame;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use super::clock::{self, Timer};
use super::{Shell, global};
use crate::lanes::{Item, Lanes};

/// Bytes that the browser may hold unsent. More would leave in the order in which it came, stale voice included; less would
/// keep a fast link waiting for the next look.
const UNSENT_MAX: u32 = 16 * 1024;
/// How soon to look again whether the browser sent something; there is no event for it.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A connection that is not open by then has failed.
const OPEN_WAIT: Duration = Duration::from_secs(15);

/// One connection.
pub(super) struct Socket {
    link: LinkNo,
    socket: WebSocket,
    lanes: RefCell<Lanes>,
    opened: Cell<bool>,
    shell: Weak<Shell>,
    pump: Timer,
    too_late: Timer,
    _listeners: [Closure<dyn FnMut(JsValue)>; 3],
}

impl Socket {
    /// Begins to open a connection to the server that this page came from, and tells what becomes of it.
    pub(super) fn open(shell: &Rc<Shell>, link: LinkNo) -> Result<Rc<Self>, JsValue> {
        let url = format!("wss://{}/api/v1/socket", global().location().host());
        let socket = WebSocket::new_with_str(&url, SUBPROTOCOL)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        Ok(Rc::new_cyclic(|this: &Weak<Self>| {
            let listener = |run: fn(&Self, JsValue)| {
                let this = this.clone();
                Closure::new(move |event| {
                    if let Some(this) = this.upgrade() {
                        run(&this, event);
                    }
                })
            };
            let listeners = [
                listener(|this, _| this.opened()),
                listener(|this, event| this.message(&event.unchecked_into())),
                listener(|this, event| this.closed(&event.unchecked_into())),
            ];
            socket.set_onopen(Some(listeners[0].as_ref().unchecked_ref()));
            socket.set_onmessage(Some(listeners[1].as_ref().unchecked_ref()));
            socket.set_onclose(Some(listeners[2].as_ref().unchecked_ref()));
            let timer = |run: fn(&Self)| {
                let this = this.clone();
                Timer::new(move || {
                    if let Some(this) = this.upgrade() {
                        run(&this);
                    }
                })
            };
            let too_late = timer(|this| this.fail("nothing answered within 15 s"));
            too_late.set(Some(OPEN_WAIT));
            Self {
                link,
                socket,
                lanes: RefCell::default(),
                opened: Cell::new(false),
                shell: Rc::downgrade(shell),
                pump: timer(Self::pump),
                too_late,
                _listeners: listeners,
            }
        }))
    }

    /// Whether this is the connection of that number.
    pub(super) fn is(&self, link: LinkNo) -> bool {
        self.link == link
    }

    /// Sends a text.
    pub(super) fn text(&self, lane: Lane, text: String) {
        if !self.lanes.borrow_mut().text(lane, text) {
            self.close();
        }
        self.pump();
    }

    /// Sends a voice frame.
    pub(super) fn voice(&self, lane: Lane, frame: VoiceFrame, captured_at: Mono) {
        self.lanes.borrow_mut().voice(clock::now(), lane, frame, captured_at);
        self.pump();
    }

    /// Closes it; what waits is dropped, and nothing more is told of it.
    pub(super) fn close(&self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        self.pump.set(None);
        self.too_late.set(None);
        // It is closing already, or was never open: both are what is wanted.
        let _ = self.socket.close();
    }

    fn pump(&self) {
        if !self.opened.get() {
            return;
        }
        let mut repaired = 0;
        while self.socket.buffered_amount() < UNSENT_MAX {
            let now = clock::now();
            let next = self.lanes.borrow_mut().next(now);
            let Some((lane, item)) = next else { break };
            let bytes = item.bytes();
            let live = match (&item, lane) {
                (Item::Voice { queued_at, .. }, Lane::Voice) => Some(now.since(*queued_at)),
                (Item::Voice { .. } | Item::Text(_), _) => None,
            };
            let sent = match item {
                Item::Text(text) => self.socket.send_with_str(&text),
                Item::Voice { frame, .. } => {
                    if matches!(lane, Lane::Repair | Lane::Bulk) {
                        repaired += bytes;
                    }
                    self.socket.send_with_u8_array(&frame.encode())
                }
            };
            if sent.is_err() {
                // It is no longer open; `closed` tells.
                return;
            }
            if let (Some(queued), Some(shell)) = (live, self.shell.upgrade()) {
                shell.sound.sent(queued);
            }
        }
        let stale = self.lanes.borrow_mut().take_stale();
        if let Some(shell) = self.shell.upgrade().filter(|_| stale > 0) {
            shell.sound.dropped(stale);
        }
        let waits = !self.lanes.borrow().is_empty();
        self.pump.set(waits.then_some(LOOK_AGAIN));
        if repaired > 0 {
            self.input(Input::Sent { link: self.link, repair_bytes: repaired });
        }
    }

    fn opened(&self) {
        self.too_late.set(None);
        self.opened.set(true);
        self.input(Input::Connected { link: self.link });
    }

    fn message(&self, event: &MessageEvent) {
        let data = event.data();
        let link = self.link;
        if let Some(text) = data.as_string() {
            self.input(Input::Text { link, text });
        } else {
            let bytes = Bytes::from(js_sys::Uint8Array::new(&data).to_vec());
            self.input(Input::Binary { link, bytes });
        }
    }

    fn closed(&self, event: &CloseEvent) {
        if !self.opened.get() {
            // Browsers keep the reason from pages.
            return self.fail("");
        }
        // 1005 and 1006 stand for no code and no close frame (RFC 6455 section 7.4.1).
        let code = Some(event.code()).filter(|code| !matches!(code, 1005 | 1006));
        self.close();
        self.input(Input::Closed { link: self.link, code, detail: event.reason() });
    }

    fn fail(&self, detail: &str) {
        self.close();
        let failure = ConnectFailure::Unreachable;
        // A browser shows a page neither status nor headers of a connection that failed.
        let detail = detail.to_owned();
        self.input(Input::ConnectFailed { link: self.link, failure, detail, retry_after: None });
    }

    fn input(&self, input: Input) {
        if let Some(shell) = self.shell.upgrade() {
            shell.input(input);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}
