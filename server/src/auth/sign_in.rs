//! Signing in, staying signed in, signing out.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use holler_core::model::{Scope, UserRole};
use holler_core::units::{DeviceId, FamilyId, Mono, UnixMs, UserId};
use holler_core::wire::problem::{Problem, ProblemKind, within};
use holler_core::wire::rest::{ChangePassword, SignIn, Tokens};
use zeroize::Zeroizing;

use super::password::Caller;
use super::refresh::{self, RefreshToken, Verdict};
use super::tokens::Subject;
use super::{Auth, Principal};
use crate::storage::StoreError;
use crate::storage::accounts::{Accounts, Credentials, Ended};
use crate::storage::audit::{Action, Actor};

/// The most days that a token for a script may live.
pub const SCRIPT_DAYS_MAX: u32 = 366;

/// What a sign-in allows a user of this role.
pub fn scopes_of(role: UserRole) -> Vec<Scope> {
    Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin || role == UserRole::Admin).collect()
}

/// What became of a refresh token, inside the transaction.
enum Refreshed {
    /// The token with this number goes out.
    Next { number: u32, device: DeviceId, user: UserId, role: UserRole, secret: Zeroizing<Vec<u8>> },
    /// Not one of ours, or forgotten.
    Unknown,
    /// The sign-in ended.
    Ended,
    /// It was not used for too long.
    Expired,
    /// It came a second time; the sign-in was ended just now.
    Reused { device: DeviceId, user: UserId, generation: u64 },
}

impl Auth {
    /// Signs a device in. The work is the same whether or not the login exists; attempts are limited as [`super::limits`] says.
    pub async fn sign_in(&self, request: SignIn, from: IpAddr) -> Result<Tokens, Problem> {
        let SignIn { login, password, device_name, device, earlier } = request;
        let (login, password) = (login.to_ascii_lowercase(), Zeroizing::new(password));
        let (now, known) = (self.0.clock.now(), self.known_device(&login, device, earlier).await?);
        let (caller, guess) = match known {
            Some(device) => (Caller::Known, self.0.limits.known(now, device)),
            None => (Caller::Stranger, self.0.limits.stranger(now, &login, from)),
        };
        let guess = match guess {
            Ok(guess) => guess,
            Err(braked) => {
                metrics::counter!("holler_sign_ins_total", "outcome" => "braked").increment(1);
                self.note_braked(now, login);
                return Err(braked);
            }
        };
        let credentials = {
            let login = login.clone();
            self.read(move |accounts| Ok(accounts.credentials(&login)?)).await?
        };
        let (found, stored) = match credentials {
            Some(Credentials { user, role, password, suspended }) => (Some((user, role, suspended)), Some(password)),
            None => (None, None),
        };
        let right = self.0.passwords.verify(caller, password, stored).await?;
        let Some((user, role, suspended)) = found.filter(|_| right) else {
            metrics::counter!("holler_sign_ins_total", "outcome" => "refused").increment(1);
            return Err(Problem::new(ProblemKind::BadCredentials, "no user has this login with this password"));
        };
        self.0.limits.forgive(guess);
        if suspended {
            // Told to those only who know the password.
            metrics::counter!("holler_sign_ins_total", "outcome" => "suspended").increment(1);
            return Err(Problem::new(ProblemKind::Forbidden, "this account is suspended: ask an admin to restore it"));
        }

        let (fresh, family) = (DeviceId::from_bytes(random()?), FamilyId::from_bytes(random()?));
        let secret = Zeroizing::new(random::<32>()?);
        let (now, lives) = (self.0.clock.unix(), self.0.lifetimes.refresh);
        let (vault, workspace, key) = (self.0.store.vault().clone(), self.0.workspace, secret.clone());
        // Held until the roster knows the device: see `Inner::gate`.
        let together = self.0.gate.read().await;
        let (device, generation) = self
            .0
            .store
            .write(move |db| {
                let accounts = Accounts::open(db, &vault, workspace)?;
                let known = match device {
                    Some(device) if accounts.reuse_device(device, user, &device_name, now)? => Some(device),
                    // Unknown, revoked or somebody else's: the right password still makes a device of their own.
                    Some(_) | None => None,
                };
                let device = known.unwrap_or(fresh);
                let accounts = accounts.acting(Actor::User(user, device), now);
                let generation = match known {
                    Some(_) => None,
                    None => accounts.add_device(device, user, &device_name, now)?,
                };
                accounts.begin_sign_in(family, device, user, &*key, now, after(now, lives))?;
                Ok::<_, StoreError>((device, generation))
            })
            .await?;
        self.admit(device, user, Some(family));
        drop(together);
        if let Some(generation) = generation {
            self.reach(generation).await?;
        }
        metrics::counter!("holler_sign_ins_total", "outcome" => "accepted").increment(1);
        tracing::info!(%user, %device, "signed in");
        self.tokens(user, device, role, family, 1, &*secret)
    }

