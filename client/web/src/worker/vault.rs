//! Who is signed in, kept over restarts of the browser: one record in IndexedDB, sealed under a key that no script can read out.
//!
//! The key is made by the browser as non-extractable and lies beside the record. So a copy of the record alone opens nothing, and
//! a script that got into this origin could use the key here and now, but not carry it away (docs/adr/0002). Writes are strict:
//! a refresh token that is used up must never come back after a crash, or the server takes it for stolen.

use core::cell::RefCell;

use holler_core::units::{DeviceId, UserId};
use holler_core::wire::json;
use js_sys::{Array, Function, Object, Promise, Reflect, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{CryptoKey, IdbDatabase, IdbObjectStore, IdbOpenDbRequest, IdbRequest, SubtleCrypto};

use super::{clock, global};

const DATABASE: &str = "holler";
const STORE: &str = "sign-in";
const KEY: &str = "key";
const RECORD: &str = "record";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = IDBDatabase)]
    type Database;
    #[wasm_bindgen(method, catch)]
    fn transaction(
        this: &Database,
        store: &str,
        mode: &str,
        options: &Object,
    ) -> Result<web_sys::IdbTransaction, JsValue>;
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, run: &Function) -> Result<Promise, JsValue>;
}

/// Who is signed in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    /// The sign-in name.
    pub(super) login: String,
    /// Who.
    pub(super) user: UserId,
    /// As which device.
    pub(super) device: DeviceId,
    /// The latest access token.
    pub(super) access_token: String,
    /// Until when it is valid, by this machine's clock.
    pub(super) access_until_ms: u64,
    /// The latest refresh token. Used up, it still shows at the next sign-in that this is the same device.
    pub(super) refresh_token: String,
    /// Whether somebody is signed in; else the device is kept for the next sign-in.
    pub(super) signed_in: bool,
}

/// The record, in the database where there is one, else in memory until this tab is closed.
#[derive(Default)]
pub(super) struct Vault {
    memory: RefCell<Option<Profile>>,
}

impl Vault {
    /// What is kept; what can't be opened (another key, a damaged record) is as good as nothing.
    pub(super) async fn read(&self) -> Option<Profile> {
        match read().await {
            Ok(found) => found,
            Err(_) => self.memory.borrow().clone(),
        }
    }

    /// Keeps a profile. `false`: only until this tab is closed, for this browser keeps nothing for this page.
    pub(super) async fn write(&self, profile: &Profile) -> bool {
        *self.memory.borrow_mut() = Some(profile.clone());
        write(profile).await.is_ok()
    }

    /// Runs this while no other tab of this browser does: two that refresh the same token would end the sign-in.
    pub(super) async fn alone<T: 'static>(&self, run: impl Future<Output = T> + 'static) -> Option<T> {
        let result = std::rc::Rc::new(RefCell::new(None));
        let put = std::rc::Rc::clone(&result);
        let mut run = Some(async move {
            *put.borrow_mut() = Some(run.await);
            Ok(JsValue::UNDEFINED)
        });
        let run = Closure::once(move || run.take().map(future_to_promise));
        let locked = request_lock("holler-sign-in", run.as_ref().unchecked_ref()).ok()?;
        JsFuture::from(locked).await.ok()?;
        result.take()
    }
}

async fn read() -> Result<Option<Profile>, JsValue> {
    let database = open().await?;
    let record = done(&store(&database, "readonly")?.get(&RECORD.into())?).await?;
    let key = done(&store(&database, "readonly")?.get(&KEY.into())?).await?;
    database.close();
    if record.is_undefined() || key.is_undefined() {
        return Ok(None);
    }
    let record: Array = record.dyn_into()?;
    let sealed = Uint8Array::new(&record.get(1)).to_vec();
    let key: CryptoKey = key.dyn_into()?;
    let opened = subtle()?.decrypt_with_object_and_u8_array(&algorithm(&record.get(0))?, &key, &sealed)?;
    let opened = Uint8Array::new(&JsFuture::from(opened).await?).to_vec();
    Ok(core::str::from_utf8(&opened).ok().and_then(|text| json::read(text).ok()))
}

async fn write(profile: &Profile) -> Result<(), JsValue> {
    let database = open().await?;
    let key = done(&store(&database, "readonly")?.get(&KEY.into())?).await?;
    let key: CryptoKey = if key.is_undefined() { new_key().await? } else { key.dyn_into()? };
    let number = Uint8Array::from(&clock::random()[..12]);
    let plain = serde_json::to_vec(profile).map_err(|error| error.to_string())?;
    let sealed = subtle()?.encrypt_with_object_and_u8_array(&algorithm(&number)?, &key, &plain)?;
    let sealed = Uint8Array::new(&JsFuture::from(sealed).await?);
    let record = Array::of2(&number, &sealed);
    // One transaction: a record never lies beside a key that does not open it.
    let store = store(&database, "readwrite")?;
    store.put_with_key(&key, &KEY.into())?;
    let last = store.put_with_key(&record, &RECORD.into())?;
    committed(&last).await?;
    database.close();
    Ok(())
}

async fn new_key() -> Result<CryptoKey, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"AES-GCM".into())?;
    Reflect::set(&algorithm, &"length".into(), &256.into())?;
    let uses = Array::of2(&"encrypt".into(), &"decrypt".into());
    let key = subtle()?.generate_key_with_object(&algorithm, false, &uses)?;
    JsFuture::from(key).await?.dyn_into()
}

fn algorithm(number: &JsValue) -> Result<Object, JsValue> {
    let algorithm = Object::new();
    Reflect::set(&algorithm, &"name".into(), &"AES-GCM".into())?;
    Reflect::set(&algorithm, &"iv".into(), number)?;
    Ok(algorithm)
}

fn subtle() -> Result<SubtleCrypto, JsValue> {
    Ok(global().crypto()?.subtle())
}

async fn open() -> Result<IdbDatabase, JsValue> {
    let factory = global().indexed_db()?.ok_or("no IndexedDB")?;
    let request: IdbOpenDbRequest = factory.open_with_u32(DATABASE, 1)?;
    let opening = request.clone();
    let upgrade = Closure::once(move || {
        let made = opening.result().and_then(|database| database.dyn_into::<IdbDatabase>());
        // A failure shows in the transaction, which then finds no store.
        let _ = made.and_then(|database| database.create_object_store(STORE));
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    done(&request).await?.dyn_into()
}

fn store(database: &IdbDatabase, mode: &str) -> Result<IdbObjectStore, JsValue> {
    let options = Object::new();
    Reflect::set(&options, &"durability".into(), &"strict".into())?;
    let database: &Database = database.unchecked_ref();
    database.transaction(STORE, mode, &options)?.object_store(STORE)
}

/// The result of a request.
async fn done(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let happened = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    JsFuture::from(happened).await?;
    request.result()
}

/// That the transaction of a request is on the disk.
async fn committed(request: &IdbRequest) -> Result<(), JsValue> {
    let transaction = request.transaction().ok_or("no transaction")?;
    let happened = Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onerror(Some(&reject));
        transaction.set_onabort(Some(&reject));
    });
    JsFuture::from(happened).await.map(drop)
}
