//! Who is signed in: signing in and out, fresh tokens, and what the directory of rooms and people holds.

use core::time::Duration;
use std::rc::Rc;

use holler_core::engine::{Command, Input, LinkReason};
use holler_core::units::{Cursor, DeviceId, RoomId, Seq, UserId};
use holler_core::wire::problem::ProblemKind;
use holler_core::wire::rest::{AcceptInvite, NewInvite, Room, RosterRoom, SignIn, Tokens, UseReset};

use super::rest::RestError;
use super::vault::Profile;
use super::{Shell, clock};
use crate::message::{Missing, ToPage, Why};

/// An access token that is valid for less than this is not worth beginning with.
const TOKEN_LEFT_MIN: Duration = Duration::from_secs(30);
/// Events of the past that a room shows at first. More are fetched when somebody asks for them.
const HISTORY: u32 = 100;
/// Events of the past that are fetched at once then.
const EARLIER: u32 = 250;
/// Events that were missed and are still fetched one after the other; who was away for longer begins with the latest.
const BEHIND_MAX: u64 = 2_000;
/// Most people who came and went at once that a timeline is told of.
const JOINS_MAX: usize = 20;

impl Shell {
    /// Goes on as who was signed in when this browser last ran, or says that nobody was.
    pub(super) async fn begin(self: Rc<Self>) {
        let turn = self.tabs.turn();
        let profile = self.vault.read().await.filter(|profile| profile.signed_in);
        if self.tabs.turn() != turn {
            return;
        }
        match profile {
            Some(profile) => self.signed_in(&profile).await,
            None => self.tell(&ToPage::SignedOut { reason: None, waits: 0 }),
        }
    }

    /// Signs in. The same person in the same browser stays the same device.
    pub(super) async fn sign_in(self: Rc<Self>, login: String, password: String, device_name: String) {
        let before = self.vault.read().await.filter(|before| before.login == login);
        let (device, earlier) = before.map(|before| (before.device, before.refresh_token)).unzip();
        let mut request = SignIn { login: login.clone(), password, device_name, device, earlier };
        let mut answer = self.rest.sign_in(&request).await;
        if let Err(RestError::Refused(problem)) = &answer
            && device.is_some()
            && (problem.is(ProblemKind::NotFound) || problem.is(ProblemKind::Revoked))
        {
            // The device was removed meanwhile, or signed out for good: begin as a new one.
            (request.device, request.earlier) = (None, None);
            answer = self.rest.sign_in(&request).await;
        }
        match answer {
            Ok(tokens) => self.enter(&profile_of(login, tokens)).await,
            Err(error) => self.tell(&ToPage::SignInFailed(error.into())),
        }
    }

    /// Begins as who just signed in.
    async fn enter(&self, profile: &Profile) {
        // Where it is not kept, the store says so.
        self.vault.write(profile).await;
        self.signed_in(profile).await;
    }

    /// See what an invite offers.
    pub(super) async fn look(self: Rc<Self>, token: String) {
        let offer = self.rest.look_invite(token).await.map_err(Why::from);
        self.tell(&ToPage::Offer(offer));
    }

    /// Joins by an invite, and begins as the new person.
    pub(super) async fn join(self: Rc<Self>, accept: AcceptInvite) {
        match self.rest.accept_invite(&accept).await {
            Ok(tokens) => {
                self.leave().await;
                self.enter(&profile_of(accept.login, tokens)).await;
            }
            Err(error) => self.tell(&ToPage::EntryFailed(error.into())),
        }
    }

    /// Sets a new password by a one-time link, and begins as whose it is.
    pub(super) async fn reset_password(self: Rc<Self>, reset: UseReset) {
        let tokens = match self.rest.use_reset(&reset).await {
            Ok(tokens) => tokens,
            Err(error) => return self.tell(&ToPage::EntryFailed(error.into())),
        };
        self.leave().await;
        self.rest.set_token(Some(tokens.access_token.clone()));
        // The link does not say whose it is; the server does.
        let login = match self.rest.me().await {
            Ok(me) => me.user.login.unwrap_or_default(),
            Err(error) => {
                // The password is set: whoever signs in with it goes on.
                return self.tell(&ToPage::EntryFailed(error.into()));
            }
        };
        self.enter(&profile_of(login, tokens)).await;
    }

    /// Whoever was signed in here before gives way to somebody else.
    async fn leave(&self) {
        if self.vault.read().await.is_some_and(|before| before.signed_in) {
            // Out of reach, the server keeps that sign-in until it runs out or somebody revokes it.
            let _ = self.rest.sign_out().await;
        }
        self.input(Input::Stop);
        self.store.shut(true).await;
        self.reset();
        self.rest.set_token(None);
    }

