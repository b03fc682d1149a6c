//! How the messages of each protocol are told apart, and the few that a client must say.
//!
//! Reading is as little work as can be, for the generator has to keep up with servers that it measures: nothing is copied, and of a
//! message only what tells its kind is looked at.

use holler_core::wire::socket::{ClientMessage, SUBPROTOCOL};

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Ours: RFC 6455 with `holler.v1`.
    Holler,
    /// NATS.
    Nats,
    /// RESP 2.
    Redis,
    /// MQTT 3.1.1.
    Mqtt,
    /// Mumble's control channel, with voice in it.
    Mumble,
}

/// A whole message at the front of what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// Where its content begins.
    pub(super) begin: usize,
    /// Where the message ends.
    pub(super) end: usize,
    /// Its kind: RFC 6455's opcode, MQTT's and Mumble's type, the first letter of the others.
    pub(super) kind: u8,
}

/// RFC 6455: text, binary, close, ping.
pub(super) const TEXT: u8 = 1;
const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
/// MQTT's CONNACK and SUBACK.
const CONNACK: u8 = 2;
const SUBACK: u8 = 9;
/// No message has this kind.
pub(super) const NO_KIND: u8 = u8::MAX;
/// Mumble's key for its voice by UDP.
pub(super) const CRYPT_SETUP: u8 = 15;
/// Mumble's voice in the control channel, and the end of a login.
const UDP_TUNNEL: u8 = 1;
const SERVER_SYNC: u8 = 5;

impl Wire {
    /// The first message in `bytes`, if all of it is there.
    pub(super) fn cut(self, bytes: &[u8]) -> Option<Cut> {
        match self {
            Self::Holler => websocket(bytes),
            Self::Nats => nats(bytes),
            Self::Redis => redis(bytes),
            Self::Mqtt => mqtt(bytes),
            Self::Mumble => {
                let head = bytes.first_chunk::<6>()?;
                let length = usize::try_from(u32::from_be_bytes([head[2], head[3], head[4], head[5]])).ok()?;
                whole(bytes, 6, 6 + length, head[1])
            }
        }
    }

    /// How many that were published a message holds: ours brings those that were committed together in one.
    pub(super) fn messages(self, kind: u8, content: &[u8]) -> u64 {
        let one = match self {
            Self::Holler if kind == TEXT && content.starts_with(br#"{"type":"events""#) => return events(content),
            Self::Nats => kind == b'M',
            Self::Redis => kind == b'm',
            Self::Mqtt => kind == 3,
            Self::Holler | Self::Mumble => false,
        };
        u64::from(one)
    }

    /// Whether a message is voice.
    pub(super) fn is_voice(self, kind: u8) -> bool {
        match self {
            Self::Holler => kind == BINARY,
            Self::Mumble => kind == UDP_TUNNEL,
            Self::Nats | Self::Redis | Self::Mqtt => false,
        }
    }

    /// Whether a message says that the login, and the subscription with it, is done.
    pub(super) fn is_ready(self, kind: u8, content: &[u8]) -> bool {
        match self {
            // The last of the answers to an `auth` with rooms in it; one without ends with the welcome.
            Self::Holler => kind == TEXT && content.starts_with(br#"{"type":"subscribed""#),
            Self::Nats => kind == b'P',
            Self::Redis => kind == b's',
            Self::Mqtt => kind == SUBACK,
            Self::Mumble => kind == SERVER_SYNC,
        }
    }
}

/// How many events a message of ours holds: each has one number, and nobody writes such a thing in a bench.
pub(super) fn events(content: &[u8]) -> u64 {
    const NUMBER: &[u8] = br#""seq":"#;
    // Seldom is a quotation mark before an s.
    let found = content.windows(NUMBER.len()).filter(|window| window[1] == b's' && *window == NUMBER);
    found.count() as u64
}

fn whole(bytes: &[u8], begin: usize, end: usize, kind: u8) -> Option<Cut> {
    (bytes.len() >= end).then_some(Cut { begin, end, kind })
}

fn websocket(bytes: &[u8]) -> Option<Cut> {
    let [first, second, ..] = *bytes else { return None };
    let (begin, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)).ok()?),
        length => (2, usize::from(length)),
    };
    whole(bytes, begin, begin + length, first & 0x0f)
}

fn line(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|two| two == b"\r\n").map(|at| at + 2)
}

fn number(text: &[u8]) -> Option<usize> {
    core::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn nats(bytes: &[u8]) -> Option<Cut> {
    let end = line(bytes)?;
    if !bytes.starts_with(b"MSG ") {
        return whole(bytes, 0, end, bytes[0]);
    }
    let length = number(bytes[..end].rsplit(|byte| *byte == b' ').next()?)?;
    whole(bytes, end, end + length + 2, b'M')
}

/// An array of bulk strings, or a line. The kind is the first letter of the first string.
fn redis(bytes: &[u8]) -> Option<Cut> {
    let mut at = line(bytes)?;
    if bytes[0] != b'*' {
        return whole(bytes, 0, at, bytes[0]);
    }
    let mut kind = 0;
    for item in 0..number(&bytes[1..at])? {
        let head = at;
        at += line(&bytes[at..])?;
        if bytes[head] == b'$' {
            let length = number(&bytes[head + 1..at])?;
            if item == 0 {
                kind = *bytes.get(at)?;
            }
            at += length + 2;
        }
        if at > bytes.len() {
            return None;
        }
    }
    whole(bytes, 0, at, kind)
}

fn mqtt(bytes: &[u8]) -> Option<Cut> {
    let first = *bytes.first()?;
    let (mut length, mut shift) = (0, 0);
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return whole(bytes, at + 1, at + 1 + length, first >> 4);
        }
    }
    None
}

