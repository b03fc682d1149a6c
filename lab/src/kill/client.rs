//! A client process of the kill test: the native client, with a person who writes and talks without pause.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds, those that matter here are picked out")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use holler_client::client::{Client, Talk, Told};
use holler_client::sound::{Plays, Recorded, Sound, ToPlay};
use holler_client::store::Store;
use holler_core::engine::{LinkState, Notice, SendState, TalkState};
use holler_core::model::{BurstHeader, EventBody};
use holler_core::units::{BurstId, ClientId, RoomId};
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::history::Entry;

/// Sends that wait for their answer at most.
const IN_FLIGHT_MAX: usize = 12;
/// How often something is done.
const TICK: Duration = Duration::from_millis(15);
/// How long the button is held.
const HOLD: Duration = Duration::from_millis(260);

/// What a client process is told, as its only argument.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Its store, signed in.
    pub folder: PathBuf,
    /// The room.
    pub room: RoomId,
    /// For what it does.
    pub seed: u64,
}

/// What it says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// It follows the room from here on.
    Begins {
        /// The last event that it does not ask for.
        after: u64,
    },
    /// It begins anew to ask where the log ends.
    Asks,
    /// The server told where the log ends.
    Room {
        /// There.
        head: u64,
    },
    /// A send was acked.
    Acked {
        /// Which.
        client_id: ClientId,
        /// Its place.
        seq: u64,
    },
    /// An event was shown.
    Seen {
        /// Which.
        entry: Entry,
    },
    /// A text that was written without a connection is on its disk.
    KeptText {
        /// Which.
        client_id: ClientId,
    },
    /// A burst was spoken to its end, and is on its disk.
    KeptBurst {
        /// Which.
        burst: BurstId,
    },
    /// A burst of its own is at the server.
    Delivered {
        /// Which.
        burst: BurstId,
    },
    /// What lies before this place can't be had: the log was set back, or cut.
    Gap {
        /// There.
        first: u64,
    },
    /// Something that must not be.
    Trouble {
        /// What.
        detail: String,
    },
}

fn say(line: &Line) {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    // In one write, so that a line is there or not. Without a parent there is nobody to tell.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(&text).and_then(|()| out.flush());
}

/// The frame that a client says, different for each burst and number.
pub fn payload(burst: BurstId, number: u16) -> Bytes {
    let mut bytes = burst.bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.resize(60, 7);
    bytes.into()
}

/// A microphone that gives numbered frames, and ears that play nothing.
#[derive(Default)]
struct Numbered {
    running: BTreeMap<BurstId, Arc<AtomicBool>>,
}

impl Sound for Numbered {
    fn start_capture(&mut self, header: &BurstHeader, to: Arc<dyn Recorded>) {
        let (burst, frame) = (header.burst, header.frame_ms.duration());
        let on = Arc::new(AtomicBool::new(true));
        self.running.insert(burst, Arc::clone(&on));
        std::thread::spawn(move || {
            let mut number = 1;
            while on.load(Ordering::Relaxed) {
                std::thread::sleep(frame);
                to.frame(holler_client::clock::now() - frame, payload(burst, number));
                number += 1;
            }
            to.ended(None);
        });
    }

    fn stop_capture(&mut self, burst: BurstId) {
        if let Some(on) = self.running.remove(&burst) {
            on.store(false, Ordering::Relaxed);
        }
    }

    fn start_playback(&mut self, _: &ToPlay, _: Arc<dyn Plays>) {}

    fn wake(&mut self) {}

    fn stop_playback(&mut self, _: BurstId) {}
}

/// Runs until it is killed.
pub fn run(orders: &str) -> Result<()> {
    let orders: Orders = serde_json::from_str(orders).context("the orders")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let result = runtime.block_on(live(&orders));
    if let Err(error) = &result {
        say(&Line::Trouble { detail: format!("{error:#}") });
    }
    result
}