    /// Begins with what was kept, so that all of it is there before there is a network.
    async fn signed_in(&self, profile: &Profile) {
        let Some(kept) = self.store.open(profile.user).await else { return };
        self.tell(&ToPage::SignedIn { user: profile.user, device: profile.device, login: profile.login.clone() });
        kept.shown.iter().for_each(|message| self.tell(message));
        for (room, cursor) in kept.cursors {
            self.follows.borrow_mut().insert(room, Some(cursor));
            self.input(Input::Command(Command::Follow { room, cursor: Some(cursor), voice: true }));
        }
        for item in kept.unfinished {
            self.input(Input::Restore(item));
        }
        self.rest.set_token(Some(profile.access_token.clone()));
        let expires_in = left(profile);
        if expires_in >= TOKEN_LEFT_MIN {
            self.input(Input::Token { access: profile.access_token.clone(), expires_in });
        }
        self.tabs.spread_token();
        self.input(Input::Start);
        self.input(Input::Command(Command::KeepRoster));
    }

    /// Signs out on the server, where it can be reached, and here in any case.
    pub(super) async fn sign_out(self: Rc<Self>) {
        // Out of reach, the server keeps the sign-in until it runs out or somebody revokes it.
        let _ = self.rest.sign_out().await;
        self.forget(None).await;
    }

    /// Nobody is signed in any more. What waits stays, sealed, until the same person signs in here again.
    pub(super) async fn forget(&self, reason: Option<LinkReason>) {
        self.input(Input::Stop);
        // Whoever was signed out by somebody else finds everything as it was.
        self.store.shut(reason.is_none()).await;
        self.reset();
        self.rest.set_token(None);
        if let Some(mut profile) = self.vault.read().await {
            profile.signed_in = false;
            profile.access_token = String::new();
            self.vault.write(&profile).await;
        }
        self.tell(&ToPage::SignedOut { reason, waits: self.store.waited() });
    }

    /// Gets a new access token and hands it to the engine.
    pub(super) async fn refresh(self: Rc<Self>) {
        let shell = Rc::clone(&self);
        let fresh = self.vault.alone(async move { shell.refreshed().await }).await;
        let input = match fresh {
            Some(Ok(profile)) => {
                self.rest.set_token(Some(profile.access_token.clone()));
                self.tabs.spread_token();
                let expires_in = left(&profile);
                Input::Token { access: profile.access_token, expires_in }
            }
            Some(Err(None)) => {
                Input::TokenFailed { sign_in: true, detail: "nobody is signed in here".to_owned(), retry_after: None }
            }
            Some(Err(Some(error))) => {
                let sign_in = matches!(&error, RestError::Refused(problem) if problem.status == 401);
                Input::TokenFailed { sign_in, detail: error.to_string(), retry_after: error.retry_after() }
            }
            None => {
                let detail = "another tab of this browser has the token".to_owned();
                Input::TokenFailed { sign_in: false, detail, retry_after: None }
            }
        };
        self.input(input);
    }

    /// The profile with a new token, unless another tab just got one. `Err(None)`: signed out.
    async fn refreshed(&self) -> Result<Profile, Option<RestError>> {
        let before = self.vault.read().await.ok_or(None)?;
        if !before.signed_in {
            return Err(None);
        }
        if !self.rest.has(&before.access_token) && left(&before) >= TOKEN_LEFT_MIN {
            return Ok(before);
        }
        let profile = profile_of(before.login, self.rest.refresh(before.refresh_token).await.map_err(Some)?);
        self.vault.write(&profile).await;
        Ok(profile)
    }

    /// Fetches rooms and people, shows the latest of each room, and follows them all.
    pub(super) async fn load(self: Rc<Self>) -> Result<(), RestError> {
        let fetched = async {
            let (me, rooms, roster) = (self.rest.me().await?, self.rest.rooms().await?, self.rest.roster().await?);
            Ok::<_, RestError>((me.workspace_name, rooms, roster, self.rest.invites_by().await?))
        };
        let (workspace, rooms, roster, invites_by) = match fetched.await {
            Ok(fetched) => fetched,
            Err(error) => {
                self.tell(&ToPage::Missing(Missing::Rooms, Why::from(&error)));
                return Err(error);
            }
        };
        let rooms: Vec<Room> = rooms.into_iter().filter(|room| room.role.is_some()).collect();
        self.follows.borrow_mut().retain(|room, _| rooms.iter().any(|listed| listed.id == *room));
        let directory = ToPage::Directory { workspace, rooms: rooms.clone(), people: roster.users, invites_by };
        self.tell(&directory);
        self.store.keep_directory(&directory);
        self.tell_members(roster.rooms);
        for Room { id: room, head, .. } in rooms {
            let from = self.follows.borrow_mut().insert(room, None);
            match from {
                // Away for so long that most of it is no news any more.
                Some(Some(from)) if from.incarnation == head.incarnation && head.seq.0 > from.seq.0 + BEHIND_MAX => {
                    self.input(Input::Command(Command::Unfollow { room }));
                    self.store.forget_events(room);
                }
                Some(_) => continue,
                None => {}
            }
            // First what is live: history can wait.
            self.input(Input::Command(Command::Follow { room, cursor: Some(head), voice: true }));
            let first = Cursor { seq: Seq(head.seq.0.saturating_sub(u64::from(HISTORY))), ..head };
            match self.rest.events(room, first, HISTORY).await {
                Ok(page) => {
                    let events: Vec<_> = page.events.into_iter().filter(|event| event.seq <= head.seq).collect();
                    self.store.events(&events);
                    self.tell(&ToPage::History { room, events });
                }
                Err(error) => self.tell(&ToPage::Missing(Missing::Past, error.into())),
            }
        }
        Ok(())
    }
}