    /// The device, if `earlier` is a refresh token that this device of this user got at some time: also one that was used, or of a
    /// sign-in that ended. Nobody else can have one.
    pub(super) async fn known_device(
        &self,
        login: &str,
        device: Option<DeviceId>,
        earlier: Option<String>,
    ) -> Result<Option<DeviceId>, Problem> {
        let token = earlier.as_deref().and_then(RefreshToken::parse);
        let Some((device, token)) = device.zip(token) else { return Ok(None) };
        let login = login.to_owned();
        self.read(move |accounts| {
            let Some(row) = accounts.sign_in(token.family)?.filter(|row| row.device == device) else { return Ok(None) };
            let good = accounts.device(device)?.is_some_and(|device| !device.revoked);
            let owner = accounts.user_by_login(&login)?.is_some_and(|user| user.id == row.user);
            Ok((good && owner && token.is_made_with(&row.secret)).then_some(device))
        })
        .await
    }

    /// Tells the audit log that strangers are braked at a login, if somebody has it and it was not told lately. Beside the answer,
    /// which must not take longer where the login exists.
    fn note_braked(&self, now: Mono, login: String) {
        if !self.0.limits.note(now, &login) {
            return;
        }
        let auth = self.clone();
        tokio::spawn(async move {
            let noted = auth.write(Actor::Server, move |accounts, _| {
                let Some(user) = accounts.user_by_login(&login)? else { return Ok(()) };
                tracing::warn!(user = %user.id, "too many wrong passwords: sign-in is braked where they come from");
                Ok(accounts.record(Action::SignInBraked, |entry| entry.target(user.id))?)
            });
            if let Err(error) = noted.await {
                tracing::error!(%error, "the audit log was not told that a sign-in is braked");
            }
        });
    }

    /// Changes one's own password. Every other sign-in of the user ends.
    pub async fn change_password(&self, principal: &Principal, request: ChangePassword) -> Result<(), Problem> {
        let ChangePassword { old_password, new_password } = request;
        let (old, new) = (Zeroizing::new(old_password), Zeroizing::new(new_password));
        let (user, device) = (principal.user, principal.device);
        let guess = self.0.limits.known(self.0.clock.now(), device)?;
        let stored = self.read(move |accounts| Ok(accounts.password(user)?)).await?;
        if !self.0.passwords.verify(Caller::Known, old, stored).await? {
            return Err(Problem::new(ProblemKind::Forbidden, "the old password is wrong").field("old_password"));
        }
        self.0.limits.forgive(guess);
        let hash = self.0.passwords.hash(new).await?;
        self.change(principal, move |accounts, _| accounts.set_own_password(user, device, &hash)).await?;
        tracing::info!(%user, "password changed");
        Ok(())
    }

    /// Gives the next tokens for a refresh token: see [`refresh`] for the rule.
    pub async fn refresh(&self, token: &str) -> Result<Tokens, Problem> {
        let unknown =
            || Problem::new(ProblemKind::Unauthenticated, "the refresh token is not one of this server: sign in");
        let token = RefreshToken::parse(token).ok_or_else(unknown)?;
        let (family, now, lives) = (token.family, self.0.clock.unix(), self.0.lifetimes.refresh);
        let (vault, workspace) = (self.0.store.vault().clone(), self.0.workspace);
        let auth = self.clone();
        let refreshed = self
            .0
            .store
            .write(move |db| {
                let accounts = Accounts::open(db, &vault, workspace)?.acting(Actor::Server, now);
                let Some(row) = accounts.sign_in(family)? else { return Ok(Refreshed::Unknown) };
                let seen = auth.seen(row.device, family);
                let Some(verdict) = token.judge(&row.secret, row.rotation, row.rotated_at, seen, now) else {
                    return Ok(Refreshed::Unknown);
                };
                if row.ended {
                    return Ok(Refreshed::Ended);
                }
                if now >= row.expires_at {
                    return Ok(Refreshed::Expired);
                }
                let number = match verdict {
                    Verdict::Rotate(number) => {
                        accounts.rotate(family, row.device, number, now, after(now, lives))?;
                        number
                    }
                    Verdict::Repeat(number) => number,
                    Verdict::Reused => {
                        accounts.end_sign_ins(row.device, Ended::Reused)?;
                        let generation = accounts.changed()?;
                        return Ok(Refreshed::Reused { device: row.device, user: row.user, generation });
                    }
                };
                Ok::<_, StoreError>(Refreshed::Next {
                    number,
                    device: row.device,
                    user: row.user,
                    role: row.role,
                    secret: row.secret,
                })
            })
            .await?;
        let ended = || Problem::new(ProblemKind::Revoked, "this sign-in was ended: sign in again");
        match refreshed {
            Refreshed::Next { number, device, user, role, secret } => {
                self.tokens(user, device, role, family, number, &secret)
            }
            Refreshed::Unknown => Err(unknown()),
            Refreshed::Ended => Err(ended()),
            Refreshed::Expired => {
                Err(Problem::new(ProblemKind::Unauthenticated, "this sign-in was not used for too long: sign in again"))
            }
            Refreshed::Reused { device, user, generation } => {
                metrics::counter!("holler_refresh_reused_total").increment(1);
                tracing::warn!(%user, %device, sign_in = %family, "an old refresh token came back: the sign-in was ended");
                self.reach(generation).await?;
                Err(ended())
            }
        }
    }

