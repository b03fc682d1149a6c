//! Access tokens: JWTs (RFC 7519, profile RFC 9068) signed with EdDSA (RFC 8037).
//!
//! The key is made on the first start and lies sealed in the database; `/.well-known/jwks.json` shows its public half. Tokens
//! name their key, so that a new one can be brought in while tokens of the old one still run.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::model::Scope;
use holler_core::units::{DeviceId, FamilyId, UnixMs, UserId, WorkspaceId};
use holler_core::wire::problem::{Problem, ProblemKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::storage::accounts::SigningKeyRow;

const AUDIENCE: &str = "holler";
const TYPE: &str = "at+jwt";
/// Longer texts are no tokens of ours; ours have about 600 bytes.
const TOKEN_BYTES_MAX: usize = 2_048;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The workspace, as a URN.
    pub iss: String,
    /// Always `holler`.
    pub aud: String,
    /// Who.
    pub sub: UserId,
    /// From which device.
    pub device: DeviceId,
    /// The sign-in; absent in a token for a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<FamilyId>,
    /// The number of the refresh token that was given out with it; 0 for a script.
    pub rot: u32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends, s since 1970.
    pub exp: u64,
    /// When it was made, s since 1970.
    pub iat: u64,
    /// Names the token.
    pub jti: String,
}

/// Who a token is for and what it allows.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Who.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// The sign-in and the number of its refresh token; `None` for a script.
    pub sign_in: Option<(FamilyId, u32)>,
    /// What it allows.
    pub scopes: Vec<Scope>,
}

