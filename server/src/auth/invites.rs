//! Making, looking at and accepting invites, and one-time links for a new password.

use std::net::IpAddr;
use std::time::Duration;

use holler_core::units::{DeviceId, FamilyId, InviteId, UnixMs, UserId};
use holler_core::wire::problem::Problem;
use holler_core::wire::rest::{AcceptInvite, NewInvite, Tokens, UseReset};
use zeroize::Zeroizing;

use super::Auth;
use super::limits::Guess;
use super::links::{LinkToken, Purpose};
use super::sign_in::{after, random};
use crate::storage::StoreError;
use crate::storage::accounts::{AccountError, Accounts, InviteRow, Offer, UserRow};
use crate::storage::audit::Actor;

impl Auth {
    /// Makes an invite and gives its link's token, which is kept nowhere. That `actor` may give what it promises is the caller's to
    /// check; when it is used it is checked again.
    pub async fn make_invite(&self, actor: Actor, new: NewInvite) -> Result<(InviteRow, LinkToken), Problem> {
        let token = LinkToken::draw(Purpose::Invite, self.0.workspace).map_err(StoreError::from)?;
        let (now, lives) = (self.0.clock.unix(), Duration::from_secs(new.expires_in_s.into()));
        let made_by = match actor {
            Actor::User(user, _) => Some(user),
            Actor::Cli | Actor::Server => None,
        };
        let invite = InviteRow {
            id: InviteId::from_bytes(random()?),
            role: new.role,
            rooms: new.rooms.into_iter().map(|room| (room.room, room.role)).collect(),
            note: new.note,
            made_by,
            made_at: now,
            expires_at: after(now, lives),
            uses_max: new.uses_max,
            uses: 0,
            revoked: false,
        };
        let (row, secret) = (invite.clone(), Zeroizing::new(token.secret().to_vec()));
        self.write(actor, move |accounts, _| accounts.add_invite(&row, &secret)).await?;
        tracing::info!(invite = %invite.id, "invite made");
        Ok((invite, token))
    }

    /// What an invite offers. Every token that leads nowhere gets the same answer after the same work.
    pub async fn look_invite(&self, token: &str, from: IpAddr) -> Result<(String, Offer), Problem> {
        let (token, guess) = self.link(Purpose::Invite, token, from)?;
        let now = self.0.clock.unix();
        let found = self
            .read(move |accounts| Ok(accounts.offer(token.secret(), now)?.zip(Some(accounts.workspace_name()?))))
            .await?;
        let (offer, workspace) = found.ok_or_else(|| Purpose::Invite.over())?;
        self.0.limits.forgive(guess);
        Ok((workspace, offer))
    }

    /// Makes a user by an invite, and signs their device in.
    pub async fn accept_invite(&self, request: AcceptInvite, from: IpAddr) -> Result<Tokens, Problem> {
        let AcceptInvite { token, login, name, password, device_name } = request;
        let password = Zeroizing::new(password);
        let (token, guess) = self.link(Purpose::Invite, &token, from)?;
        let (secret, now) = (Zeroizing::new(token.secret().to_vec()), self.0.clock.unix());
        // Before the hash, which is work: whoever has no invite gets none of it.
        let good = {
            let secret = secret.clone();
            self.read(move |accounts| Ok(accounts.offer(&secret, now)?)).await?
        };
        let offer = good.ok_or_else(|| Purpose::Invite.over())?;
        self.0.limits.forgive(guess);
        // Whoever holds an invite learns which logins are taken, one by one: not many.
        let guess = self.0.limits.invited(self.0.clock.now(), offer.invite.id, from)?;
        let hash = self.0.passwords.hash(password).await?;
        let user = UserId::from_bytes(random()?);
        let device = DeviceId::from_bytes(random()?);
        let tokens = self
            .begin(user, device, move |accounts, now| {
                let offer = accounts.offer(&secret, now)?.ok_or(AccountError::InviteOver)?;
                let row = UserRow { id: user, login, name, role: offer.invite.role };
                accounts.add_user(&row, &hash, now)?;
                accounts.use_offer(&offer, user, now)?;
                accounts.add_device(device, user, &device_name, now)?;
                Ok(())
            })
            .await?;
        self.0.limits.forgive(guess);
        tracing::info!(%user, invite = %offer.invite.id, "joined by an invite");
        Ok(tokens)
    }

    /// Makes a one-time link with which a user sets a new password, in place of an earlier one.
    pub async fn make_reset(&self, actor: Actor, user: UserId, lives: Duration) -> Result<LinkToken, Problem> {
        let token = LinkToken::draw(Purpose::Reset, self.0.workspace).map_err(StoreError::from)?;
        let secret = Zeroizing::new(token.secret().to_vec());
        self.write(actor, move |accounts, now| accounts.add_reset(user, &secret, now, after(now, lives))).await?;
        tracing::info!(%user, "a link for a new password was made");
        Ok(token)
    }

    /// Sets a new password by a one-time link: every sign-in of the user ends, and this device is signed in.
    pub async fn use_reset(&self, request: UseReset, from: IpAddr) -> Result<Tokens, Problem> {
        let UseReset { token, password, device_name } = request;
        let password = Zeroizing::new(password);
        let (token, guess) = self.link(Purpose::Reset, &token, from)?;
        let (secret, now) = (Zeroizing::new(token.secret().to_vec()), self.0.clock.unix());
        let good = {
            let secret = secret.clone();
            self.read(move |accounts| Ok(accounts.reset(&secret, now)?)).await?
        };
        let user = good.ok_or_else(|| Purpose::Reset.over())?;
        self.0.limits.forgive(guess);
        let hash = self.0.passwords.hash(password).await?;
        let device = DeviceId::from_bytes(random()?);
        let tokens = self
            .begin(user, device, move |accounts, now| {
                accounts.use_reset(&secret, &hash, now)?;
                accounts.add_device(device, user, &device_name, now)?;
                Ok(())
            })
            .await?;
        tracing::info!(%user, "a new password was set by a link");
        Ok(tokens)
    }

    /// Reads a link's token, as one attempt from an address.
    fn link(&self, purpose: Purpose, token: &str, from: IpAddr) -> Result<(LinkToken, Guess), Problem> {
        let guess = self.0.limits.link(self.0.clock.now(), from)?;
        let token = LinkToken::parse(purpose, token).filter(|token| token.workspace() == self.0.workspace);
        Ok((token.ok_or_else(|| purpose.over())?, guess))
    }

    /// Runs `change` and begins a sign-in of `device` in the same transaction.
    async fn begin(
        &self,
        user: UserId,
        device: DeviceId,
        change: impl FnOnce(&Accounts<'_>, UnixMs) -> Result<(), AccountError> + Send + 'static,
    ) -> Result<Tokens, Problem> {
        let family = FamilyId::from_bytes(random()?);
        let secret = Zeroizing::new(random::<32>()?);
        let (key, lives) = (secret.clone(), self.0.lifetimes.refresh);
        let (role, generation) = self
            .write(Actor::User(user, device), move |accounts, now| {
                change(accounts, now)?;
                accounts.begin_sign_in(family, device, user, &*key, now, after(now, lives))?;
                let role = accounts.user(user)?.ok_or(AccountError::NoUser)?.role;
                Ok((role, accounts.changed()?))
            })
            .await?;
        self.reach(generation).await?;
        self.tokens(user, device, role, family, 1, &*secret)
    }
}
