//! Who is signed in, kept over restarts of the browser: one record in IndexedDB, sealed under a key that no script can read out.
//!
//! The key is made by the browser as non-extractable and lies beside the record. So a copy of the record alone opens nothing, and
//! a script that got into this origin could use the key here and now, but not carry it away (docs/adr/0002). Writes are strict:
//! a refresh token that is used up must never come back after a crash, or the server takes it for stolen.

use core::cell::{Cell, RefCell};

use holler_core::units::{DeviceId, UserId};
use js_sys::{Function, Promise};
use serde::{Deserialize, Serialize};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use super::store::{Connection, Failure, Sealer};
use crate::store::parse;

const RECORD: &str = "record";

#[wasm_bindgen]
extern "C" {
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
    database: Connection,
    sealer: Sealer,
    memory: RefCell<Option<Profile>>,
    /// What is in memory is newer than what is on the disk.
    unkept: Cell<bool>,
}

impl Vault {
    pub(super) fn new(database: &Connection) -> Self {
        Self { database: database.clone(), ..Self::default() }
    }

    /// What is kept; what can't be opened (another key, a damaged record) is as good as nothing.
    pub(super) async fn read(&self) -> Option<Profile> {
        match self.kept().await {
            Ok(found) if !self.unkept.get() => found,
            Ok(_) | Err(_) => self.memory.borrow().clone(),
        }
    }

    async fn kept(&self) -> Result<Option<Profile>, Failure> {
        let record = self.database.sign_in(RECORD).await?;
        if record.is_undefined() {
            return Ok(None);
        }
        let opened = self.sealer.open(&self.database, "", &record).await?;
        Ok(parse(&opened).ok())
    }

    /// Keeps a profile. `false`: only until this tab is closed, for this browser keeps nothing for this page.
    pub(super) async fn write(&self, profile: &Profile) -> bool {
        *self.memory.borrow_mut() = Some(profile.clone());
        let kept = self.keep(profile).await.is_ok();
        self.unkept.set(!kept);
        kept
    }

    /// Whether another tab finds here who is signed in; what could not be kept is tried again.
    pub(super) async fn is_kept(&self) -> bool {
        let unkept = self.memory.borrow().clone().filter(|profile| self.unkept.get() && profile.signed_in);
        match unkept {
            Some(profile) => self.write(&profile).await,
            None => true,
        }
    }

    async fn keep(&self, profile: &Profile) -> Result<(), Failure> {
        let plain = serde_json::to_vec(profile).map_err(|_| "a profile can't be written")?;
        let sealed = self.sealer.seal(&self.database, core::iter::once(("", &plain[..]))).await?;
        let Some(record) = sealed.first() else { return Ok(()) };
        self.database.set_sign_in(&[(RECORD, record)]).await
    }

    /// Another tab has it from now on: what that one keeps is the newer.
    pub(super) fn give_up(&self) {
        self.unkept.set(false);
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
