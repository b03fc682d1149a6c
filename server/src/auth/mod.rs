//! Who may do what: passwords, tokens, and what the members of a workspace may do at this moment.
//!
//! An access token is verified without the database: its signature says who it was made for, and the [`Roster`] in memory says
//! whether that device, its sign-in and its user's role are still what they were. Every change of them raises the workspace's
//! generation in the same transaction. This process learns of its own changes at once ([`Auth::reach`]) and of those of other
//! processes, such as `hollerd user passwd`, by looking at the generation four times a second ([`Auth::watch`]). Then
//! [`Auth::changes`] ticks, and the gateway looks at its sockets again. So a revoked device is out within a second everywhere.
//!
//! | module | what it holds |
//! |---|---|
//! | [`password`] | Argon2id, bounded |
//! | [`limits`] | how often passwords and links may be guessed |
//! | [`tokens`] | access tokens |
//! | [`refresh`] | refresh tokens and the rule of their rotation |
//! | [`sign_in`] | sign-in, refresh, sign-out, one's own password, tokens for scripts |
//! | [`links`] | what is secret in a link, and its QR code |
//! | [`invites`] | invites, and links for a new password |
//! | [`resume`] | resume tokens |

pub mod invites;
pub mod limits;
pub mod links;
pub mod password;
pub mod refresh;
pub mod resume;
pub mod sign_in;
pub mod tokens;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use arc_swap::ArcSwap;
use holler_core::model::{Role, Scope, UserRole};
use holler_core::units::{DeviceId, FamilyId, RoomId, UnixMs, UserId, WorkspaceId};
use holler_core::wire::policy::Policy;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::CloseCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::storage::accounts::{self, AccountError, Accounts, Rights};
use crate::storage::audit::{self, Actor, Entry};
use crate::storage::{Store, StoreError};
use limits::GuessLimits;
use links::Purpose;
use password::Passwords;
use resume::ResumeKeys;
use tokens::{TokenKeyError, TokenKeys};

/// How often a change by another process is looked for.
const WATCH_EVERY: Duration = Duration::from_millis(250);

/// Who sends a request, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// The sign-in; `None`: a token for a script.
    pub sign_in: Option<FamilyId>,
    /// What the token allows.
    pub scopes: Vec<Scope>,
    /// Whether the token has the scope `admin` and the user is an admin of the workspace.
    pub admin: bool,
    /// When the token ends.
    pub expires_at: UnixMs,
}

impl Principal {
    /// Refuses where the token lacks `scope`.
    pub fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::Forbidden, format!("this needs a token with the scope {scope}")))
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self::User(principal.user, principal.device)
    }
}

/// Why there is no sign-in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signing key.
    #[error(transparent)]
    Key(#[from] TokenKeyError),
    /// Argon2.
    #[error("passwords can't be checked: {0}")]
    Password(Problem),
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Access tokens.
    pub access: Duration,
    /// Sign-ins that are not refreshed.
    pub refresh: Duration,
}

/// Signs people in and verifies what they show. A cheap clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    store: Store,
    workspace: WorkspaceId,
    clock: Clock,
    lifetimes: Lifetimes,
    keys: ArcSwap<TokenKeys>,
    resume: ArcSwap<ResumeKeys>,
    passwords: Passwords,
    limits: GuessLimits,
    roster: RwLock<Roster>,
    /// Sign-ins hold it together, a reload alone: a sign-in that is committed while the roster is being read would otherwise be
    /// missing from it.
    gate: tokio::sync::RwLock<()>,
    changes: watch::Sender<u64>,
}

/// What the database said when it was last read, and the sign-ins since.
#[derive(Debug, Default)]
struct Roster {
    generation: u64,
    users: HashMap<UserId, UserRole>,
    devices: HashMap<DeviceId, Device>,
    rooms: HashSet<RoomId>,
    members: HashMap<(RoomId, UserId), Role>,
    policy: Arc<Policy>,
    talk_limits: Arc<HashMap<RoomId, u32>>,
}

/// A device that is not revoked.
#[derive(Clone, Debug)]
struct Device {
    user: UserId,
    sign_in: Option<FamilyId>,
    /// The highest number of a refresh token whose access token was shown.
    seen: Arc<AtomicU32>,
}

/// Longest continuous talk in each room, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkLimits {
    policy: Arc<Policy>,
    own: Arc<HashMap<RoomId, u32>>,
}

impl TalkLimits {
    /// That of a room.
    pub fn of(&self, room: RoomId) -> Duration {
        self.policy.talk_limit(self.own.get(&room).copied())
    }
}

