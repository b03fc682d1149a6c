//! Resume tokens: what a client that was signed in a moment ago shows instead of an access token, to any server.
//!
//! A token says whose session it was, on which device, under which sign-in, what it allowed and when it would have ended, under a
//! MAC (HMAC-SHA-256, [`Key::lookup`]) whose key lies in the database. So any server on that database can go on with the session without having
//! seen it, and none keeps anything between two connections. It gives nothing that the access token of that session did not
//! give: the same scopes, until the same time; and like that one it ends with its device or its sign-in.
//!
//! ```text
//!  hs1. base64url( workspace 16 │ key 8 │ user 16 │ device 16 │ sign-in 16 │ has sign-in 1 │ scopes 2 │ expires 8 │ MAC 32 )
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::model::Scope;
use holler_core::seal::{KEY_BYTES, Key};
use holler_core::units::{DeviceId, FamilyId, UnixMs, UserId, WorkspaceId};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::Principal;
use crate::storage::StoreError;
use crate::storage::accounts::ResumeKeyRow;

const PREFIX: &str = "hs1.";
const MAC_BYTES: usize = 32;
const SAID_BYTES: usize = 16 + 8 + 16 + 16 + 16 + 1 + 2 + 8;
const BYTES: usize = SAID_BYTES + MAC_BYTES;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Who.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// The sign-in; `None`: a token for a script.
    pub sign_in: Option<FamilyId>,
    /// What the session was allowed.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires_at: UnixMs,
}

/// The keys of a workspace, newest first.
pub struct ResumeKeys {
    workspace: WorkspaceId,
    keys: Vec<ResumeKeyRow>,
}

/// Whether a client shows a resume token rather than an access token.
pub fn is_resume_token(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// A new key.
pub fn generate() -> Result<ResumeKeyRow, StoreError> {
    let (mut id, mut key) = ([0; 8], Zeroizing::new(vec![0; KEY_BYTES]));
    getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut key))?;
    Ok((id, key))
}

impl ResumeKeys {
    /// The keys, newest first.
    pub fn new(workspace: WorkspaceId, keys: Vec<ResumeKeyRow>) -> Self {
        Self { workspace, keys }
    }

    /// A token for a session; `None` where there is no key, which a server makes when it starts.
    pub fn sign(&self, principal: &Principal) -> Option<String> {
        let (id, key) = self.keys.first()?;
        let mut token = Vec::with_capacity(BYTES);
        token.extend_from_slice(self.workspace.bytes());
        token.extend_from_slice(id);
        token.extend_from_slice(principal.user.bytes());
        token.extend_from_slice(principal.device.bytes());
        token.extend_from_slice(principal.sign_in.map_or([0; 16], |family| *family.bytes()).as_slice());
        token.push(u8::from(principal.sign_in.is_some()));
        token.extend_from_slice(&bits(&principal.scopes).to_be_bytes());
        token.extend_from_slice(&principal.expires_at.0.to_be_bytes());
        let mac = mac(key, &token)?;
        token.extend_from_slice(&mac);
        Some(format!("{PREFIX}{}", BASE64.encode(token)))
    }

    /// What a token says, if it is one of this workspace and has not ended. Whether its device and sign-in still stand is for the
    /// caller to see.
    pub fn verify(&self, text: &str, now: UnixMs) -> Option<Said> {
        let mut token = [0; BYTES];
        let encoded = text.strip_prefix(PREFIX).filter(|rest| rest.len() == (BYTES * 4).div_ceil(3))?;
        if BASE64.decode_slice(encoded, &mut token).ok()? != BYTES {
            return None;
        }
        let (said, shown) = token.split_at(SAID_BYTES);
        let mut fields = Fields(said);
        if fields.take::<16>()? != *self.workspace.bytes() {
            return None;
        }
        let id = fields.take::<8>()?;
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id)?;
        if !bool::from(mac(key, said)?.ct_eq(shown)) {
            return None;
        }
        let (user, device) = (UserId::from_bytes(fields.take()?), DeviceId::from_bytes(fields.take()?));
        let family = FamilyId::from_bytes(fields.take()?);
        let sign_in = (fields.take::<1>()? == [1]).then_some(family);
        let scopes = scopes(u16::from_be_bytes(fields.take()?));
        let expires_at = UnixMs(u64::from_be_bytes(fields.take()?));
        (now < expires_at).then_some(Said { user, device, sign_in, scopes, expires_at })
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}

fn mac(key: &[u8], said: &[u8]) -> Option<[u8; MAC_BYTES]> {
    let mut bytes = <[u8; KEY_BYTES]>::try_from(key).ok()?;
    Some(Key::take(&mut bytes).lookup("resume", said))
}

/// One bit a scope, in the order of [`Scope::ALL`].
fn bits(allowed: &[Scope]) -> u16 {
    let bits = Scope::ALL.iter().enumerate().filter(|(_, scope)| allowed.contains(scope));
    bits.fold(0, |bits, (at, _)| bits | 1 << at)
}

fn scopes(bits: u16) -> Vec<Scope> {
    let set = Scope::ALL.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
    set.map(|(_, scope)| *scope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_795_305_600_000);

    fn keys(workspace: u8, key: u8) -> ResumeKeys {
        let rows = vec![([key; 8], Zeroizing::new(vec![key; 32]))];
        ResumeKeys::new(WorkspaceId::from_bytes([workspace; 16]), rows)
    }

    fn principal() -> Principal {
        Principal {
            workspace: WorkspaceId::from_bytes([1; 16]),
            user: UserId::from_bytes([2; 16]),
            device: DeviceId::from_bytes([3; 16]),
            sign_in: Some(FamilyId::from_bytes([4; 16])),
            scopes: vec![Scope::Messages, Scope::Presence],
            admin: false,
            expires_at: UnixMs(NOW.0 + 60_000),
        }
    }

    #[test]
    fn a_token_says_what_the_session_was_until_it_ends() {
        let token = keys(1, 7).sign(&principal()).unwrap();
        let said = keys(1, 7).verify(&token, NOW).unwrap();
        let Principal { user, device, sign_in, scopes, expires_at, .. } = principal();
        assert_eq!(said, Said { user, device, sign_in, scopes, expires_at });
        assert!(keys(1, 7).verify(&token, UnixMs(expires_at.0 - 1)).is_some());
        assert!(keys(1, 7).verify(&token, expires_at).is_none());
    }

    #[test]
    fn tokens_of_another_key_or_workspace_are_none() {
        let token = keys(1, 7).sign(&principal()).unwrap();
        assert!(keys(1, 8).verify(&token, NOW).is_none());
        assert!(keys(2, 7).verify(&token, NOW).is_none());
        let renamed = ResumeKeys::new(WorkspaceId::from_bytes([1; 16]), vec![([7; 8], Zeroizing::new(vec![8; 32]))]);
        assert!(renamed.verify(&token, NOW).is_none());
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let keys = keys(1, 7);
        let token = keys.sign(&principal()).unwrap();
        let bytes = BASE64.decode(token.strip_prefix(PREFIX).unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(keys.verify(&format!("{PREFIX}{}", BASE64.encode(forged)), NOW).is_none(), "bit {bit}");
        }
        for cut in 0..token.len() {
            assert!(keys.verify(&token[..cut], NOW).is_none());
        }
        assert!(keys.verify(&format!("{token}A"), NOW).is_none());
    }
}
