//! The profile that a command uses, and what every command does first.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::path::PathBuf;

use holler_client::client::{Client, ClientError, Options, Told, rest_of};
use holler_client::rest::{Rest, RestError};
use holler_client::roster;
use holler_client::sound::{Silent, Sound};
use holler_client::store::{KeyError, Store, StoreError, Unlock};
use holler_core::engine::{LinkReason, LinkState, Notice};
use holler_core::units::{RoomId, UserId};
use holler_core::wire::problem::Problem;
use holler_core::wire::rest::Room;
use tokio::sync::mpsc::Receiver;

use crate::args::Common;
use crate::exit::{Code, Failure};
use crate::output;

/// Opens the profile's store.
pub(crate) fn store(common: &Common) -> Result<Store, Failure> {
    let folder = folder(common)?.join(&common.profile);
    let fault = |error: StoreError| Failure::from((Code::Fault, error));
    let mut unlock = Unlock::from_env().map_err(|error| fault(error.into()))?;
    loop {
        // Standard error is where a person looks; a program that reads standard output is not disturbed.
        let said = |words: String| drop(writeln!(stderr(), "holler: {words}"));
        match Store::open(&folder, &unlock, said) {
            Err(StoreError::Key(why @ (KeyError::PassphraseWanted | KeyError::NoKeystore(_)))) => {
                unlock = asked(why)?;
            }
            opened => return opened.map_err(fault),
        }
    }
}

/// Asks for the passphrase, where there is a person to ask.
fn asked(why: KeyError) -> Result<Unlock, Failure> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err((Code::Fault, why).into());
    }
    let new = matches!(why, KeyError::NoKeystore(_));
    let ask = |prompt| rpassword::prompt_password(prompt).map_err(|error| Failure::from((Code::Fault, error)));
    let passphrase = ask(if new { "A new passphrase for this profile: " } else { "The profile's passphrase: " })?;
    if new && ask("The same again: ")? != passphrase {
        return Err(Failure::new(Code::Usage, "the two passphrases differ"));
    }
    if passphrase.is_empty() {
        return Err(Failure::new(Code::Usage, "a passphrase has at least one character"));
    }
    Ok(Unlock::passphrase(passphrase))
}

fn folder(common: &Common) -> Result<PathBuf, Failure> {
    if let Some(home) = &common.home {
        return Ok(home.clone());
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("holler"))
        .ok_or_else(|| Failure::new(Code::Usage, "neither HOME nor XDG_DATA_HOME is set: name a folder with --home"))
}

/// The REST interface of who is signed in.
pub(crate) async fn rest(store: &Store) -> Result<Rest, Failure> {
    rest_of(store).await.map_err(failure)
}

/// What people are called, as far as it is known here; the copy of the roster is made fresh where the server answers.
pub(crate) async fn names(store: &Store, rest: &Rest) -> BTreeMap<UserId, String> {
    let fresh = match store.profile() {
        Ok(Some(profile)) => roster::fetch(store, rest, profile.user).await.ok(),
        Ok(None) | Err(_) => None,
    };
    let kept = fresh.or_else(|| store.roster().ok().flatten());
    kept.map(|kept| kept.names()).unwrap_or_default()
}

/// Why a client could not do something, as an exit code with words that say what to do.
pub(crate) fn failure(error: ClientError) -> Failure {
    if let ClientError::Rest(error) = &error {
        rest_failure(error)
    } else if matches!(error, ClientError::SignedOut) {
        Failure::new(Code::SignIn, "nobody is signed in here; sign in with: holler login URL")
    } else {
        (Code::Fault, error).into()
    }
}

/// The same for a request.
pub(crate) fn rest_failure(error: &RestError) -> Failure {
    if let RestError::Refused(refused) = error {
        problem(refused)
    } else if matches!(error, RestError::Address { .. }) {
        (Code::Usage, error).into()
    } else {
        (Code::Network, error).into()
    }
}

/// The same for a problem document.
pub(crate) fn problem(problem: &Problem) -> Failure {
    if problem.status == 401 {
        Failure::new(Code::SignIn, format!("{problem}; sign in with: holler login URL"))
    } else {
        (Code::Refused, problem).into()
    }
}

/// The same for a connection that does not come.
fn link_failure(reason: &LinkReason) -> Failure {
    match reason {
        LinkReason::Token { .. } => Failure::new(Code::SignIn, format!("{reason}; sign in with: holler login URL")),
        LinkReason::Closed(code) if !code.resumable() => (Code::SignIn, reason).into(),
        LinkReason::New
        | LinkReason::Connect { .. }
        | LinkReason::Lost { .. }
        | LinkReason::Silent
        | LinkReason::Closed(_)
        | LinkReason::Draining
        | LinkReason::TooOften
        | LinkReason::Stopped => (Code::Network, reason).into(),
    }
}

/// What a change of the connection means for a command that needs one.
pub(crate) fn link(state: &LinkState, was_up: bool) -> Result<(), Failure> {
    match state {
        LinkState::Ended { reason } => Err(link_failure(reason)),
        // Before it ever worked, waiting would only hide a wrong address or a server that is down.
        LinkState::Waiting { reason, .. } if !was_up => Err(link_failure(reason)),
        LinkState::Waiting { .. }
        | LinkState::Refreshing
        | LinkState::Connecting { .. }
        | LinkState::Authenticating
        | LinkState::Up { .. } => Ok(()),
    }
}