impl Roster {
    fn new(rights: Rights, before: &Self) -> Self {
        let devices = rights.devices.into_iter().map(|(id, user, sign_in)| {
            let known = before.devices.get(&id).filter(|known| known.sign_in == sign_in);
            (id, Device { user, sign_in, seen: known.map_or_else(Arc::default, |known| Arc::clone(&known.seen)) })
        });
        Self {
            generation: rights.generation,
            users: rights.users.into_iter().collect(),
            devices: devices.collect(),
            rooms: rights.rooms.into_iter().collect(),
            members: rights.members.into_iter().map(|(room, user, role)| ((room, user), role)).collect(),
            policy: Arc::new(rights.policy),
            talk_limits: Arc::new(rights.talk_limits.into_iter().collect()),
        }
    }
}

impl Auth {
    /// Reads the keys and the roster of a workspace. The first signing key is made when there is none.
    pub async fn open(
        store: Store,
        workspace: WorkspaceId,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> Result<Self, AuthError> {
        let (vault, now) = (store.vault().clone(), clock.unix());
        let (fresh, fresh_resume) = (tokens::generate()?, resume::generate()?);
        let (keys, resume) = store
            .write(move |db| {
                let accounts = Accounts::open(db, &vault, workspace)?.acting(Actor::Server, now);
                if accounts.signing_keys()?.is_empty() {
                    accounts.add_signing_key(&fresh.0, &fresh.1, now)?;
                }
                if accounts.resume_keys()?.is_empty() {
                    accounts.add_resume_key(fresh_resume.0, &fresh_resume.1, now)?;
                }
                Ok::<_, StoreError>((accounts.signing_keys()?, accounts.resume_keys()?))
            })
            .await?;
        let auth = Self(Arc::new(Inner {
            keys: ArcSwap::from_pointee(TokenKeys::new(workspace, &keys)?),
            resume: ArcSwap::from_pointee(ResumeKeys::new(workspace, resume)),
            passwords: Passwords::new().map_err(AuthError::Password)?,
            store,
            workspace,
            clock,
            lifetimes,
            limits: GuessLimits::default(),
            roster: RwLock::default(),
            gate: tokio::sync::RwLock::default(),
            changes: watch::Sender::new(0),
        }));
        auth.reload(None).await?;
        Ok(auth)
    }

    /// From now on these rates hold for attempts to sign in.
    pub fn set_sign_in_rates(&self, rates: limits::SignInRates) {
        self.0.limits.set(rates);
    }

    /// The workspace that it is about.
    pub fn workspace(&self) -> WorkspaceId {
        self.0.workspace
    }

    /// Who a bearer token is for. Needs no database: cheap enough for every request and every socket.
    pub fn verify(&self, bearer: &str) -> Result<Principal, Problem> {
        let claims = self.0.keys.load().verify(bearer, self.0.clock.unix())?;
        let roster = self.roster();
        let role = roster.users.get(&claims.sub).copied();
        let principal = Principal {
            workspace: claims.workspace,
            user: claims.sub,
            device: claims.device,
            sign_in: claims.sid,
            admin: role == Some(UserRole::Admin) && claims.scopes.contains(&Scope::Admin),
            scopes: claims.scopes,
            expires_at: UnixMs(claims.exp.saturating_mul(1000)),
        };
        match roster.devices.get(&principal.device) {
            Some(device) if device.user == principal.user && device.sign_in == principal.sign_in => {
                device.seen.fetch_max(claims.rot, Ordering::Relaxed);
                Ok(principal)
            }
            Some(_) | None => {
                Err(Problem::new(ProblemKind::Revoked, "this device, or its sign-in, was ended: sign in again"))
            }
        }
    }

    /// Whose session a resume token continues. Needs no database either.
    pub fn resume(&self, token: &str) -> Result<Principal, CloseCode> {
        let said = self.0.resume.load().verify(token, self.0.clock.unix()).ok_or(CloseCode::ResumeRefused)?;
        let roster = self.roster();
        let principal = Principal {
            workspace: self.0.workspace,
            user: said.user,
            device: said.device,
            sign_in: said.sign_in,
            admin: roster.users.get(&said.user) == Some(&UserRole::Admin) && said.scopes.contains(&Scope::Admin),
            scopes: said.scopes,
            expires_at: said.expires_at,
        };
        drop(roster);
        if self.is_current(&principal) { Ok(principal) } else { Err(CloseCode::Revoked) }
    }

    /// A token with which this session can be continued on another socket, until it ends.
    pub fn resume_token(&self, principal: &Principal) -> Option<String> {
        self.0.resume.load().sign(principal)
    }

    /// Whether a token that is refused now was good at some time, and so need only be refreshed.
    pub fn was_good(&self, bearer: &str) -> bool {
        self.0.keys.load().verify(bearer, UnixMs(0)).is_ok()
    }

    /// Whether what a token said when it was verified still holds, apart from its expiry.
    pub fn is_current(&self, principal: &Principal) -> bool {
        let roster = self.roster();
        let admin =
            roster.users.get(&principal.user) == Some(&UserRole::Admin) && principal.scopes.contains(&Scope::Admin);
        roster
            .devices
            .get(&principal.device)
            .is_some_and(|device| device.user == principal.user && device.sign_in == principal.sign_in)
            && admin == principal.admin
    }

    /// What a user may do in a room; `None`: they are no member.
    pub fn role_in(&self, room: RoomId, user: UserId) -> Option<Role> {
        self.roster().members.get(&(room, user)).copied()
    }

    /// The members of a room.
    pub fn members_of(&self, room: RoomId) -> Vec<UserId> {
        let roster = self.roster();
        roster.members.keys().filter(|(of, _)| *of == room).map(|(_, user)| *user).collect()
    }

    /// The members of every room.
    pub fn members(&self) -> HashMap<RoomId, Vec<UserId>> {
        let roster = self.roster();
        let mut members: HashMap<RoomId, Vec<UserId>> = HashMap::new();
        for (room, user) in roster.members.keys() {
            members.entry(*room).or_default().push(*user);
        }
        members
    }

    /// Whether the workspace has this user.
    pub fn is_user(&self, user: UserId) -> bool {
        self.roster().users.contains_key(&user)
    }

    /// Whether the workspace has this room.
    pub fn has_room(&self, room: RoomId) -> bool {
        self.roster().rooms.contains(&room)
    }

    /// The rules of the workspace, as they are now.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.roster().policy)
    }

