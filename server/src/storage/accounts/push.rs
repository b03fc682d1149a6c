//! Where devices are told of what they missed, of what, and what a notification says.

use holler_core::model::{EventBody, RoomKind};
use holler_core::seal::Place;
use holler_core::units::{DeviceId, RoomId, UnixMs, UserId};
use holler_core::wire::rest::{PushRules, PushSubscription, PushTarget};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, ms};
use crate::storage::audit::Action;
use crate::storage::{StoreError, log, push};

/// Most characters of a text that a notification has.
const EXCERPT_CHARS: usize = 120;

/// Reads what a row of `push_rules` holds; none means the defaults.
pub fn push_rules(row: Option<&str>) -> Result<PushRules, StoreError> {
    let damaged = |error| StoreError::Damaged(format!("rules of notifications: {error}"));
    row.map_or_else(|| Ok(PushRules::default()), |text| serde_json::from_str(text).map_err(damaged))
}

/// What a notification is to say, and where.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Where it goes.
    pub target: PushTarget,
    /// What it is about.
    pub entry: push::Entry,
    /// What the last event is: `message`, `burst` or `emergency`.
    pub kind: &'static str,
    /// When that came.
    pub at: UnixMs,
    /// 24 bytes by which a push service knows its predecessor, and nothing about the room.
    pub topic: [u8; 24],
    /// What may be shown; `None`: the room is encrypted end to end.
    pub words: Option<Words>,
}

/// What may be shown of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The room's name; of a direct room none, as that is who wrote.
    pub room: Option<String>,
    /// Who wrote or spoke.
    pub from: Option<String>,
    /// How a text begins.
    pub text: Option<String>,
}