/// What the screens ask for of the past and of the account.
impl Shell {
    /// Tells who came into the rooms that were known before, and who went.
    fn tell_members(&self, rooms: Vec<RosterRoom>) {
        let live = self.stayed.replace(true);
        let ids = |room: RosterRoom| (room.id, room.members.into_iter().map(|member| member.user).collect());
        let now: Vec<(RoomId, Vec<UserId>)> = rooms.into_iter().map(ids).collect();
        let before = self.members.replace(now.clone());
        for (room, members) in now {
            let Some((_, known)) = before.iter().find(|(known, _)| *known == room) else { continue };
            // The server tells members in the order of their identifiers.
            let of = |a: &[UserId], b: &[UserId]| {
                a.iter().filter(|user| b.binary_search(user).is_err()).copied().collect::<Vec<_>>()
            };
            let (joined, left) = (of(&members, known), of(known, &members));
            // So many at once are no news for a timeline.
            if (1..=JOINS_MAX).contains(&(joined.len() + left.len())) {
                self.tell(&ToPage::Members { room, joined, left, live });
            }
        }
    }

    /// Opens the direct room with somebody.
    pub(super) async fn direct(self: Rc<Self>, user: UserId) {
        let opened = match self.rest.direct(user).await {
            // The screens know it before they are told to show it.
            Ok(room) => Rc::clone(&self).load().await.map(|()| room.id),
            Err(error) => Err(error),
        };
        self.tell(&ToPage::Direct(opened.map_err(Why::from)));
    }

    /// Makes an invite.
    pub(super) async fn invite(self: Rc<Self>, invite: NewInvite) {
        let made = self.rest.invite(&invite).await.map_err(Why::from);
        self.tell(&ToPage::Invited(made));
    }

    /// Fetches what came before an event.
    pub(super) async fn earlier(self: Rc<Self>, room: RoomId, before: Cursor) {
        let first = Seq(before.seq.0.saturating_sub(u64::from(EARLIER) + 1));
        match self.rest.events(room, Cursor { seq: first, ..before }, EARLIER).await {
            Ok(page) => {
                let events = page.events.into_iter().filter(|event| event.seq < before.seq).collect();
                self.tell(&ToPage::History { room, events });
            }
            Err(error) => self.tell(&ToPage::Missing(Missing::Past, error.into())),
        }
    }

    /// Signs `revoked` out, and tells the devices that there are then.
    pub(super) async fn devices(self: Rc<Self>, revoked: Option<DeviceId>) {
        let told = async {
            if let Some(device) = revoked {
                self.rest.revoke(device).await?;
            }
            self.rest.devices().await
        };
        match told.await {
            Ok(devices) => self.tell(&ToPage::Devices(devices)),
            Err(error) => self.tell(&ToPage::Missing(Missing::Devices, error.into())),
        }
    }

    /// Asks the server something about notifications for the page.
    pub(super) async fn push(self: Rc<Self>, number: u32, method: String, path: String, body: String) {
        let answer = self.rest.push(&method, &path, body).await.map_err(|error| error.to_string());
        self.tell(&ToPage::Push { number, answer });
    }

    /// Fetches everything that the server keeps of the person.
    pub(super) async fn export(self: Rc<Self>) {
        match self.rest.export().await {
            Ok(lines) => self.tell(&ToPage::Exported(String::from_utf8_lossy(&lines).into_owned())),
            Err(error) => self.tell(&ToPage::Missing(Missing::Data, error.into())),
        }
    }
}

fn profile_of(login: String, tokens: Tokens) -> Profile {
    Profile {
        login,
        user: tokens.user,
        device: tokens.device,
        access_token: tokens.access_token,
        access_until_ms: clock::wall().0 + u64::from(tokens.expires_in_s) * 1_000,
        refresh_token: tokens.refresh_token,
        signed_in: true,
    }
}

fn left(profile: &Profile) -> Duration {
    Duration::from_millis(profile.access_until_ms.saturating_sub(clock::wall().0))
}
