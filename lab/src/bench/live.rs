//! `live`: how long after it was said a word is heard, over good and bad links, by the real clients.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use holler_client::audio::wav;
use serde_json::Value;

use super::Setting;
use super::report::{Bench, Wanted};
use super::rounds::{Contender, Rounds, Sample, percentile};
use crate::link::{Loss, Profile};
use crate::programs::{self, Running, Server, text};
use crate::proxy::Proxy;
use crate::similarity::compare;

/// What is said, and how much of it, in samples of 48 kHz.
const SPEECH: &str = "speech-a.wav";
const SAMPLES: usize = 5 * 48_000;
/// After this frame one more listener joins.
const JOIN_AFTER: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener's link, and what its figures are called.
struct Case {
    /// Of its median and its 95th percentile.
    names: [&'static str; 2],
    link: Option<Profile>,
    /// Voice is kept on the socket.
    socket_only: bool,
    /// What the likeness of what was heard is called, where it is looked at.
    likeness: Option<&'static str>,
}

const fn link(delay_ms: u64, jitter_ms: u64, loss_per_million: u32) -> Option<Profile> {
    let mut profile = Profile::plain(Duration::from_millis(delay_ms));
    profile.jitter = Duration::from_millis(jitter_ms);
    profile.loss = Loss::Random { per_million: loss_per_million };
    Some(profile)
}

const fn case(names: [&'static str; 2], link: Option<Profile>) -> Case {
    Case { names, link, socket_only: false, likeness: None }
}

const CASES: [Case; 6] = [
    case(["plain p50", "plain p95"], None),
    case(["jitter p50", "jitter p95"], link(0, 30, 0)),
    Case { likeness: Some("loss 5 stoi"), ..case(["loss 5 p50", "loss 5 p95"], link(20, 0, 50_000)) },
    Case { likeness: Some("loss 20 stoi"), ..case(["loss 20 p50", "loss 20 p95"], link(20, 0, 200_000)) },
    Case {
        socket_only: true,
        likeness: Some("socket 5 stoi"),
        ..case(["socket 5 p50", "socket 5 p95"], link(20, 0, 50_000))
    },
    Case {
        socket_only: true,
        likeness: Some("socket 20 stoi"),
        ..case(["socket 20 p50", "socket 20 p95"], link(20, 0, 200_000))
    },
];

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let scratch = tempfile::tempdir_in(&setting.disk)?;
    let speech = scratch.path().join("speech.wav");
    let sound = wav::read(&programs::fixture(SPEECH))?;
    wav::write(&speech, &sound[..sound.len().min(SAMPLES)])?;
    let server = setting.cores.on_servers(|| Server::start(&setting.programs, scratch.path()))?;
    let mut links: Vec<Proxy> = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        let room = room(at);
        server.add_room(&room)?;
        server.add_user(&format!("talker{at}"), &room)?;
        match case.link {
            None => server.add_user(&format!("listener{at}"), &room)?,
            Some(profile) => links.push(server.add_user_over(&format!("listener{at}"), &room, profile, at as u64)?),
        }
    }
    server.add_user("late", &room(0))?;
    let rounds = Rounds::run(setting.pairs, &mut [Contender::new("ours", || round(&server, &speech, scratch.path()))])?;
    server.stop()?;
    let mut bench = Bench::new(
        "Five seconds of recorded speech go in at a talker and come out at a listener: real clients, each a process, encoder, floor, voice \
         path, jitter buffer and decoder included; sound devices are not. Of every frame, the time from when its first sample was captured until it \
         is given to the loudspeaker. Voice goes by datagram (sealed UDP), or over the socket where the line says so. The listener's link has what the \
         line names in both directions: jitter is spread evenly from nothing to that much; loss has 20 ms of delay; over the socket each lost \
         segment comes again after 200 ms, as by Linux's shortest retransmission timer, and all behind it waits. Likeness (STOI, 0 to 1) compares \
         what was heard live, frames that never came concealed, with what was said. Late entry: from the subscription, in mid-burst, to the first sample.",
    );
    bench.discarded = rounds.discarded;
    let judged: [(&str, &str, Option<Wanted<'_>>); 4] = [
        ("mouth to ear, median", "plain p50", Some(("≤ 80 ms", |ours, _| ours.median <= 80.0))),
        ("mouth to ear, p95", "plain p95", None),
        ("mouth to ear at 30 ms jitter, median", "jitter p50", Some(("≤ 120 ms", |ours, _| ours.median <= 120.0))),
        ("mouth to ear at 30 ms jitter, p95", "jitter p95", None),
    ];
    for (what, name, goal) in judged {
        bench.compare(&rounds, (what, "ms"), ("ours", name), &[], goal);
    }
    for (loss, ours, socket) in [
        ("5 %", ["loss 5 p50", "loss 5 p95", "loss 5 stoi"], ["socket 5 p50", "socket 5 p95", "socket 5 stoi"]),
        ("20 %", ["loss 20 p50", "loss 20 p95", "loss 20 stoi"], ["socket 20 p50", "socket 20 p95", "socket 20 stoi"]),
    ] {
        for (at, (what, unit)) in
            [("mouth to ear, median", "ms"), ("mouth to ear, p95", "ms"), ("heard live, likeness", "STOI")]
                .into_iter()
                .enumerate()
        {
            let beside = [("over the socket", "ours", socket[at])];
            bench.compare(&rounds, (&format!("{loss} loss, {what}"), unit), ("ours", ours[at]), &beside, None);
        }
    }
    let clipped: Option<Wanted<'_>> = Some(("0 clipped", |ours, _| ours.max <= 0.0));
    bench.compare(&rounds, ("frames clipped at the beginning, all links", "frames"), ("ours", "clipped"), &[], clipped);
    let soon: Option<Wanted<'_>> = Some(("≤ 150 ms", |ours, _| ours.median <= 150.0));
    bench.compare(&rounds, ("late entry", "ms"), ("ours", "late entry"), &[], soon);
    bench.compare(&rounds, ("floor granted after key-down", "ms"), ("ours", "access"), &[], None);
    bench.note("Over the socket loss becomes delay. A datagram that is lost comes as a copy in a later one, once loss was reported, or is concealed.");
    bench.note("A browser's figures are in its own test (`./x test browser`), not here.");
    Ok(bench)
}

fn room(at: usize) -> String {
    format!("Link {at}")
}

/// All links at the same time: what they need of the cores is little.
fn round(server: &Server, speech: &Path, scratch: &Path) -> Result<Sample> {
    let mut listeners = Vec::new();
    for (at, case) in CASES.iter().enumerate() {
        listeners.push(listen(server, &format!("listener{at}"), &room(at), scratch, case.socket_only)?);
    }
    let mut talkers = Vec::new();
    for at in 0..CASES.len() {
        talkers.push(
            server
                .client(&format!("talker{at}"), &["talk", &room(at), text(speech)?, "--frames", "--receipts", "0"])?,
        );
    }
    let captured = |line: &Value| line["type"] == "captured" && line["number"].as_u64() >= Some(JOIN_AFTER);
    talkers[0].wait_for(PATIENCE, captured).context("the first second")?;
    let (late, _) = listen(server, "late", &room(0), scratch, false)?;
    let mut values = Vec::new();
    let mut clipped = 0.0;
    for ((case, talker), (listener, _)) in CASES.iter().zip(talkers).zip(listeners) {
        let said = talker.finish(PATIENCE).with_context(|| format!("who talks ({})", case.names[0]))?;
        let heard = listener.finish(PATIENCE).with_context(|| format!("who listens ({})", case.names[0]))?;
        let mut delays = delays(&said, &heard);
        let first =
            heard.iter().filter(|line| line["type"] == "heard").filter_map(|line| line["number"].as_u64()).min();
        clipped += first.map_or(0.0, |first| first.saturating_sub(1) as f64);
        let [p50, p95] = case.names;
        values.push((p50, percentile(&mut delays, 500)));
        values.push((p95, percentile(&mut delays, 950)));
        if case.link.is_none() {
            let access =
                said.iter().find_map(|line| line["access_us"].as_f64()).context("the floor was not granted")?;
            values.push(("access", access / 1e3));
        }
        if let Some(likeness) = case.likeness {
            let played = heard.iter().find(|line| line["type"] == "played").and_then(|line| line["file"].as_str());
            let sound = wav::read(&PathBuf::from(played.context("nothing was played")?))?;
            values.push((likeness, compare(&wav::read(speech)?, &sound).similarity));
        }
    }
    values.push(("clipped", clipped));
    let lines = late.finish(PATIENCE).context("who came late")?;
    let entry = lines.iter().find_map(|line| line["late_entry_us"].as_f64()).context("who came late heard nothing")?;
    values.push(("late entry", entry / 1e3));
    Ok(Sample::new(0.0, values))
}

fn listen(server: &Server, who: &str, room: &str, scratch: &Path, socket_only: bool) -> Result<(Running, PathBuf)> {
    let folder = scratch.join(who);
    let mut arguments = vec!["listen", room, "--out", text(&folder)?, "--bursts", "1", "--timeout", "60", "--frames"];
    arguments.extend(socket_only.then_some("--no-udp"));
    let mut running = server.client(who, &arguments)?;
    running.wait_for(PATIENCE, |line| line["type"] == "listening").with_context(|| format!("{who} was not let in"))?;
    Ok((running, folder))
}

/// Of each frame that was heard, ms from mouth to ear.
fn delays(said: &[Value], heard: &[Value]) -> Vec<f64> {
    let at = |lines: &[Value], kind: &str, time: &str| -> BTreeMap<u64, u64> {
        let lines = lines.iter().filter(|line| line["type"] == kind);
        lines.filter_map(|line| Some((line["number"].as_u64()?, line[time].as_u64()?))).collect()
    };
    let captured = at(said, "captured", "captured_us");
    let heard = at(heard, "heard", "heard_us");
    heard.iter().filter_map(|(number, at)| Some(at.saturating_sub(*captured.get(number)?) as f64 / 1e3)).collect()
}