/// What is to become of an entry that is due.
#[derive(Clone, Debug)]
pub enum Told {
    /// It goes out.
    Tell(Box<Notice>),
    /// Nobody needs it any more, for this reason.
    Drop(&'static str),
}

impl Accounts<'_> {
    /// The key that Web Push services know this server by (PKCS #8), if there is one.
    pub fn push_key(&self) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .db
            .prepare_cached("SELECT private FROM push_keys WHERE workspace_id = ?1")?
            .query_row([self.ws()], |row| row.get(0))
            .optional()?;
        let place = Place { table: "push_keys", column: "private", row: &[self.ws()] };
        sealed.map(|sealed| Ok(Zeroizing::new(self.sealer.open(&place, &sealed)?))).transpose()
    }

    /// Keeps that key, for good: every subscription of a browser is bound to it.
    pub fn add_push_key(&self, private: &[u8], now: UnixMs) -> Result<(), StoreError> {
        let place = Place { table: "push_keys", column: "private", row: &[self.ws()] };
        self.db
            .prepare_cached("INSERT INTO push_keys (workspace_id, private, made_at) VALUES (?1, ?2, ?3)")?
            .execute(params![self.ws(), self.sealer.seal(&place, private)?, ms(now)])?;
        self.record(Action::PushKeyMade, |entry| entry.target(self.workspace))
    }

    /// Where a device is told.
    pub fn push_subscription(&self, device: DeviceId) -> Result<Option<PushSubscription>, StoreError> {
        let row: Option<(Vec<u8>, i64, u32)> = self
            .db
            .prepare_cached(
                "SELECT target, made_at, (SELECT count(*) FROM push_queue q WHERE q.workspace_id = s.workspace_id \
                 AND q.device_id = s.device_id AND dead_at IS NULL) \
                 FROM push_subscriptions s WHERE workspace_id = ?1 AND device_id = ?2",
            )?
            .query_row(params![self.ws(), device.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        row.map(|(target, made_at, waiting)| {
            let kind = self.push_target(device, &target)?.kind();
            Ok(PushSubscription { kind, made_at: crate::storage::columns::time(made_at)?, waiting })
        })
        .transpose()
    }

    /// A device is told there from now on, and no other device of whoever signed in there before.
    pub fn set_push_subscription(
        &self,
        device: DeviceId,
        user: UserId,
        target: &PushTarget,
        now: UnixMs,
    ) -> Result<PushSubscription, AccountError> {
        let json =
            Zeroizing::new(serde_json::to_vec(target).map_err(|error| StoreError::OutOfBounds(error.to_string()))?);
        let hash = self.sealer.lookup("push_subscriptions.target", &json);
        let known = "SELECT 1 FROM push_subscriptions WHERE workspace_id = ?1 AND device_id = ?2 AND target_hash = ?3";
        if !self.db.prepare_cached(known)?.exists(params![self.ws(), device.bytes(), hash])? {
            let place =
                "DELETE FROM push_subscriptions WHERE workspace_id = ?1 AND (target_hash = ?2 OR device_id = ?3)";
            self.db.prepare_cached(place)?.execute(params![self.ws(), hash, device.bytes()])?;
            self.db
                .prepare_cached(
                    "INSERT INTO push_subscriptions (workspace_id, device_id, user_id, kind, target, target_hash, made_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![
                    self.ws(),
                    device.bytes(),
                    user.bytes(),
                    target.kind().as_str(),
                    self.seal("push_subscriptions", "target", device.bytes(), &json)?,
                    hash,
                    ms(now)
                ])?;
            self.record(Action::PushSubscribed, |entry| entry.target(device).detail("kind", target.kind().as_str()))?;
        }
        self.push_subscription(device)?.ok_or(AccountError::NoSubscription)
    }

    /// A device is told nothing from now on. `service`: its push service says that there is no such device any more.
    pub fn remove_push_subscription(&self, device: DeviceId, service: bool) -> Result<(), AccountError> {
        let removed = self
            .db
            .prepare_cached("DELETE FROM push_subscriptions WHERE workspace_id = ?1 AND device_id = ?2")?
            .execute(params![self.ws(), device.bytes()])?;
        if removed == 0 {
            return Err(AccountError::NoSubscription);
        }
        Ok(self.record(Action::PushUnsubscribed, |entry| {
            entry.target(device).detail("by", if service { "push-service" } else { "device" })
        })?)
    }

    /// Of what a user is told.
    pub fn push_rules(&self, user: UserId) -> Result<PushRules, StoreError> {
        let row: Option<String> = self
            .db
            .prepare_cached("SELECT rules FROM push_rules WHERE workspace_id = ?1 AND user_id = ?2")?
            .query_row(params![self.ws(), user.bytes()], |row| row.get(0))
            .optional()?;
        push_rules(row.as_deref())
    }

    /// Sets of what a user is told.
    pub fn set_push_rules(&self, user: UserId, rules: &PushRules) -> Result<(), StoreError> {
        let text = serde_json::to_string(rules).map_err(|error| StoreError::OutOfBounds(error.to_string()))?;
        self.db
            .prepare_cached(
                "INSERT INTO push_rules (workspace_id, user_id, rules) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (workspace_id, user_id) DO UPDATE SET rules = excluded.rules",
            )?
            .execute(params![self.ws(), user.bytes(), text])?;
        Ok(())
    }

    /// What an entry that is due is to say, or why nobody needs it any more.
    pub fn notice(&self, entry: &push::Entry, now: UnixMs) -> Result<Told, StoreError> {
        if entry.expires_at <= now {
            return Ok(Told::Drop("expired"));
        }
        let row: Option<(Vec<u8>, [u8; 16])> = self
            .db
            .prepare_cached(
                "SELECT s.target, s.user_id FROM push_subscriptions s \
                 JOIN sign_ins i ON i.workspace_id = s.workspace_id AND i.device_id = s.device_id \
                 AND i.ended IS NULL AND i.expires_at > ?3 \
                 JOIN members m ON m.workspace_id = s.workspace_id AND m.user_id = s.user_id AND m.room_id = ?4 \
                 WHERE s.workspace_id = ?1 AND s.device_id = ?2",
            )?
            .query_row(params![self.ws(), entry.device.bytes(), ms(now), entry.room.bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((target, user)) = row else { return Ok(Told::Drop("gone")) };
        let user = UserId::from_bytes(user);
        if push::has_read(self.db, entry.room, user, entry.seq)? {
            return Ok(Told::Drop("read"));
        }
        let before = holler_core::units::Seq(entry.seq.0.saturating_sub(1));
        let (Some(head), Some(event)) =
            (log::head(self.db, entry.room)?, log::events(self.db, &self.vault, entry.room, before, 1)?.pop())
        else {
            return Ok(Told::Drop("gone"));
        };
        if event.seq != entry.seq {
            // Retention was faster.
            return Ok(Told::Drop("gone"));
        }
        let kind = if let EventBody::EmergencyRaised {} = event.body {
            "emergency"
        } else if let EventBody::BurstStarted { .. } = event.body {
            "burst"
        } else {
            "message"
        };
        let words = if head.epoch.0 == 0 { Some(self.words(entry.room, user, &event)?) } else { None };
        let mut topic = [0; 24];
        let place = [entry.device.bytes().as_slice(), entry.room.bytes(), entry.subject.as_str().as_bytes()].concat();
        topic.copy_from_slice(&self.sealer.lookup("push.topic", &place)[..24]);
        let target = self.push_target(entry.device, &target)?;
        Ok(Told::Tell(Box::new(Notice { target, entry: entry.clone(), kind, at: event.received_at, topic, words })))
    }

    fn words(&self, room: RoomId, _to: UserId, event: &holler_core::model::Event) -> Result<Words, StoreError> {
        let room = self.room(room)?.filter(|room| room.kind != RoomKind::Direct).map(|room| room.name);
        let from = self.user(event.user)?.map(|user| user.name);
        let text = if let EventBody::MessagePosted { text, .. } = &event.body { Some(excerpt(text)) } else { None };
        Ok(Words { room, from, text })
    }

    fn push_target(&self, device: DeviceId, sealed: &[u8]) -> Result<PushTarget, StoreError> {
        let place = Place { table: "push_subscriptions", column: "target", row: &[self.ws(), device.bytes()] };
        let json = Zeroizing::new(self.sealer.open(&place, sealed)?);
        serde_json::from_slice(&json)
            .map_err(|_| StoreError::Damaged("where a device is told can't be read".to_owned()))
    }
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
    }
}