/// Says it once all that was handed to the store is on disk. From then on no kill may lose it.
fn kept(store: &Store, line: Line) {
    let store = store.clone();
    tokio::task::spawn_blocking(move || {
        store.flush();
        say(&line);
    });
}

async fn live(orders: &Orders) -> Result<()> {
    let Orders { room, seed, .. } = *orders;
    let store = Store::open(&orders.folder, &crate::programs::unlock(), |fault| say(&Line::Trouble { detail: fault }))?;
    let cursor = store.cursor(room)?;
    let (client, mut told) = Client::start(&store, Numbered::default(), false)?;
    if let Some(cursor) = cursor {
        say(&Line::Begins { after: cursor.seq.0 });
    }
    client.follow(room, cursor, true);
    let mut chance = Chance::new(seed);
    let (tell, mut commands) = tokio::sync::mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut ticks = tokio::time::interval(TICK);
    let mut waiting: BTreeSet<ClientId> = BTreeSet::new();
    let (mut begun, mut ending, mut count) = (cursor.is_some(), false, 0_u64);
    let mut talking: Option<tokio::time::Instant> = None;
    loop {
        tokio::select! {
            now = ticks.tick() => {
                if talking.is_some_and(|since| now >= since + HOLD) {
                    client.key_up();
                    talking = None;
                }
                if ending {
                    continue;
                }
                if waiting.len() < IN_FLIGHT_MAX {
                    count += 1;
                    let text = format!("{seed:x} {count}");
                    waiting.insert(client.send(room, EventBody::MessagePosted { text, reply_to: None })?);
                }
                if talking.is_none() && chance.one_in(60) {
                    client.key_down(room, Talk { queue: true, when_free: true, ..Talk::default() })?;
                    talking = Some(now);
                }
            }
            command = commands.recv() => match command.as_deref() {
                Some("up") => client.network_up(),
                Some("end") => ending = true,
                _ => return Ok(()),
            },
            said = told.recv() => match said.context("the client ended")? {
                Told::Notice(Notice::Room { head, .. }) => {
                    if !std::mem::replace(&mut begun, true) {
                        say(&Line::Begins { after: head.seq.0 });
                    }
                    say(&Line::Room { head: head.seq.0 });
                }
                // A connection begins with that question; what is acked while the answer is on its way need not be in it.
                Told::Notice(Notice::Link(LinkState::Connecting { .. })) => say(&Line::Asks),
                Told::Notice(Notice::Event(event)) => say(&Line::Seen { entry: Entry::from(&*event) }),
                Told::Notice(Notice::Send { client_id, state: SendState::Acked { seq, .. }, .. }) => {
                    waiting.remove(&client_id);
                    say(&Line::Acked { client_id, seq: seq.0 });
                }
                Told::Notice(Notice::Send { state: SendState::Refused { problem }, .. }) => {
                    say(&Line::Trouble { detail: format!("a text was refused: {problem}") });
                }
                Told::Notice(Notice::Send { client_id, state: SendState::Waiting, .. }) => {
                    kept(&store, Line::KeptText { client_id });
                }
                Told::Notice(Notice::Talk { burst, state: TalkState::Ending, .. }) => {
                    kept(&store, Line::KeptBurst { burst });
                }
                Told::Notice(Notice::Talk { burst, state: TalkState::Delivered, .. }) => say(&Line::Delivered { burst }),
                Told::Notice(Notice::HistoryGap { first_seq, .. }) => {
                    say(&Line::Gap { first: first_seq.0 });
                }
                Told::Notice(Notice::EventsMissing { after, found, .. }) => {
                    say(&Line::Trouble { detail: format!("{found} came straight after {after}") });
                }
                Told::Notice(Notice::Link(LinkState::Ended { reason })) => {
                    say(&Line::Trouble { detail: format!("it does not connect any more: {reason}") });
                }
                _ => {}
            },
        }
    }
}
