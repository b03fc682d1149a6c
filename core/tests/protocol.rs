//! `docs/PROTOCOL.md` says what the code does: its examples are messages, its tables are the code's values.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers stop the test")]

use std::collections::BTreeSet;

use holler_core::model::EventBody;
use holler_core::wire::limits;
use holler_core::wire::problem::{ProblemKind, TYPE_PREFIX};
use holler_core::wire::socket::{ClientMessage, CloseCode, DenyReason, RevokeReason, ServerMessage};

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");

/// The fenced blocks, each with what stands after the fence.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("\n```");
    parts.next();
    let blocks: Vec<_> = parts.step_by(2).map(|block| block.split_once('\n').unwrap()).collect();
    assert!(blocks.len() > 20, "the page has its examples");
    blocks
}

fn examples<M: serde::de::DeserializeOwned>(side: &str) -> Vec<(M, serde_json::Value)> {
    blocks()
        .into_iter()
        .filter(|(info, _)| *info == format!("json {side}"))
        .map(|(_, text)| {
            let message = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
            (message, serde_json::from_str(text).unwrap())
        })
        .collect()
}

/// The words after "expected one of" in serde's complaint: every variant there is.
fn variants<M: serde::de::DeserializeOwned + std::fmt::Debug>(tag: &str) -> BTreeSet<String> {
    let text = format!("{{\"{tag}\":\"no such thing\"}}");
    let complaint = serde_json::from_str::<M>(&text).unwrap_err().to_string();
    let listed = complaint.split_once("expected one of").unwrap().1;
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn words(values: &[serde_json::Value], field: &str) -> BTreeSet<String> {
    values.iter().map(|value| value[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_block_says_who_sends_it() {
    for (info, text) in blocks() {
        assert!(["json client", "json server"].contains(&info), "{info}: {text}");
    }
}

#[test]
fn every_example_of_a_client_is_a_message_and_every_message_has_one() {
    let (messages, values): (Vec<ClientMessage>, Vec<_>) = examples("client").into_iter().unzip();
    for (message, value) in messages.iter().zip(&values) {
        assert_eq!(&serde_json::to_value(message).unwrap(), value, "nothing in it is ignored");
        message.check().unwrap();
    }
    assert_eq!(words(&values, "type"), variants::<ClientMessage>("type"));
}

#[test]
fn every_example_of_the_server_is_a_message_and_every_message_has_one() {
    let (messages, values): (Vec<ServerMessage>, Vec<_>) = examples("server").into_iter().unzip();
    for (message, value) in messages.iter().zip(&values) {
        assert_eq!(&serde_json::to_value(message).unwrap(), value, "nothing in it is ignored");
    }
    assert_eq!(words(&values, "type"), variants::<ServerMessage>("type"));

    let bodies: Vec<_> = messages
        .iter()
        .filter_map(|message| if let ServerMessage::Events { events, .. } = message { Some(events) } else { None })
        .flatten()
        .map(|event| serde_json::to_value(&event.body).unwrap())
        .collect();
    assert_eq!(words(&bodies, "kind"), variants::<EventBody>("kind"));
}

#[test]
fn every_problem_shown_is_one_of_the_codes() {
    for value in
        examples::<serde_json::Value>("server").into_iter().filter_map(|(_, value)| value.get("problem").cloned())
    {
        let word = value["type"].as_str().unwrap().strip_prefix(TYPE_PREFIX).unwrap();
        let kind = ProblemKind::ALL.iter().find(|kind| kind.as_str() == word).unwrap();
        assert_eq!(
            (value["status"].as_u64(), value["title"].as_str()),
            (Some(kind.status().into()), Some(kind.title()))
        );
    }
}

/// The rows of the table under `header`, without it.
fn table(header: &str) -> Vec<Vec<&'static str>> {
    let start = PAGE.find(header).unwrap_or_else(|| panic!("no table {header}"));
    let rows = PAGE[start..].lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn first_words(header: &str) -> Vec<&'static str> {
    table(header).into_iter().map(|row| row[0].trim_matches('`')).collect()
}

#[test]
fn the_close_codes_are_the_codes() {
    let expected: Vec<Vec<String>> = CloseCode::ALL
        .iter()
        .map(|code| {
            let reconnect = if code.resumable() { "yes" } else { "no" };
            vec![code.number().to_string(), code.reason().to_owned(), reconnect.to_owned()]
        })
        .collect();
    assert_eq!(table("| code |"), expected);
}

#[test]
fn the_reasons_are_the_reasons() {
    assert_eq!(first_words("| reason of `floor.denied` |"), unit_variants::<DenyReason>());
    assert_eq!(first_words("| reason of `floor.revoked` |"), unit_variants::<RevokeReason>());
}

fn unit_variants<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
    let complaint = serde_json::from_str::<T>("\"no such thing\"").unwrap_err().to_string();
    complaint.split_once("expected one of").unwrap().1.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_limits_are_the_limits() {
    let s = |span: core::time::Duration| format!("{} s", span.as_secs());
    let ms = |span: core::time::Duration| format!("{} ms", span.as_millis());
    let bytes = |count: usize| format!("{count} bytes");
    let expected = [
        ("a control message", bytes(limits::CONTROL_BYTES_MAX)),
        ("a text", format!("{} characters, {} bytes", limits::TEXT_CHARS_MAX, limits::TEXT_BYTES_MAX)),
        ("the name of a client, device, user or room", format!("{} characters", limits::NAME_CHARS_MAX)),
        ("rooms that one socket follows", limits::SUBSCRIPTIONS_MAX.to_string()),
        ("sends of one socket without an answer", limits::SENDS_IN_FLIGHT_MAX.to_string()),
        ("events in one message", limits::PAGE_EVENTS_MAX.to_string()),
        ("a voice frame's payload", bytes(limits::FRAME_BYTES_MAX)),
        ("frames of a burst", limits::FRAMES_PER_BURST_MAX.to_string()),
        ("bytes of a burst", limits::BURST_BYTES_MAX.to_string()),
        ("bit rate of a burst", format!("{} to {} bit/s", limits::BURST_BITRATE.start(), limits::BURST_BITRATE.end())),
        ("ranges of missing frames told at once", limits::MISSING_RANGES_MAX.to_string()),
        ("a burst is sent at the latest after", s(limits::SPOKEN_AGO_MAX)),
        ("bursts of one device that are offered and not settled", limits::OFFERS_OPEN_MAX.to_string()),
        ("time for `auth`", s(limits::AUTH_WAIT)),
        ("heartbeat when idle", s(limits::HEARTBEAT)),
        ("longest promise of the next sign of life", s(limits::HEARTBEAT_IDLE_MAX)),
        ("a sign of life may come later than promised by", s(limits::HEARTBEAT_SLACK)),
        ("heartbeat while talking or waiting", ms(limits::HEARTBEAT_TALKING)),
        ("silence until a socket is closed, without a promise", s(limits::SILENCE_MAX)),
        ("a closed socket's device counts as before for", s(limits::PRESENCE_GRACE)),
        ("a sign of life of the device that plays may come later than promised by", s(limits::PLAYING_SLACK)),
        ("a silenced device says that it was used every", s(limits::PLAYING_USED)),
        ("the device that plays says that it was used every", s(limits::PLAYING_USED_HERE)),
        ("members of a room whose presence is told one by one", limits::PRESENCE_LIST_MAX.to_string()),
        ("presence is asked for over REST every", s(limits::PRESENCE_POLL)),
        ("bursts in one `receipt`", limits::RECEIPT_BURSTS_MAX.to_string()),
        ("people named in an answer about receipts", limits::RECEIPT_PEOPLE_MAX.to_string()),
        ("silence until the floor is lost", s(limits::HOLDER_SILENCE_MAX)),
        ("talk limit, unless configured otherwise", s(limits::TALK_LIMIT)),
        ("warning before the talk limit", s(limits::TALK_WARNING)),
        ("wait in the queue for the floor", s(limits::QUEUE_WAIT_MAX)),
        ("requests waiting for one floor", limits::FLOOR_QUEUE_MAX.to_string()),
        ("emergencies listed in one room", limits::EMERGENCIES_MAX.to_string()),
        ("repair of a burst on the socket after its end", s(limits::REPAIR_WAIT)),
        ("a reader that takes nothing is closed after", s(limits::STALLED_READER_MAX)),
        ("age at which live voice is dropped", ms(limits::VOICE_STALE)),
        ("live voice queued for one socket", bytes(limits::QUEUE_VOICE_BYTES_MAX)),
        ("control messages queued for one socket", bytes(limits::QUEUE_CONTROL_BYTES_MAX)),
        ("kinds in one `voice.path`", limits::PATH_KINDS_MAX.to_string()),
        ("a datagram, as UDP payload", bytes(limits::DATAGRAM_BYTES_MAX)),
        ("copies of earlier frames in one datagram", limits::DATAGRAM_COPIES_MAX.to_string()),
        ("datagrams of one client a second, for long", limits::DATAGRAMS_PER_S_MAX.to_string()),
        ("datagrams of one client at once", limits::DATAGRAMS_AT_ONCE_MAX.to_string()),
        (
            "WebTransport connections of one address that have shown no secret",
            limits::UNPROVEN_PER_ADDRESS_MAX.to_string(),
        ),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(what, limit)| vec![what.to_owned(), limit]).collect();
    assert_eq!(table("| what | limit |"), expected);
}

#[test]
fn the_voice_frame_is_laid_out_as_in_the_code() {
    let source = include_str!("../src/wire/voice.rs");
    let rows: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    assert_eq!(rows.len(), 8);
    for row in rows {
        assert!(PAGE.contains(&format!("\n| {row}\n")), "{row}");
    }
}

#[test]
fn the_kinds_of_datagrams_are_as_in_the_code() {
    let source = include_str!("../src/wire/datagram.rs");
    let rows: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1).collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let row = row.replace("in [`super::voice`]", "above");
        assert!(PAGE.contains(&format!("\n| {row}\n")), "{row}");
    }
}