    /// Ends the sign-in that `principal` came with.
    pub async fn sign_out(&self, principal: &Principal) -> Result<(), Problem> {
        let device = principal.device;
        self.change(principal, move |accounts, _| {
            accounts.end_sign_ins(device, Ended::SignedOut)?;
            Ok(accounts.changed()?)
        })
        .await?;
        tracing::info!(user = %principal.user, %device, "signed out");
        Ok(())
    }

    /// Makes a token for a script: a device of its own, so that it can be listed and revoked, and no refresh token.
    pub async fn script_token(
        &self,
        actor: impl Into<Actor>,
        user: UserId,
        name: String,
        scopes: Vec<Scope>,
        days: u32,
    ) -> Result<(DeviceId, String), Problem> {
        within("days", "days", days, 1..=SCRIPT_DAYS_MAX)?;
        let device = DeviceId::from_bytes(random()?);
        let told: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
        let (told, allowed) = (told.join(" "), scopes.clone());
        self.change(actor, move |accounts, now| {
            // Before the device, which might take the place of another.
            accounts.spare_a_token(user, now)?;
            accounts.add_device(device, user, &name, now)?;
            let expires_at = UnixMs(now.0.saturating_add(u64::from(days) * 86_400_000));
            accounts.add_token(device, &allowed, expires_at)?;
            accounts.record(Action::TokenMade, |entry| {
                entry.target(device).target(user).detail("scopes", told).detail("days", days)
            })?;
            Ok(accounts.changed()?)
        })
        .await?;
        let subject = Subject { user, device, sign_in: None, scopes };
        Ok((device, self.0.keys.load().sign(subject, self.0.clock.unix(), u64::from(days) * 86_400)?))
    }

    pub(super) fn tokens(
        &self,
        user: UserId,
        device: DeviceId,
        role: UserRole,
        family: FamilyId,
        number: u32,
        secret: &[u8],
    ) -> Result<Tokens, Problem> {
        let seconds = self.0.lifetimes.access.as_secs();
        let subject = Subject { user, device, sign_in: Some((family, number)), scopes: scopes_of(role) };
        let fault = || Problem::new(ProblemKind::Internal, "the sign-in is damaged: sign in again");
        Ok(Tokens {
            scopes: subject.scopes.clone(),
            access_token: self.0.keys.load().sign(subject, self.0.clock.unix(), seconds)?,
            expires_in_s: u32::try_from(seconds).unwrap_or(u32::MAX),
            refresh_token: refresh::text(secret, family, number).ok_or_else(fault)?,
            user,
            device,
            workspace: self.0.workspace,
        })
    }

    /// The highest number of a refresh token of this sign-in whose access token was shown to this process.
    fn seen(&self, device: DeviceId, family: FamilyId) -> u32 {
        let roster = self.roster();
        let device = roster.devices.get(&device).filter(|device| device.sign_in == Some(family));
        device.map_or(0, |device| device.seen.load(Ordering::Relaxed))
    }
}

/// A time later than `now`.
pub fn after(now: UnixMs, span: std::time::Duration) -> UnixMs {
    UnixMs(now.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Problem::from(StoreError::from(error)))?;
    Ok(bytes)
}