    /// Longest continuous talk in each room, as it is now.
    pub fn talk_limits(&self) -> TalkLimits {
        let roster = self.roster();
        TalkLimits { policy: Arc::clone(&roster.policy), own: Arc::clone(&roster.talk_limits) }
    }

    /// Ticks after users, devices, rooms or members changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The public keys that access tokens are verified with.
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.load().jwks()
    }

    /// How many passwords were hashed since the start.
    pub fn hashed(&self) -> u64 {
        self.0.passwords.hashed()
    }

    /// The PHC string of a new password.
    pub async fn hash_password(&self, password: Zeroizing<String>) -> Result<Zeroizing<String>, Problem> {
        self.0.passwords.hash(password).await
    }

    /// Runs a change of accounts by `actor` and returns when this process goes by it. `change` gives the new generation. The audit
    /// log is told in the same transaction: by the methods of [`Accounts`], or with [`Accounts::record`].
    pub async fn change(
        &self,
        actor: impl Into<Actor>,
        change: impl FnOnce(&Accounts<'_>, UnixMs) -> Result<u64, AccountError> + Send + 'static,
    ) -> Result<(), Problem> {
        let generation = self.write(actor, change).await?;
        Ok(self.reach(generation).await?)
    }

    /// Runs a change of accounts by `actor` that nobody's rights depend on.
    pub async fn write<T: Send + 'static>(
        &self,
        actor: impl Into<Actor>,
        change: impl FnOnce(&Accounts<'_>, UnixMs) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (vault, workspace, now) = (self.0.store.vault().clone(), self.0.workspace, self.0.clock.unix());
        let actor = actor.into();
        let write =
            move |db: &rusqlite::Connection| change(&Accounts::open(db, &vault, workspace)?.acting(actor, now), now);
        self.0.store.write(write).await.map_err(Problem::from)
    }

    /// Tells the audit log of something that changes nothing in the database itself.
    pub async fn record(&self, entry: Entry) -> Result<(), Problem> {
        let (vault, workspace, now) = (self.0.store.vault().clone(), self.0.workspace, self.0.clock.unix());
        self.0.store.write(move |db| audit::record(db, &vault, workspace, now, entry).map(drop)).await?;
        Ok(())
    }

    /// Reads accounts.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Accounts<'_>) -> Result<T, AccountError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (vault, workspace) = (self.0.store.vault().clone(), self.0.workspace);
        self.0.store.read(move |db| read(&Accounts::open(db, &vault, workspace)?)).await.map_err(Problem::from)
    }

    /// Returns when this process goes by `generation` or a later one. Changes that come together are read together.
    pub async fn reach(&self, generation: u64) -> Result<(), StoreError> {
        self.reload(Some(generation)).await
    }

    async fn reload(&self, wanted: Option<u64>) -> Result<(), StoreError> {
        let _alone = self.0.gate.write().await;
        if wanted.is_some_and(|wanted| self.roster().generation >= wanted) {
            return Ok(());
        }
        let (vault, workspace) = (self.0.store.vault().clone(), self.0.workspace);
        let read = move |db: &rusqlite::Connection| {
            let accounts = Accounts::open(db, &vault, workspace)?;
            Ok::<_, StoreError>((accounts.rights()?, accounts.signing_keys()?, accounts.resume_keys()?))
        };
        let (rights, keys, resume) = self.0.store.read(read).await?;
        self.0.resume.store(Arc::new(ResumeKeys::new(workspace, resume)));
        if !self.0.keys.load().are(&keys) {
            // Another process has rotated them. One that can't be read leaves those that were.
            match TokenKeys::new(workspace, &keys) {
                Ok(keys) => self.0.keys.store(Arc::new(keys)),
                Err(error) => tracing::error!(%error, "the keys of access tokens can't be read"),
            }
        }
        let generation = rights.generation;
        let fresh = Roster::new(rights, &self.roster());
        let before = std::mem::replace(&mut *self.0.roster.write().unwrap_or_else(PoisonError::into_inner), fresh);
        drop(before);
        self.0.changes.send_replace(generation);
        Ok(())
    }

    /// Looks for a change by another process now: whoever is about to be refused may have been let in a moment ago.
    pub async fn look(&self) -> Result<(), StoreError> {
        let workspace = self.0.workspace;
        let generation = self.0.store.read(move |db| accounts::generation(db, workspace)).await?;
        if generation == self.roster().generation { Ok(()) } else { self.reload(None).await }
    }

    /// Looks for changes by other processes until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
        let mut failing = false;
        let mut ticks = tokio::time::interval(WATCH_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let looked = self.look().await;
            if let Err(error) = &looked
                && !failing
            {
                tracing::error!(%error, "changes of users, devices and members can't be read; trying again");
            }
            failing = looked.is_err();
        }
    }

    fn roster(&self) -> RwLockReadGuard<'_, Roster> {
        self.0.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A device signed in: its tokens are good from now on.
    fn admit(&self, device: DeviceId, user: UserId, sign_in: Option<FamilyId>) {
        let mut roster = self.0.roster.write().unwrap_or_else(PoisonError::into_inner);
        roster.devices.insert(device, Device { user, sign_in, seen: Arc::default() });
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::LoginTaken => Self::new(ProblemKind::Conflict, detail).field("login"),
            AccountError::NoUser => Self::new(ProblemKind::NotFound, detail).field("user"),
            AccountError::NoRoom => Self::new(ProblemKind::NotFound, detail).field("room"),
            AccountError::NoMember => Self::new(ProblemKind::NotFound, detail).field("user"),
            AccountError::DirectFull | AccountError::DirectTaken | AccountError::Held => {
                Self::new(ProblemKind::Conflict, detail)
            }
            AccountError::NoToken => Self::new(ProblemKind::NotFound, detail).field("token"),
            AccountError::CursorMalformed => Self::new(ProblemKind::Malformed, detail).field("cursor"),
            AccountError::Stale => Self::new(ProblemKind::PreconditionFailed, detail).field("If-Match"),
            AccountError::KindFixed => Self::new(ProblemKind::Conflict, detail).field("kind"),
            AccountError::NoDevice => Self::new(ProblemKind::NotFound, detail).field("device"),
            AccountError::SyncTokenExpired => Self::new(ProblemKind::SyncTokenExpired, detail).field("since"),
            AccountError::SyncTokenMalformed => Self::new(ProblemKind::Malformed, detail).field("since"),
            AccountError::NoSubscription => Self::new(ProblemKind::NotFound, detail).field("subscription"),
            AccountError::NoInvite => Self::new(ProblemKind::NotFound, detail).field("invite"),
            AccountError::Full { .. } | AccountError::LastAdmin => Self::new(ProblemKind::Conflict, detail),
            AccountError::InviteOver => Purpose::Invite.over(),
            AccountError::LinkOver => Purpose::Reset.over(),
            AccountError::Store(error) => Self::from(error),
        }
    }
}

#[cfg(test)]
mod tests;
