//! Everything that is kept of a person, as lines of JSON: for themself, or for an admin who answers for them.
//!
//! Each line is an object with a `type`: `export` first, then `user`, `device`, `membership`, `invite`, `record`, `event` (what they
//! sent, of every room), `frames` (what they spoke, after its `burst.started`: base64 of the body that
//! `GET /rooms/{room}/bursts/{burst}/frames` gives), and `end` last, with the number of lines before it: an export without it is not
//! whole. It is read page by page while it is sent, so it costs little memory however much somebody said.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{Bytes, BytesMut};
use holler_core::model::{Event, EventBody};
use holler_core::units::{BurstId, FrameNo, RoomId, Seq, UserId};
use holler_core::wire::frames;
use holler_core::wire::limits::{FRAMES_PER_BURST_MAX, STALLED_READER_MAX};
use holler_core::wire::problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::auth::Auth;
use crate::storage::accounts::AccountError;
use crate::storage::audit::{Action, Actor};
use crate::storage::{Store, StoreError, log};

/// Exports that run at once in this process; more are refused for now.
const AT_ONCE_MAX: usize = 2;
/// Lines that wait to be sent; the longest, of frames, has about 450 KiB.
const LINES_AHEAD: usize = 4;
/// Events that are read at once.
const PAGE: u32 = 200;
/// Frames of one line.
const FRAMES_OF_LINE: u16 = 250;
/// Rows of receipts and the like; older ones are left out, and `end` says so.
const RECORDS_MAX: usize = 100_000;

static RUNNING: Semaphore = Semaphore::const_new(AT_ONCE_MAX);

/// A line, or why there will be no further one.
pub type Line = Result<Bytes, StoreError>;

/// Begins the export of a user, told in the audit log. Lines come for as long as somebody takes them.
pub async fn begin(auth: &Auth, store: &Store, actor: Actor, user: UserId) -> Result<mpsc::Receiver<Line>, Problem> {
    let busy = |_| {
        let detail = "as many exports run as may at once: try again in a minute";
        Problem::new(ProblemKind::Unavailable, detail).retry_after_s(60)
    };
    let permit = RUNNING.try_acquire().map_err(busy)?;
    auth.write(actor, move |accounts, _| {
        accounts.user(user)?.ok_or(AccountError::NoUser)?;
        Ok(accounts.record(Action::UserExported, |entry| entry.target(user))?)
    })
    .await?;
    let (lines, taken) = mpsc::channel(LINES_AHEAD);
    let mut export = Export { auth: auth.clone(), store: store.clone(), user, lines, count: 0 };
    tokio::spawn(async move {
        let _permit = permit;
        match export.run().await {
            Ok(()) | Err(Stopped::NobodyTakes) => {}
            Err(Stopped::Store(error)) => {
                tracing::error!(%error, "an export broke off");
                let _ = export.lines.try_send(Err(error));
            }
        }
    });
    Ok(taken)
}

/// Why an export ended early.
enum Stopped {
    NobodyTakes,
    Store(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Export {
    auth: Auth,
    store: Store,
    user: UserId,
    lines: mpsc::Sender<Line>,
    count: u64,
}

impl Export {
    async fn run(&mut self) -> Result<(), Stopped> {
        let user = self.user;
        let read = move |accounts: &crate::storage::accounts::Accounts<'_>| {
            let row = accounts.user(user)?.ok_or(AccountError::NoUser)?;
            let mut lines = vec![json!({"type": "user", "id": row.id, "login": row.login, "name": row.name,
                "role": row.role, "suspended_at": accounts.suspended_at(user)?})];
            for device in accounts.devices(user)? {
                lines.push(json!({"type": "device", "id": device.id, "name": device.name,
                    "created_at": device.created_at, "last_used_at": device.last_used_at, "revoked": device.revoked}));
            }
            for room in accounts.rooms_of(user)? {
                let role = accounts.role_in(room.id, user)?;
                lines.push(json!({"type": "membership", "room": room.id, "name": room.name, "role": role}));
            }
            for invite in accounts.invites(Some(user))? {
                lines.push(json!({"type": "invite", "id": invite.id, "note": invite.note, "made_at": invite.made_at,
                    "expires_at": invite.expires_at, "uses": invite.uses, "revoked": invite.revoked}));
            }
            let records = accounts.records(user, RECORDS_MAX)?;
            let cut = records.len() == RECORDS_MAX;
            for mut record in records {
                record["type"] = "record".into();
                lines.push(record);
            }
            let rooms: Vec<RoomId> = accounts.rooms()?.into_iter().map(|room| room.id).collect();
            Ok((lines, rooms, cut))
        };
        // A user who is erased meanwhile, or a fault of the database: either way it is not whole.
        let read = self.auth.read(read).await.map_err(|problem| StoreError::OutOfBounds(problem.detail))?;
        let (lines, rooms, cut) = read;
        self.line(json!({"type": "export", "format": 1, "workspace": self.auth.workspace(), "user": user})).await?;
        for line in lines {
            self.line(line).await?;
        }
        for room in rooms {
            self.room(room).await?;
        }
        let count = self.count;
        self.line(json!({"type": "end", "lines": count, "records_left_out": cut})).await
    }

    async fn room(&mut self, room: RoomId) -> Result<(), Stopped> {
        let mut after = Seq(0);
        loop {
            let (user, vault) = (self.user, self.store.vault().clone());
            let page: Vec<Event> =
                self.store.read(move |db| log::events_by(db, &vault, room, user, after, PAGE)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.seq;
            for event in page {
                self.line(json!({"type": "event", "event": event})).await?;
                if let EventBody::BurstStarted { header, .. } = event.body {
                    self.frames(room, header.burst).await?;
                }
            }
        }
    }

    async fn frames(&mut self, room: RoomId, burst: BurstId) -> Result<(), Stopped> {
        let present = self.store.burst(room, burst).await?.map(|found| found.present).unwrap_or_default();
        let last = present.last().map_or(0, |range| range.to.0).min(FRAMES_PER_BURST_MAX);
        let mut from = 1;
        while from <= last {
            let to = from.saturating_add(FRAMES_OF_LINE - 1).min(last);
            let found = self.store.frames(room, burst, FrameNo(from), FrameNo(to)).await?;
            let mut body = BytesMut::new();
            for (number, payload) in &found {
                frames::put(&mut body, *number, payload);
            }
            if !found.is_empty() {
                self.line(json!({"type": "frames", "room": room, "burst": burst, "frames": BASE64.encode(&body)}))
                    .await?;
            }
            from = to + 1;
        }
        Ok(())
    }

    async fn line(&mut self, line: Value) -> Result<(), Stopped> {
        let wait: Duration = STALLED_READER_MAX;
        let text = Bytes::from(format!("{line}\n"));
        self.count += 1;
        let sent = tokio::time::timeout(wait, self.lines.send(Ok(text))).await;
        if matches!(sent, Ok(Ok(()))) { Ok(()) } else { Err(Stopped::NobodyTakes) }
    }
}
