//! The engine in virtual time.

mod aloud;
mod degraded;
mod disk;
mod link;
mod paths;
mod people;
mod queue;
mod rooms;
mod voice;
mod world;

use core::time::Duration;

use bytes::Bytes;

use super::*;
use crate::model::{EventBody, Role};
use crate::units::{ClientId, Cursor, DeviceId, Epoch, FloorToken, Incarnation, RoomId, Seq, UnixMs, UserId};
use crate::wire::socket::FloorState;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn id<T: From16>(n: u8) -> T {
    T::from16([n; 16])
}

trait From16 {
    fn from16(bytes: [u8; 16]) -> Self;
}

macro_rules! from16 {
    ($($name:ident)*) => {$(impl From16 for $name { fn from16(bytes: [u8; 16]) -> Self { Self::from_bytes(bytes) } })*};
}

from16!(RoomId UserId DeviceId ClientId Incarnation BurstId);

/// One engine and a hand that plays its shell and its server.
struct Bench {
    engine: Engine,
    now: Mono,
    link: LinkNo,
    outputs: Vec<Output>,
}

impl Bench {
    fn new() -> Self {
        Self {
            engine: Engine::new(Config { seed: 7, ..Config::default() }),
            now: Mono(1_000_000),
            link: LinkNo(0),
            outputs: Vec::new(),
        }
    }

    /// An engine that is connected and welcomed.
    fn up() -> Self {
        let mut bench = Self::new();
        bench.input(Input::Token { access: "t".into(), expires_in: Duration::from_secs(900) });
        bench.input(Input::Start);
        bench.connect();
        bench
    }

    /// The connection that the engine last asked for.
    fn asked_link(&self) -> LinkNo {
        let asked =
            self.outputs.iter().rev().find_map(|o| if let Output::Connect { link } = o { Some(*link) } else { None });
        asked.expect("the engine should have asked for a connection")
    }

    fn connect(&mut self) {
        self.link = self.asked_link();
        self.input(Input::Connected { link: self.link });
        self.say(&ServerMessage::Welcome {
            user: id(1),
            device: id(2),
            server_time: UnixMs(0),
            heartbeat_ms: 15_000,
            expires_in_s: 900,
            resume: None,
        });
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            self.outputs.push(output);
        }
    }

    fn say(&mut self, message: &ServerMessage) {
        let text = serde_json::to_string(message).expect("messages can be written");
        self.input(Input::Text { link: self.link, text });
    }

    /// Lets time pass, with every timeout at its moment.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut turns = 0;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
            turns += 1;
            assert!(turns < 100_000, "the engine names a timeout and does nothing about it: {:?}", self.engine);
        }
        self.now = end;
    }

    fn take(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    fn sent(&mut self) -> Vec<ClientMessage> {
        self.take()
            .into_iter()
            .filter_map(|output| {
                if let Output::Send { text, .. } = output {
                    Some(serde_json::from_str(&text).expect("the engine writes what it means"))
                } else {
                    None
                }
            })
            .collect()
    }

    fn notices(&mut self) -> Vec<Notice> {
        self.take().into_iter().filter_map(|o| if let Output::Notice(n) = o { Some(n) } else { None }).collect()
    }

    /// Answers every ping that was sent.
    fn pong(&mut self, after: Duration) -> usize {
        let nonces: Vec<u32> = self
            .sent()
            .into_iter()
            .filter_map(|m| if let ClientMessage::Ping { nonce, .. } = m { Some(nonce) } else { None })
            .collect();
        self.now = self.now + after;
        for nonce in &nonces {
            self.say(&ServerMessage::Pong { nonce: *nonce, server_time: UnixMs(0), presence_ms: None });
        }
        nonces.len()
    }
}

#[test]
fn the_list_of_known_messages_is_that_of_the_wire() {
    let error =
        serde_json::from_str::<ServerMessage>(r#"{"type":"?"}"#).expect_err("there is no such message").to_string();
    let (_, listed) = error.split_once("expected one of ").expect("serde lists what it knows");
    let mut names: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
    let mut known = known::KNOWN_MESSAGES.to_vec();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
}