/// Whether this is MQTT's yes to a connection.
pub(super) fn is_connack(kind: u8, content: &[u8]) -> bool {
    kind == CONNACK && content == [0, 0]
}

/// An identifier that names itself.
pub(super) fn id(kind: u8, number: u64) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// The request that opens our socket.
pub(super) fn upgrade() -> Vec<u8> {
    format!(
        "GET /api/v1/socket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: aG9sbGVyIGxvYWQgZ2VuIQ==\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
    .into_bytes()
}

/// A message of ours, in a frame.
pub(super) fn said(message: &ClientMessage) -> Vec<u8> {
    frame(TEXT, serde_json::to_string(message).unwrap_or_default().as_bytes())
}

/// A voice frame of ours, in a frame.
pub(super) fn spoken(voice: &[u8]) -> Vec<u8> {
    frame(BINARY, voice)
}

/// A client's frame (RFC 6455 section 5.2). Its mask is zero: the server unmasks all the same, and the generator is spared it.
fn frame(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | kind];
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(length), _) if length < 126 => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((content.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(content);
    bytes
}

/// MQTT's CONNECT with a client id, and its SUBSCRIBE to one topic.
pub(super) fn mqtt_hello(client: &str, topic: &str) -> (Vec<u8>, Vec<u8>) {
    let text = |text: &str| {
        let mut bytes = u16::try_from(text.len()).unwrap_or(0).to_be_bytes().to_vec();
        bytes.extend(text.bytes());
        bytes
    };
    let packet = |kind: u8, body: Vec<u8>| {
        let mut bytes = vec![kind, u8::try_from(body.len()).unwrap_or(0x7f)];
        bytes.extend(body);
        bytes
    };
    // Version 3.1.1, a clean session, and no keep-alive.
    let connect = [text("MQTT"), vec![4, 2, 0, 0], text(client)].concat();
    let subscribe = [vec![0, 1], text(topic), vec![0]].concat();
    (packet(0x10, connect), packet(0x82, subscribe))
}

/// Mumble's Version and Authenticate.
pub(super) fn mumble_hello(name: &str) -> Vec<u8> {
    // Field 1, a varint: 1.3.4.
    let version = [0x08, 0x84, 0x86, 0x04];
    // Field 1, a string: the name; field 5: Opus.
    let mut login = vec![0x0a, u8::try_from(name.len()).unwrap_or(0)];
    login.extend(name.bytes());
    login.extend([0x28, 1]);
    [mumble(0, &version), mumble(2, &login)].concat()
}

/// A message of Mumble's.
pub(super) fn mumble(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// A voice packet of Mumble's: Opus to the channel, with a number and up to 127 bytes, which is all a bench needs.
pub(super) fn mumble_voice(number: u16, opus: &[u8]) -> Vec<u8> {
    let mut body = vec![0x80];
    // Their varint of 14 bits, which always fits.
    body.extend((0x8000 | (number & 0x3fff)).to_be_bytes());
    body.push(u8::try_from(opus.len()).unwrap_or(0) & 0x7f);
    body.extend(opus);
    mumble(UDP_TUNNEL, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, and not before its last byte.
    fn only_whole(wire: Wire, bytes: &[u8], kind: u8) {
        for short in 0..bytes.len() {
            assert_eq!(wire.cut(&bytes[..short]), None, "{wire:?} after {short} bytes");
        }
        let more = [bytes, b"+OK\r\n"].concat();
        let cut = wire.cut(&more).unwrap();
        assert_eq!((cut.end, cut.kind), (bytes.len(), kind), "{wire:?}");
    }

    #[test]
    fn messages_end_where_they_end() {
        only_whole(Wire::Nats, b"MSG bench 1 5\r\nab\r\nc\r\n", b'M');
        only_whole(Wire::Nats, b"PONG\r\n", b'P');
        only_whole(Wire::Redis, b"*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n$4\r\na\r\nb\r\n", b'm');
        only_whole(Wire::Redis, b"*3\r\n$9\r\nsubscribe\r\n$5\r\nbench\r\n:1\r\n", b's');
        only_whole(Wire::Redis, b":1000\r\n", b':');
        only_whole(Wire::Mqtt, &[&[0x30, 0x82, 0x01], [7; 130].as_slice()].concat(), 3);
        only_whole(Wire::Mumble, &mumble_voice(7, &[1; 80]), 1);
        only_whole(Wire::Holler, &[&[0x82, 5], [1; 5].as_slice()].concat(), BINARY);
        only_whole(Wire::Holler, &[&[0x81, 126, 1, 0], [b' '; 256].as_slice()].concat(), TEXT);
        only_whole(Wire::Holler, &[&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], [b' '; 65_536].as_slice()].concat(), TEXT);
    }

    #[test]
    fn what_we_say_is_framed() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let bytes = frame(TEXT, &vec![b'x'; length]);
            // As a server reads it, without the mask.
            let cut = websocket(&bytes).unwrap();
            assert_eq!((cut.end - cut.begin, bytes.len() - cut.end), (length, 4));
        }
    }
}