/// A room by id or name, for a command that must work without a connection: as the server last listed it, or, where it did not
/// list such a room, as it does now.
pub(crate) async fn known_room(store: &Store, wanted: &str) -> Result<Room, Failure> {
    let known = store.rooms().map_err(|error| Failure::from((Code::Fault, error)))?;
    if let Ok(room) = pick(known, wanted) {
        return Ok(room);
    }
    let rooms = rest(store).await?.rooms().await.map_err(|error| rest_failure(&error))?;
    store.set_rooms(&rooms).map_err(|error| Failure::from((Code::Fault, error)))?;
    pick(rooms, wanted)
}

/// A room by id or name.
pub(crate) async fn room(rest: &Rest, wanted: &str) -> Result<Room, Failure> {
    pick(rest.rooms().await.map_err(|error| rest_failure(&error))?, wanted)
}

fn pick(rooms: Vec<Room>, wanted: &str) -> Result<Room, Failure> {
    if let Ok(id) = wanted.parse::<RoomId>() {
        return rooms
            .into_iter()
            .find(|room| room.id == id)
            .ok_or_else(|| Failure::new(Code::Refused, format!("you are in no room {id}; holler rooms lists yours")));
    }
    let mut found: Vec<Room> = rooms.iter().filter(|room| room.name == wanted).cloned().collect();
    if found.is_empty() {
        let lower = wanted.to_lowercase();
        found = rooms.iter().filter(|room| room.name.to_lowercase() == lower).cloned().collect();
    }
    match (found.pop(), found.is_empty()) {
        (Some(room), true) => Ok(room),
        (Some(_), false) => Err(Failure::new(
            Code::Refused,
            format!("several rooms are called {wanted:?}; give the id that holler rooms shows"),
        )),
        (None, _) => {
            let names: Vec<String> = rooms.into_iter().map(|room| format!("{:?}", room.name)).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(Failure::new(Code::Refused, format!("you are in no room called {wanted:?}; yours: {known}")))
        }
    }
}

/// A running client and what it tells.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) told: Receiver<Told>,
}

impl Session {
    pub(crate) fn start(store: &Store, sound: impl Sound, options: Options) -> Result<Self, Failure> {
        let (client, told) = Client::start_with(store, sound, options).map_err(failure)?;
        Ok(Self { client, told })
    }

    /// For what has no live voice in it.
    pub(crate) fn silent(store: &Store) -> Result<Self, Failure> {
        Self::start(store, Silent, Options { socket_only: true, ..Options::default() })
    }

    /// How live voice travels: `path` is of the voice path beside the socket, absent where there is none.
    pub(crate) fn route(&self) -> serde_json::Value {
        let path = self.client.voice_path().map(|path| {
            serde_json::json!({
                "up": path.up, "round_trip_us": path.rtt.map(output::micros), "loss_sent_per_mille": path.loss_sent,
                "loss_received_per_mille": path.loss_received, "copies": path.copies,
            })
        });
        serde_json::json!(path)
    }

    /// The next thing told.
    pub(crate) async fn next(&mut self) -> Result<Told, Failure> {
        self.told.recv().await.ok_or_else(|| Failure::new(Code::Fault, "the client stopped by itself"))
    }

    /// Waits a moment for a room to be followed. `false`: there is no connection, or it takes too long to wait for.
    pub(crate) async fn ready(&mut self, room: RoomId, patience: Duration) -> Result<bool, Failure> {
        let waiting = async {
            loop {
                match self.next().await? {
                    Told::Notice(Notice::Link(LinkState::Waiting { .. })) => return Ok(false),
                    Told::Notice(Notice::Link(state)) => link(&state, true)?,
                    Told::Notice(Notice::RoomRefused { room: refused, problem: why }) if refused == room => {
                        return Err(problem(&why));
                    }
                    Told::Notice(Notice::Room { room: followed, .. }) if followed == room => return Ok(true),
                    Told::Notice(_) | Told::Received(_) => {}
                }
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or(Ok(false))
    }

    /// Waits until every room is followed. What else is told meanwhile is given to `other`.
    pub(crate) async fn followed(&mut self, rooms: &[RoomId], mut other: impl FnMut(Told)) -> Result<(), Failure> {
        let mut missing = rooms.to_vec();
        while !missing.is_empty() {
            match self.next().await? {
                Told::Notice(Notice::Link(state)) => link(&state, false)?,
                Told::Notice(Notice::RoomRefused { room, problem: refused }) if missing.contains(&room) => {
                    return Err(problem(&refused));
                }
                Told::Notice(Notice::Room { room, role, head, first_seq }) => {
                    missing.retain(|wanted| *wanted != room);
                    other(Told::Notice(Notice::Room { room, role, head, first_seq }));
                }
                told @ (Told::Notice(_) | Told::Received(_)) => other(told),
            }
        }
        Ok(())
    }
}
