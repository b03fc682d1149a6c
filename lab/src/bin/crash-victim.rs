//! Runs the real store and dies where it is told to: the victim of `lab/tests/crash.rs`.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use holler_core::model::{EventBody, Role};
use holler_core::units::UnixMs;
use holler_lab::crash::{Fault, Orders, ROOMS, Said, Send};
use holler_server::keys::KeyRing;
use holler_server::storage::{Append, AppendError, Hooks, Point, ServeLock, Store, StoreError, log};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

struct Suicide {
    fault: Fault,
    passes: AtomicU32,
    failed: AtomicU32,
    limit: OnceLock<Rlimit>,
}

impl Hooks for Suicide {
    fn at(&self, point: Point) {
        match self.fault {
            Fault::None => {}
            Fault::Kill { point: at, pass } => {
                if Point::ALL.get(at) == Some(&point) && self.passes.fetch_add(1, Ordering::SeqCst) + 1 == pass {
                    let _ = kill_process(getpid(), Signal::KILL);
                    // The signal comes before the call returns; if not, at least nothing more happens here.
                    std::thread::park();
                }
            }
            Fault::FullFiles { pass } => {
                if point == Point::Written && self.passes.fetch_add(1, Ordering::SeqCst) + 1 == pass {
                    let before = getrlimit(Resource::Fsize);
                    let _ = self.limit.set(before);
                    // No file grows beyond its first page.
                    let _ = setrlimit(Resource::Fsize, Rlimit { current: Some(4_096), maximum: before.maximum });
                }
            }
        }
    }
}

impl Suicide {
    /// After the third failure, files may grow again.
    fn failed(&self) {
        if self.failed.fetch_add(1, Ordering::SeqCst) + 1 == 3
            && let Some(limit) = self.limit.get()
        {
            let _ = setrlimit(Resource::Fsize, *limit);
        }
    }
}

fn say(said: &Said) {
    static OUT: Mutex<()> = Mutex::new(());
    let _one_at_a_time = OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    let mut out = std::io::stdout();
    // Once nobody listens there is nobody to tell.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let orders = std::env::args().nth(1).context("expected orders as JSON")?;
    let Orders { top, fault } = serde_json::from_str(&orders)?;
    let data = Orders::data(&top);
    let _lock = ServeLock::acquire(&data)?;
    let ring = KeyRing::load_or_create(&Orders::keys(&top), &data)?;
    let hooks =
        Arc::new(Suicide { fault, passes: AtomicU32::new(0), failed: AtomicU32::new(0), limit: OnceLock::new() });
    let store = Store::open(&data, ring, Arc::clone(&hooks) as Arc<dyn Hooks>)?;
    for room in ROOMS {
        if store.log_head(room).await?.is_none() {
            let vault = store.vault().clone();
            store.write(move |db| log::create(db, &vault, room)).await?;
        }
    }
    let told = Arc::clone(&hooks);
    store.set_fanout(Arc::new(move |room, events| {
        for event in events.iter() {
            say(&Said::Event { room, seq: event.seq.0, client_id: event.client_id });
            told.at(Point::FannedOut);
        }
    }));

    let mut sends = tokio::task::JoinSet::new();
    let (lines, mut line) = tokio::sync::mpsc::channel(64);
    std::thread::spawn(move || {
        for text in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(text).is_err() {
                break;
            }
        }
    });
    while let Some(line) = line.recv().await {
        let send: Send = serde_json::from_str(&line)?;
        let (store, hooks) = (store.clone(), Arc::clone(&hooks));
        sends.spawn(async move {
            let answer = store.append(append(&send)).await;
            match answer {
                Ok(appended) => {
                    let seq = appended.event.seq.0;
                    say(&Said::Ack { number: send.number, seq, replayed: appended.replayed });
                    store.hooks().at(Point::Acked);
                }
                Err(error) => {
                    let unknown = matches!(error, AppendError::Store(StoreError::Unknown(_)));
                    hooks.failed();
                    say(&Said::Nack { number: send.number, unknown, why: error.to_string() });
                }
            }
        });
    }
    while sends.join_next().await.is_some() {}
    store.close().await;
    Ok(())
}

fn append(send: &Send) -> Append {
    Append {
        room: send.room(),
        user: send.user(),
        device: send.device(),
        role: Role::Talker,
        client_id: send.client_id(),
        epoch: None,
        body: EventBody::MessagePosted { text: send.text(), reply_to: None },
        received_at: UnixMs(1_790_000_000_000),
    }
}
