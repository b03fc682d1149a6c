//! The socket's control messages.

use core::fmt::Debug;
use std::sync::LazyLock;

use holler_core::session::{Inbound, Received};
use holler_core::units::Mono;
use holler_core::wire::limits::CONTROL_BYTES_MAX;
use holler_core::wire::socket::{ClientMessage, ServerMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Reader;

const NOW: Mono = Mono(1_000_000);

struct Examples {
    client: Vec<Value>,
    server: Vec<Value>,
}

/// The examples of the protocol's page; `core/tests/protocol.rs` makes sure that every message has one.
static EXAMPLES: LazyLock<Examples> = LazyLock::new(|| {
    let blocks: Vec<&str> = include_str!("../../../docs/PROTOCOL.md").split("\n```").skip(1).step_by(2).collect();
    let side = |info: &str| -> Vec<Value> {
        let texts = blocks.iter().filter_map(|block| block.strip_prefix(info));
        texts.filter_map(|text| serde_json::from_str(text).ok()).collect()
    };
    Examples { client: side("json client\n"), server: side("json server\n") }
});

/// Whatever a client sends is a message within its bounds, a refusal that says why, or a close; never a panic. What is read is
/// written and read back the same.
pub fn client_message(data: &[u8]) -> usize {
    let (text, changed) = text(data, &EXAMPLES.client);
    let parsed = round_trip::<ClientMessage>(&text);
    if let Some(Value::Object(mut misspelt)) = changed {
        misspelt.insert("misspelt".to_owned(), Value::from(7));
        assert!(
            serde_json::from_value::<ClientMessage>(Value::Object(misspelt)).is_err(),
            "unknown fields are refused"
        );
    }

    let before_auth = Inbound::new(NOW).text(NOW, &text);
    assert!(
        matches!((&before_auth, &parsed), (Received::Authenticate { .. }, Some(ClientMessage::Auth { .. })))
            || matches!(before_auth, Received::Close(_)),
        "nothing else comes before auth: {before_auth:?}"
    );

    let mut session = Inbound::new(NOW);
    session.authenticated(Mono(u64::MAX));
    match (session.text(NOW, &text), parsed) {
        (Received::Message(message), Some(parsed)) => {
            assert_eq!(message, parsed);
            assert_eq!(message.check(), Ok(()), "within its bounds");
            1
        }
        (Received::Authenticate { token, .. }, Some(ClientMessage::Auth { token: sent, .. })) => {
            assert_eq!(token, sent);
            1
        }
        (Received::Refuse { request, problem }, parsed) => {
            assert!(!problem.detail.is_empty() && problem.detail.len() <= 2 * text.len() + 1_024, "{}", problem.detail);
            if let Some(parsed) = parsed {
                assert_eq!(request, parsed.request());
                assert_eq!(parsed.check(), Err(problem), "what can be read is refused for its bounds only");
                return 1;
            }
            0
        }
        (received, parsed) => {
            assert!(parsed.is_none() && matches!(received, Received::Close(_)), "{received:?} of {parsed:?}");
            0
        }
    }
}

/// Whatever comes as a server's message is read and written back the same, or not read; a field that is not known does not
/// matter.
pub fn server_message(data: &[u8]) -> usize {
    let (text, changed) = text(data, &EXAMPLES.server);
    let Some(message) = round_trip::<ServerMessage>(&text) else { return 0 };
    if let Some(Value::Object(mut newer)) = changed {
        newer.insert("of_a_newer_version".to_owned(), Value::from(7));
        assert_eq!(serde_json::from_value::<ServerMessage>(Value::Object(newer)).ok(), Some(message));
    }
    1
}

fn round_trip<M: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) -> Option<M> {
    let message: M = serde_json::from_str(text).ok()?;
    let written = serde_json::to_string(&message);
    let again = written.ok().and_then(|written| serde_json::from_str(&written).ok());
    assert_eq!(again.as_ref(), Some(&message));
    again
}

/// The bytes as text, or as an example that is changed in up to three places; then also as JSON.
fn text(data: &[u8], examples: &[Value]) -> (String, Option<Value>) {
    let mut reader = Reader::new(data);
    if reader.below(8) == 0 {
        return (String::from_utf8_lossy(reader.rest()).into_owned(), None);
    }
    let mut value = examples.get(reader.below(examples.len())).cloned().unwrap_or_default();
    for _ in 0..reader.below(4) {
        change(&mut reader, &mut value, examples);
    }
    let mut text = value.to_string();
    if text.len() > CONTROL_BYTES_MAX {
        // The socket takes no more.
        return (text.chars().take(CONTROL_BYTES_MAX / 4).collect(), None);
    }
    if reader.below(8) == 0 {
        let at = reader.below(text.len() + 1);
        if text.is_char_boundary(at) {
            text.truncate(at);
            text.push_str(&String::from_utf8_lossy(reader.take(12)));
            return (text, None);
        }
    }
    (text, Some(value))
}

/// Changes something somewhere in `value`.
fn change(reader: &mut Reader<'_>, value: &mut Value, examples: &[Value]) {
    let deeper = reader.below(3) > 0;
    match value {
        Value::Object(fields) if deeper => {
            let key = fields.keys().nth(reader.below(fields.len())).cloned();
            if let Some(field) = key.and_then(|key| fields.get_mut(&key)) {
                change(reader, field, examples);
            }
        }
        Value::Array(items) if deeper => {
            let at = reader.below(items.len());
            if let Some(item) = items.get_mut(at) {
                change(reader, item, examples);
            }
        }
        Value::Object(fields) => {
            let key = fields.keys().nth(reader.below(fields.len())).cloned();
            match (reader.below(4), key) {
                (0, Some(key)) => {
                    fields.remove(&key);
                }
                (1, Some(key)) => {
                    let moved = fields.remove(&key).unwrap_or_default();
                    fields.insert(format!("{key}_"), moved);
                }
                (2, Some(key)) => {
                    let other = examples.get(reader.below(examples.len())).and_then(|other| other.get(&key));
                    fields.insert(key, other.cloned().unwrap_or_default());
                }
                _ => {
                    let other = examples.get(reader.below(examples.len())).and_then(Value::as_object);
                    fields.extend(other.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
                }
            }
        }
        Value::Array(items) => match (reader.below(3), items.first().cloned()) {
            (0, Some(first)) => {
                let room = CONTROL_BYTES_MAX / first.to_string().len().max(1);
                items.extend(core::iter::repeat_n(first, reader.below(600).min(room)));
            }
            (1, _) => items.clear(),
            _ => items.push(leaf(reader)),
        },
        Value::Number(number) if deeper => {
            let moved = number.as_u64().map(|n| n.wrapping_add(reader.u64() >> (reader.u8() & 63)));
            *value = moved.map_or_else(|| leaf(reader), Value::from);
        }
        Value::String(text) if deeper => {
            let at = reader.below(text.len());
            if text.is_char_boundary(at) && !text.is_empty() {
                text.remove(at);
                text.insert(at, char::from(reader.u8()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => *value = leaf(reader),
    }
}

fn leaf(reader: &mut Reader<'_>) -> Value {
    match reader.below(9) {
        0 => Value::Null,
        1 => Value::from(reader.coin()),
        2 => Value::from(reader.u8()),
        3 => Value::from(reader.u64()),
        4 => Value::from(-i64::from(reader.u32())),
        5 => Value::from(f64::from_bits(reader.u64())),
        6 => Value::from("x".repeat(reader.below(20_000))),
        7 => Value::from(String::from_utf8_lossy(reader.take(26)).into_owned()),
        _ => (0..reader.below(200)).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
    }
}
