use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Value, read};
use crate::model::{Event, EventBody};
use crate::units::{RoomId, Seq};
use crate::wire::socket::{FloorState, ServerMessage};

const ROOM: &str = "\"room_00112233445566778899aabbcc\"";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    yes: bool,
    small: u8,
    below: i64,
    part: f32,
    text: String,
    maybe: Option<u32>,
    #[serde(default)]
    absent: Option<u32>,
    pair: (String, u16),
    list: Vec<Plain>,
    map: BTreeMap<RoomId, u8>,
    result: Result<RoomId, String>,
    unit: (),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Plain {
    Unit,
    New(Option<Seq>),
    Two(u8, bool),
    Named { at: f64 },
}

/// Both readers agree; gives what was read.
fn both<T: DeserializeOwned + PartialEq + core::fmt::Debug>(text: &str) -> Result<T, String> {
    let (here, there) = (read::<T>(text), serde_json::from_str::<T>(text));
    match (here, there) {
        (Ok(here), Ok(there)) => {
            assert_eq!(here, there, "{text}");
            Ok(here)
        }
        (Err(here), Err(there)) => {
            let (here, there) = (here.to_string(), there.to_string());
            // Where it is JSON they complain of the same, and else of what they came upon first.
            if serde_json::from_str::<serde_json::Value>(text).is_ok() {
                assert_eq!(here.split(" at line").next(), there.split(" at line").next(), "{text}");
            }
            Err(here)
        }
        (here, there) => panic!("{text}: {here:?}, but serde_json says {there:?}"),
    }
}

#[test]
fn every_form_is_read_as_serde_json_reads_it() {
    let text = format!(
        r#"{{"yes":true,"small":255,"below":-5,"part":0.5,"text":"ä \n\u0041","maybe":4294967295,"pair":["x",7],
        "list":["Unit",{{"New":9007199254740993}},{{"New":null}},{{"Two":[3,false]}},{{"Named":{{"at":1}}}}],
        "map":{{{ROOM}:3}},"result":{{"Err":"no"}},"unit":null,"unknown":[[{{}}]]}}"#
    );
    both::<Everything>(&text).unwrap();
    for (from, to) in [
        ("255", "256"),
        ("true", "1"),
        ("-5", "\"-5\""),
        ("\"Unit\"", "\"Other\""),
        ("[3,false]", "[3]"),
        ("\"maybe\":4294967295,", "\"maybe\":-1,"),
        ("\"text\"", "\"test\""),
        (ROOM, "\"none\""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(both::<Everything>(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
}

#[test]
fn what_is_no_json_or_too_deep_is_refused() {
    for text in ["", "{", "{} {}", "{\"type\":\"pong\",}", "nul", &"[".repeat(200)] {
        assert!(both::<ServerMessage>(text).is_err(), "{text}");
        assert!(read::<Value>(text).is_err(), "{text}");
    }
    assert!(read::<Value>(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_ok());
}

#[test]
fn an_object_is_no_list() {
    assert!(serde_json::from_str::<Named>("[1]").is_ok());
    assert!(read::<Named>("[1]").is_err());
}

#[derive(Debug, Deserialize)]
struct Named {
    #[expect(dead_code, reason = "it is only read")]
    at: u8,
}

#[test]
fn a_tag_may_stand_anywhere_in_the_object() {
    let pong = ServerMessage::Pong { nonce: 7, server_time: crate::units::UnixMs(5), presence_ms: Some(1) };
    for text in [
        r#"{"type":"pong","nonce":7,"server_time":5,"presence_ms":1}"#,
        r#"{"nonce":7,"type":"pong","server_time":5,"presence_ms":1,"new":{"type":1}}"#,
        r#"{"nonce":7,"server_time":5,"presence_ms":1,"type":"pong"}"#,
    ] {
        assert_eq!(both::<ServerMessage>(text), Ok(pong.clone()));
    }
    let idle = both::<FloorState>(r#"{"token":{"term":1,"counter":2},"state":"idle"}"#).unwrap();
    assert!(matches!(idle, FloorState::Idle { .. }));
    let refused = |text: &str| both::<EventBody>(text).unwrap_err();
    assert_eq!(refused(r#"{"text":"x"}"#), "missing field `kind`");
    assert_eq!(refused("{}"), "missing field `kind`");
    assert!(
        refused(r#"{"kind":"message.sung","text":"x"}"#).starts_with("unknown variant `message.sung`, expected one of")
    );
    assert!(refused(r#"{"text":"x","kind":"message.posted","loud":1}"#).starts_with("unknown field `loud`"));
    assert!(refused(r#"{"kind":"message.posted","text":"x","loud":1}"#).starts_with("unknown field `loud`"));
    assert!(refused(r#"{"kind":5}"#).starts_with("invalid type: integer `5`"));
    assert!(refused(r#"["message.posted"]"#).starts_with("invalid type: sequence"));
    assert_eq!(both::<EventBody>(r#"{"kind":"emergency.raised"}"#), Ok(EventBody::EmergencyRaised {}));
}

proptest! {
    #[test]
    fn texts_numbers_and_nesting_come_back(text in ".*", seq: u64, below in i64::MIN..0, halves in -9_999..9_999i32) {
        let body = EventBody::MessagePosted { text: text.clone(), reply_to: Some(Seq(seq)) };
        prop_assert_eq!(read::<EventBody>(&serde_json::to_string(&body).unwrap()).unwrap(), body);
        let written = serde_json::to_string(&(&text, seq, below, f64::from(halves) + 0.5, [Some(seq), None])).unwrap();
        let value = Value::List(vec![
            Value::Text(text), Value::Whole(seq), Value::Negative(below), Value::Real(f64::from(halves) + 0.5),
            Value::List(vec![Value::Whole(seq), Value::Null]),
        ]);
        prop_assert_eq!(read::<Value>(&written).unwrap(), value);
    }

    #[test]
    fn no_text_stops_it(text in "[\\[\\]{}\",:0-9a-z.-]{0,60}") {
        prop_assert!(read::<Vec<Event>>(&text).is_err() || serde_json::from_str::<Vec<Event>>(&text).is_ok());
        let pong = format!("{{\"type\":\"pong\",{text}");
        prop_assert!(read::<ServerMessage>(&pong).is_err() || serde_json::from_str::<ServerMessage>(&pong).is_ok());
    }
}
