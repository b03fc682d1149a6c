//! Joining by an invite, and setting a new password by a one-time link.
//!
//! A link is the server's address, the page it leads to, and behind `#` a token. Only the token is sent, in the body of a request.

use std::path::PathBuf;

use holler_core::wire::rest::{AcceptInvite, InviteOffer, Tokens, UseReset};
use url::Url;

use crate::account::{ClientError, take_tokens};
use crate::rest::{self, Rest, RestError};
use crate::store::{Profile, Store};
use crate::trust;

/// A link, taken apart.
pub struct Link {
    server: Url,
    token: String,
    ca: Option<PathBuf>,
}

/// Who joins.
pub struct Newcomer {
    /// The sign-in name to have.
    pub login: String,
    /// The name that others see.
    pub name: String,
    /// The password to have.
    pub password: String,
    /// What to call this device.
    pub device_name: String,
}

impl Link {
    /// Takes a link to `page` apart, such as `invite`; `ca` is trusted too.
    pub fn parse(link: &str, page: &str, ca: Option<PathBuf>) -> Result<Self, RestError> {
        let foreign = || RestError::Address { found: without_token(link) };
        let url = Url::parse(link.trim()).map_err(|_| foreign())?;
        let token = url.fragment().filter(|token| !token.is_empty()).map(str::to_owned);
        if url.path().trim_matches('/') != page {
            return Err(foreign());
        }
        let server = rest::address(url.as_str()).map_err(|_| foreign())?;
        Ok(Self { server, token: token.ok_or_else(foreign)?, ca })
    }

    /// The server that it leads to.
    pub fn server(&self) -> &str {
        self.server.as_str()
    }

    fn rest(&self) -> Result<Rest, ClientError> {
        let tls = trust::client_config(self.ca.as_deref())?;
        Ok(Rest::new(self.server.clone(), &tls)?)
    }

    /// What an invite offers.
    pub async fn offer(&self) -> Result<InviteOffer, ClientError> {
        Ok(self.rest()?.look_invite(self.token.clone()).await?)
    }

    /// Joins by an invite; the profile is signed in then.
    pub async fn join(self, store: &Store, who: Newcomer) -> Result<Profile, ClientError> {
        let Newcomer { login, name, password, device_name } = who;
        let request = AcceptInvite { token: self.token.clone(), login: login.clone(), name, password, device_name };
        let tokens = self.rest()?.accept_invite(&request).await?;
        self.keep(store, login, tokens)
    }

    /// Sets a new password by a one-time link; the profile is signed in then.
    pub async fn reset(self, store: &Store, password: String, device_name: String) -> Result<Profile, ClientError> {
        let rest = self.rest()?;
        let tokens = rest.use_reset(&UseReset { token: self.token.clone(), password, device_name }).await?;
        rest.set_token(tokens.access_token.clone());
        // The link does not say whose it is; the server does.
        let login = rest.me().await?.user.login.unwrap_or_default();
        self.keep(store, login, tokens)
    }

    fn keep(self, store: &Store, login: String, tokens: Tokens) -> Result<Profile, ClientError> {
        let mut profile = Profile {
            server: self.server.into(),
            ca: self.ca,
            login,
            user: tokens.user,
            device: tokens.device,
            access_token: String::new(),
            access_until_ms: 0,
            refresh_token: String::new(),
        };
        take_tokens(&mut profile, tokens);
        store.set_profile(Some(&profile))?;
        Ok(profile)
    }
}

/// What of a link may be shown in a complaint.
fn without_token(link: &str) -> String {
    link.split_once('#').map_or_else(|| link.to_owned(), |(before, _)| format!("{before}#…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_server_a_page_and_a_token() {
        let link = Link::parse(" https://radio.example.org:8443/invite#hi1.abc\n", "invite", None).unwrap();
        assert_eq!((link.server(), link.token.as_str()), ("https://radio.example.org:8443/", "hi1.abc"));
        for wrong in [
            "https://radio.example.org/reset#hp1.abc",
            "https://radio.example.org/invite",
            "https://radio.example.org/invite#",
            "http://radio.example.org/invite#hi1.abc",
            "hi1.abc",
        ] {
            let Err(RestError::Address { found }) = Link::parse(wrong, "invite", None) else { panic!("{wrong}") };
            assert!(!found.contains("abc") || !wrong.contains('#'), "a complaint shows no token: {found}");
        }
    }
}
