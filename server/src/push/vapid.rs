//! How push services know this server: Voluntary Application Server Identification (RFC 8292).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::json;
use zeroize::Zeroizing;

/// How long a token is good: section 2 allows 24 h at most; a clock may be off by some.
const LIFE: Duration = Duration::from_secs(12 * 3_600);

/// The key that every subscription of a browser is bound to (section 4).
#[derive(Clone)]
pub struct VapidKey(Arc<EcdsaKeyPair>);

/// A new key, as PKCS #8.
pub fn generate() -> Result<Zeroizing<Vec<u8>>, String> {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let document = document.map_err(|_| "it could not be made".to_owned())?;
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

impl VapidKey {
    /// Reads it.
    pub fn from_pkcs8(private: &[u8]) -> Result<Self, String> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private);
        Ok(Self(Arc::new(pair.map_err(|error| error.to_string())?)))
    }

    /// The public key, an uncompressed point, as browsers and services take it (section 3.2).
    pub fn public_base64(&self) -> String {
        BASE64.encode(self.0.public_key().as_ref())
    }

    /// The value of `Authorization` for a service at `origin` (section 3). `now`: the time since 1970.
    pub fn authorization(&self, origin: &str, contact: &str, now: Duration) -> Option<String> {
        let part = |value: &serde_json::Value| BASE64.encode(value.to_string());
        let head = part(&json!({"typ": "JWT", "alg": "ES256"}));
        let claims = part(&json!({"aud": origin, "exp": (now + LIFE).as_secs(), "sub": contact}));
        let signed = format!("{head}.{claims}");
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("vapid t={signed}.{}, k={}", BASE64.encode(signature.as_ref()), self.public_base64()))
    }
}
