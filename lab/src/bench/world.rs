//! A data folder with people and rooms in it, and the real server on it.
//!
//! People are made as the server makes them, by its own library, before it starts: a thousand sign-ins would measure Argon2. Their
//! access tokens are real, signed with the server's key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use holler_client::trust;
use holler_core::model::{EventBody, Role, RoomKind, Scope, UserRole};
use holler_core::units::{ClientId, DeviceId, RoomId, UnixMs, UserId};
use holler_server::auth::tokens::{Subject, TokenKeys};
use holler_server::auth::{Auth, Lifetimes};
use holler_server::clock::Clock;
use holler_server::first_start;
use holler_server::keys::KeyRing;
use holler_server::storage::accounts::{AccountError, Accounts, UserRow};
use holler_server::storage::audit::Actor;
use holler_server::storage::{Append, NoHooks, Store};
use rustls::ClientConfig;
use tempfile::TempDir;

use super::Setting;
use super::wire::id;
use crate::programs::Server;

/// How long tokens hold: longer than any bench.
const LIFETIME: Duration = Duration::from_secs(86_400);
/// Events that are stored at once.
const STORED_AT_ONCE: u64 = 500;
/// What people write: an ordinary report.
pub(super) const TEXT: &str = "We are at gate four, all quiet here. Over.";

/// Somebody with a device.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) token: String,
}

/// What a world has in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// How many people.
    pub(super) people: u64,
    /// Rooms, each with its members: the people from the first number to before the second.
    pub(super) rooms: Vec<(u64, u64)>,
    /// Messages in the log of the first room.
    pub(super) events: u64,
}

/// A data folder, its people, and the server when it runs.
pub(super) struct World {
    scratch: TempDir,
    programs: PathBuf,
    pub(super) people: Vec<Person>,
    pub(super) rooms: Vec<RoomId>,
    server: Option<Server>,
}

impl World {
    /// Makes the folder and starts the server on its core.
    pub(super) fn start(setting: &Setting, plan: &Plan) -> Result<Self> {
        let mut world = Self::make(setting, plan)?;
        world.serve(setting)?;
        Ok(world)
    }

    /// Makes the folder only.
    pub(super) fn make(setting: &Setting, plan: &Plan) -> Result<Self> {
        let scratch = tempfile::tempdir_in(&setting.disk).context("a scratch folder")?;
        let rooms: Vec<RoomId> = (0..plan.rooms.len()).map(|at| RoomId::from_bytes(id(b'r', at as u64))).collect();
        let (data, keys) = (scratch.path().join("data"), scratch.path().join("keys"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let people = runtime.block_on(async {
            let store = Store::open(&data, KeyRing::load_or_create(&keys, &data)?, Arc::new(NoHooks))?;
            let people = populate(&store, plan, &rooms).await?;
            if let Some(room) = rooms.first() {
                write_log(&store, *room, &people, plan.events).await?;
            }
            store.close().await;
            anyhow::Ok(people)
        })?;
        Ok(Self { scratch, programs: setting.programs.clone(), people, rooms, server: None })
    }

    /// Starts the server.
    pub(super) fn serve(&mut self, setting: &Setting) -> Result<()> {
        self.server = None;
        let server = setting.cores.on_servers(|| Server::start(&self.programs, self.scratch.path()))?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), Server::stop)
    }

    pub(super) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server does not run")
    }

    pub(super) fn pid(&self) -> Result<u32> {
        Ok(self.server()?.pid())
    }

    pub(super) fn address(&self) -> Result<SocketAddr> {
        self.server()?.address()
    }

    /// TLS as a client does it that trusts this server.
    pub(super) fn tls(&self) -> Result<Arc<ClientConfig>> {
        Ok(trust::client_config(Some(self.server()?.root()))?)
    }

    /// The server's database.
    pub(super) fn database(&self) -> PathBuf {
        self.scratch.path().join("data").join("holler.db")
    }

    /// The server's certificate and its key, for others to serve with.
    pub(super) fn certificate(&self) -> (PathBuf, PathBuf) {
        let [_, chain, key] = holler_server::pki::local_files(&self.scratch.path().join("keys"));
        (chain, key)
    }
}

async fn populate(store: &Store, plan: &Plan, rooms: &[RoomId]) -> Result<Vec<Person>> {
    let clock = Clock::default();
    let now = clock.unix();
    let workspace = first_start::workspace(store, clock).await?.id;
    // Makes the keys.
    Auth::open(store.clone(), workspace, clock, Lifetimes { access: LIFETIME, refresh: LIFETIME }).await?;
    let vault = store.vault().clone();
    let (count, with) = (plan.people, rooms.iter().copied().zip(plan.rooms.clone()).collect::<Vec<_>>());
    let keys = store
        .write(move |db| {
            let accounts = Accounts::open(db, &vault, workspace)?.acting(Actor::Server, now);
            for number in 0..count {
                let (user, device) = (UserId::from_bytes(id(b'u', number)), DeviceId::from_bytes(id(b'd', number)));
                let login = format!("p{number}");
                let row = UserRow { id: user, login: login.clone(), name: login, role: UserRole::Member };
                accounts.add_user(&row, "none: no password fits", now)?;
                accounts.add_device(device, user, "bench", now)?;
                accounts.add_token(device, Scope::ALL, UnixMs(now.0 + 1_000 * LIFETIME.as_secs()))?;
            }
            for (at, (room, (from, to))) in with.into_iter().enumerate() {
                accounts.add_room(room, RoomKind::Channel, &format!("Room {at}"), now)?;
                for number in from..to {
                    accounts.set_member(room, UserId::from_bytes(id(b'u', number)), Role::Talker, now)?;
                }
            }
            Ok::<_, AccountError>(accounts.signing_keys()?)
        })
        .await?;
    let keys = TokenKeys::new(workspace, &keys)?;
    (0..count)
        .map(|number| {
            let (user, device) = (UserId::from_bytes(id(b'u', number)), DeviceId::from_bytes(id(b'd', number)));
            let subject = Subject { user, device, sign_in: None, scopes: Scope::ALL.to_vec() };
            let token = keys.sign(subject, now, LIFETIME.as_secs()).map_err(|problem| anyhow::anyhow!("{problem}"))?;
            Ok(Person { user, device, token })
        })
        .collect()
}

async fn write_log(store: &Store, room: RoomId, people: &[Person], events: u64) -> Result<()> {
    let mut number = 0;
    while number < events {
        let mut writes = tokio::task::JoinSet::new();
        for _ in 0..STORED_AT_ONCE.min(events - number) {
            let person = &people[usize::try_from(number)? % people.len()];
            let append = message(room, person, number);
            let store = store.clone();
            writes.spawn(async move { store.append(append).await });
            number += 1;
        }
        while let Some(written) = writes.join_next().await {
            written??;
        }
    }
    Ok(())
}

/// A message as the store takes it.
pub(super) fn message(room: RoomId, person: &Person, number: u64) -> Append {
    Append {
        room,
        user: person.user,
        device: person.device,
        role: Role::Talker,
        client_id: ClientId::from_bytes(spread(number)),
        epoch: None,
        body: EventBody::MessagePosted { text: TEXT.to_owned(), reply_to: None },
        received_at: UnixMs(1_790_000_000_000),
    }
}

/// Identifiers that are spread over the whole range, as the random ones of real clients are.
pub(super) fn spread(number: u64) -> [u8; 16] {
    u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes()
}