struct SigningKey {
    id: String,
    x: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// The keys of a workspace, newest first.
pub struct TokenKeys {
    workspace: WorkspaceId,
    issuer: String,
    keys: Vec<SigningKey>,
    validation: Validation,
}

/// Why a signing key can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the key that signs access tokens can't be made or read: {0}")]
pub struct TokenKeyError(#[from] rcgen::Error);

/// A new key: its id (the RFC 7638 thumbprint) and its PKCS #8.
pub fn generate() -> Result<SigningKeyRow, TokenKeyError> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    Ok((thumbprint(&BASE64.encode(key.public_key_raw())), Zeroizing::new(key.serialize_der())))
}

fn thumbprint(x: &str) -> String {
    BASE64.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

impl TokenKeys {
    /// The keys, newest first, as id and PKCS #8.
    pub fn new(workspace: WorkspaceId, keys: &[SigningKeyRow]) -> Result<Self, TokenKeyError> {
        let keys = keys
            .iter()
            .map(|(id, private)| {
                let der = PrivatePkcs8KeyDer::from(private.as_slice());
                let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)?;
                let public = pair.public_key_raw();
                Ok(SigningKey {
                    id: id.clone(),
                    x: BASE64.encode(public),
                    encoding: EncodingKey::from_ed_der(private),
                    decoding: DecodingKey::from_ed_der(public),
                })
            })
            .collect::<Result<Vec<_>, TokenKeyError>>()?;
        let issuer = format!("urn:holler:workspace:{workspace}");
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Compared below with the caller's clock.
        validation.validate_exp = false;
        Ok(Self { workspace, issuer, keys, validation })
    }

    /// Whether they are these, in this order.
    pub fn are(&self, rows: &[SigningKeyRow]) -> bool {
        self.keys.iter().map(|key| &key.id).eq(rows.iter().map(|(id, _)| id))
    }

    /// A token that is valid from `now` for `seconds`.
    pub fn sign(&self, subject: Subject, now: UnixMs, seconds: u64) -> Result<String, Problem> {
        let fault = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "an access token could not be signed");
            Problem::new(ProblemKind::Internal, "no token could be made; see the server's log")
        };
        let key = self.keys.first().ok_or_else(|| fault(&"there is no key"))?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| fault(&error))?;
        let (sid, rot) = subject.sign_in.unzip();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.user,
            device: subject.device,
            sid,
            rot: rot.unwrap_or(0),
            workspace: self.workspace,
            scopes: subject.scopes,
            exp: now.0 / 1000 + seconds,
            iat: now.0 / 1000,
            jti: BASE64.encode(id),
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(|error| fault(&error))
    }

    /// What a token says, if it is one of ours and has not expired at `now`.
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<Claims, Problem> {
        let invalid =
            || Problem::new(ProblemKind::Unauthenticated, "the access token is not one of this server: sign in");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid());
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let id = header.kid.filter(|_| header.typ.as_deref() == Some(TYPE)).ok_or_else(invalid)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(invalid)?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation).map_err(|_| invalid())?.claims;
        if claims.workspace != self.workspace {
            return Err(invalid());
        }
        if now.0 / 1000 >= claims.exp {
            return Err(Problem::new(ProblemKind::Unauthenticated, "the access token has expired: refresh it"));
        }
        Ok(claims)
    }

    /// The public keys (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.id, "use": "sig", "alg": "EdDSA"})
            })
            .collect();
        serde_json::json!({ "keys": keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_790_000_000_000);

    fn keys(workspace: u8) -> TokenKeys {
        TokenKeys::new(WorkspaceId::from_bytes([workspace; 16]), &[generate().unwrap()]).unwrap()
    }

    fn subject() -> Subject {
        Subject {
            user: UserId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            sign_in: Some((FamilyId::from_bytes([3; 16]), 4)),
            scopes: vec![Scope::Floor, Scope::Messages],
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let keys = keys(9);
        let token = keys.sign(subject(), NOW, 600).unwrap();
        let claims = keys.verify(&token, UnixMs(NOW.0 + 599_999)).unwrap();
        assert_eq!(
            (claims.sub, claims.device, claims.sid),
            (subject().user, subject().device, Some(FamilyId::from_bytes([3; 16])))
        );
        assert_eq!((claims.scopes, claims.rot), (subject().scopes, 4));
        let expired = keys.verify(&token, UnixMs(NOW.0 + 600_000)).unwrap_err();
        assert!(expired.detail.contains("expired"), "{expired}");
        assert!(token.len() < TOKEN_BYTES_MAX / 2, "{}", token.len());
    }

    #[test]
    fn what_another_key_workspace_or_algorithm_signed_is_refused() {
        let (keys, other) = (keys(9), keys(9));
        assert!(keys.verify(&other.sign(subject(), NOW, 600).unwrap(), NOW).is_err());

        // The same key in another workspace.
        let shared = generate().unwrap();
        let one = TokenKeys::new(WorkspaceId::from_bytes([1; 16]), std::slice::from_ref(&shared)).unwrap();
        let two = TokenKeys::new(WorkspaceId::from_bytes([2; 16]), std::slice::from_ref(&shared)).unwrap();
        assert!(two.verify(&one.sign(subject(), NOW, 600).unwrap(), NOW).is_err());

        // "none", and an HMAC with the public key as its secret: the two classic confusions.
        let token = keys.sign(subject(), NOW, 600).unwrap();
        let payload = token.split('.').nth(1).unwrap();
        for alg in ["none", "HS256"] {
            let header = BASE64.encode(format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{}"}}"#, keys.keys[0].id));
            let signature = if alg == "none" {
                String::new()
            } else {
                let secret = EncodingKey::from_secret(&BASE64.decode(&keys.keys[0].x).unwrap());
                jsonwebtoken::crypto::sign(format!("{header}.{payload}").as_bytes(), &secret, Algorithm::HS256).unwrap()
            };
            assert!(keys.verify(&format!("{header}.{payload}.{signature}"), NOW).is_err(), "{alg}");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let keys = keys(9);
        let token = keys.sign(subject(), NOW, 600).unwrap();
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            assert!(keys.verify(&String::from_utf8(bytes).unwrap(), NOW).is_err(), "byte {at}");
        }
        assert!(keys.verify("", NOW).is_err());
        assert!(keys.verify(&"a.b".repeat(2_000), NOW).is_err());
    }

    #[test]
    fn the_key_id_is_the_thumbprint_of_rfc_8037() {
        // RFC 8037 appendix A.3.
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let keys = keys(9);
        assert_eq!(keys.jwks()["keys"][0]["kid"], thumbprint(&keys.keys[0].x));
    }
}
