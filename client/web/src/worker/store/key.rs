//! The browser's key, which no script can read out, and what is sealed under it (docs/adr/0002): AES-GCM with a random nonce of
//! 96 bits, bound to the place of the record, so that it opens nowhere else.

use core::cell::RefCell;

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{CryptoKey, SubtleCrypto};

use super::super::{clock, global};
use super::database::{Connection, Failure};

const KEY: &str = "key";
const NONCE_BYTES: usize = 12;

/// The key, once it was needed.
#[derive(Default)]
pub(in crate::worker) struct Sealer {
    key: RefCell<Option<CryptoKey>>,
}

impl Sealer {
    pub(in crate::worker) async fn key(&self, database: &Connection) -> Result<CryptoKey, Failure> {
        if let Some(key) = self.key.borrow().as_ref() {
            return Ok(key.clone());
        }
        let mut key = database.sign_in(KEY).await?;
        if key.is_undefined() {
            // Another tab may be as far: there is one key, the first.
            key = database.sign_in_or(KEY, new_key().await?.as_ref()).await?;
        }
        let key: CryptoKey = key.dyn_into()?;
        *self.key.borrow_mut() = Some(key.clone());
        Ok(key)
    }

    /// Seals values, each for its place.
    pub(in crate::worker) async fn seal(
        &self,
        database: &Connection,
        values: impl Iterator<Item = (&str, &[u8])>,
    ) -> Result<Vec<JsValue>, Failure> {
        let (key, subtle) = (self.key(database).await?, subtle()?);
        let (nonces, sealing) = (Array::new(), Array::new());
        for (place, value) in values {
            let nonce = Uint8Array::from(&clock::random()[..NONCE_BYTES]);
            sealing.push(&subtle.encrypt_with_object_and_u8_array(&algorithm(&nonce, place)?, &key, value)?.into());
            nonces.push(&nonce);
        }
        let sealed: Array = JsFuture::from(Promise::all(&sealing)).await?.unchecked_into();
        Ok(nonces
            .iter()
            .zip(sealed.iter())
            .map(|(nonce, sealed)| Array::of2(&nonce, &Uint8Array::new(&sealed)).into())
            .collect())
    }

    /// Opens a record of this place.
    pub(in crate::worker) async fn open(
        &self,
        database: &Connection,
        place: &str,
        record: &JsValue,
    ) -> Result<Vec<u8>, Failure> {
        let key = self.key(database).await?;
        let record: Array = record.clone().dyn_into()?;
        let sealed = Uint8Array::new(&record.get(1)).to_vec();
        let opening = subtle()?.decrypt_with_object_and_u8_array(&algorithm(&record.get(0), place)?, &key, &sealed)?;
        Ok(Uint8Array::new(&JsFuture::from(opening).await?).to_vec())
    }
}

async fn new_key() -> Result<CryptoKey, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"AES-GCM".into())?;
    Reflect::set(&algorithm, &"length".into(), &256.into())?;
    let uses = Array::of2(&"encrypt".into(), &"decrypt".into());
    let key = subtle()?.generate_key_with_object(&algorithm, false, &uses)?;
    JsFuture::from(key).await?.dyn_into()
}

/// The sign-in's place is empty: it was sealed so before there were others.
fn algorithm(nonce: &JsValue, place: &str) -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"AES-GCM".into())?;
    Reflect::set(&algorithm, &"iv".into(), nonce)?;
    if !place.is_empty() {
        Reflect::set(&algorithm, &"additionalData".into(), &Uint8Array::from(place.as_bytes()))?;
    }
    Ok(algorithm)
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    Ok(global().crypto()?.subtle())
}
