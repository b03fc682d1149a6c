//! The browser's database: its versions, and transactions that are on the disk when they are said to be done.

use core::cell::RefCell;
use std::rc::Rc;

use holler_core::sorted::Map;
use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, IdbDatabase, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbRequest, IdbTransaction,
    IdbVersionChangeEvent,
};

use super::super::global;
use crate::store::{Place, Table};

const DATABASE: &str = "holler";
/// What each version added. Nothing is ever taken away by an upgrade: what is queued lies in the first two.
const VERSIONS: [&str; 3] = [SIGN_IN, "queue", "known"];
/// The sign-in and the key; see `vault`.
pub(in crate::worker) const SIGN_IN: &str = "sign-in";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = IDBDatabase)]
    type Database;
    #[wasm_bindgen(method, catch)]
    fn transaction(this: &Database, stores: &Array, mode: &str, options: &Object) -> Result<IdbTransaction, JsValue>;
}

/// Why the database did not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::worker) enum Failure {
    /// There is no room.
    Full,
    /// Another tab has brought it to a newer version than this page knows.
    Newer,
    /// It is not there, or fails.
    Missing(String),
}

impl From<JsValue> for Failure {
    fn from(error: JsValue) -> Self {
        match error.dyn_ref::<DomException>().map(|error| (error.name(), error.message())) {
            Some((name, _)) if name == "QuotaExceededError" => Self::Full,
            Some((name, _)) if name == "VersionError" => Self::Newer,
            Some((name, message)) => Self::Missing(format!("{name}: {message}")),
            None => Self::Missing(error.as_string().unwrap_or_else(|| "IndexedDB failed".to_owned())),
        }
    }
}

impl From<&str> for Failure {
    fn from(detail: &str) -> Self {
        Self::Missing(detail.to_owned())
    }
}

/// The connection, opened when it is first needed and again where the browser closed it.
#[derive(Clone, Default)]
pub(in crate::worker) struct Connection {
    open: Rc<RefCell<Option<IdbDatabase>>>,
    /// Another tab has brought the database to a newer version.
    outdated: Rc<core::cell::Cell<bool>>,
}

/// What to do with a record.
pub(in crate::worker) enum Deed {
    /// Lay it down.
    Put(JsValue),
    /// Take it away.
    Delete,
    /// Take away all whose name begins so.
    Clear,
}

fn store_of(table: Table) -> &'static str {
    match table {
        Table::Queue => VERSIONS[1],
        Table::Known => VERSIONS[2],
    }
}

impl Connection {
    async fn database(&self) -> Result<IdbDatabase, Failure> {
        if self.outdated.get() {
            return Err(Failure::Newer);
        }
        if let Some(open) = self.open.borrow().as_ref() {
            return Ok(open.clone());
        }
        let database = open().await?;
        let (held, outdated) = (Rc::clone(&self.open), Rc::clone(&self.outdated));
        let changing = Closure::once_into_js(move || {
            // A newer page waits for this one to let go; what is unwritten stays in memory, and is said to.
            outdated.set(true);
            if let Some(open) = held.take() {
                open.close();
            }
        });
        database.set_onversionchange(Some(changing.unchecked_ref()));
        let held = Rc::clone(&self.open);
        let closed = Closure::once_into_js(move || drop(held.take()));
        database.set_onclose(Some(closed.unchecked_ref()));
        *self.open.borrow_mut() = Some(database.clone());
        Ok(database)
    }

    /// A transaction. A database that was closed meanwhile is opened once more.
    async fn transaction(&self, stores: &[&str], mode: &str) -> Result<IdbTransaction, Failure> {
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &"strict".into())?;
        let stores: Array = stores.iter().map(|store| JsValue::from(*store)).collect();
        let begin = |database: IdbDatabase| database.unchecked_ref::<Database>().transaction(&stores, mode, &options);
        if let Ok(begun) = begin(self.database().await?) {
            return Ok(begun);
        }
        self.open.take();
        Ok(begin(self.database().await?)?)
    }

    /// Does all of it, or nothing; it is on the disk when this returns.
    pub(in crate::worker) async fn write(&self, deeds: &Map<Place, Deed>) -> Result<(), Failure> {
        let transaction = self.transaction(&VERSIONS[1..], "readwrite").await?;
        let clears = |deed: &Deed| matches!(deed, Deed::Clear);
        // What is cleared first: something may be laid down there again.
        let ordered =
            deeds.iter().filter(|(_, deed)| clears(deed)).chain(deeds.iter().filter(|(_, deed)| !clears(deed)));
        let mut done = Ok(());
        for ((table, name), deed) in ordered {
            let store = transaction.object_store(store_of(*table))?;
            let asked = match deed {
                Deed::Put(value) => store.put_with_key(value, &name.into()),
                Deed::Delete => store.delete(&name.into()),
                Deed::Clear => range(name).and_then(|range| store.delete(&range)),
            };
            if let Err(error) = asked {
                done = Err(error);
                break;
            }
        }
        if let Err(error) = done {
            // It may have ended itself already.
            let _ = transaction.abort();
            return Err(error.into());
        }
        committed(&transaction).await
    }

    /// Takes away everything of a table.
    pub(in crate::worker) async fn clear(&self, table: Table) -> Result<(), Failure> {
        let transaction = self.transaction(&[store_of(table)], "readwrite").await?;
        transaction.object_store(store_of(table))?.clear()?;
        committed(&transaction).await
    }

    /// The names that begin so, in their order.
    pub(in crate::worker) async fn names(&self, table: Table, prefix: &str) -> Result<Vec<String>, Failure> {
        let store = self.transaction(&[store_of(table)], "readonly").await?.object_store(store_of(table))?;
        let names = done(&store.get_all_keys_with_key(&range(prefix)?)?).await?;
        Ok(names.unchecked_into::<Array>().iter().filter_map(|name| name.as_string()).collect())
    }

    /// The records whose names begin so, in the order of their names.
    pub(in crate::worker) async fn records(
        &self,
        table: Table,
        prefix: &str,
    ) -> Result<Vec<(String, JsValue)>, Failure> {
        let store = self.transaction(&[store_of(table)], "readonly").await?.object_store(store_of(table))?;
        let (names, values) = (store.get_all_keys_with_key(&range(prefix)?)?, store.get_all_with_key(&range(prefix)?)?);
        let names: Array = done(&names).await?.unchecked_into();
        let values: Array = done(&values).await?.unchecked_into();
        Ok(names.iter().zip(values.iter()).filter_map(|(name, value)| Some((name.as_string()?, value))).collect())
    }

    /// One record of the sign-in.
    pub(in crate::worker) async fn sign_in(&self, name: &str) -> Result<JsValue, Failure> {
        let store = self.transaction(&[SIGN_IN], "readonly").await?.object_store(SIGN_IN)?;
        Ok(done(&store.get(&name.into())?).await?)
    }

    /// Lays down records of the sign-in, all at once.
    pub(in crate::worker) async fn set_sign_in(&self, records: &[(&str, &JsValue)]) -> Result<(), Failure> {
        let transaction = self.transaction(&[SIGN_IN], "readwrite").await?;
        let store = transaction.object_store(SIGN_IN)?;
        for (name, value) in records {
            store.put_with_key(value, &(*name).into())?;
        }
        committed(&transaction).await
    }

    /// Lays down a record of the sign-in where there is none, and gives the one that is there then.
    pub(in crate::worker) async fn sign_in_or(&self, name: &str, value: &JsValue) -> Result<JsValue, Failure> {
        let transaction = self.transaction(&[SIGN_IN], "readwrite").await?;
        let store: IdbObjectStore = transaction.object_store(SIGN_IN)?;
        let found = done(&store.get(&name.into())?).await?;
        if !found.is_undefined() {
            return Ok(found);
        }
        store.put_with_key(value, &name.into())?;
        committed(&transaction).await?;
        Ok(value.clone())
    }
}

fn range(prefix: &str) -> Result<JsValue, JsValue> {
    // Names are of ASCII letters, digits, `_` and `/`.
    Ok(IdbKeyRange::bound(&prefix.into(), &format!("{prefix}~").into())?.into())
}

async fn open() -> Result<IdbDatabase, Failure> {
    let factory = global().indexed_db()?.ok_or("this browser has no IndexedDB for this page")?;
    let version = u32::try_from(VERSIONS.len()).unwrap_or(u32::MAX);
    let request: IdbOpenDbRequest = factory.open_with_u32(DATABASE, version)?;
    let opening = request.clone();
    let upgrade = Closure::once(move |event: IdbVersionChangeEvent| {
        let Ok(made) = opening.result().and_then(|database| database.dyn_into::<IdbDatabase>()) else { return };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
        let before = event.old_version() as usize;
        for store in VERSIONS.iter().skip(before) {
            // A failure shows in the transactions, which then find no store.
            let _ = made.create_object_store(store);
        }
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    Ok(done(&request).await?.dyn_into()?)
}

/// The result of a request.
async fn done(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let happened = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    });
    if JsFuture::from(happened).await.is_err() {
        return Err(request.error()?.map_or(JsValue::UNDEFINED, JsValue::from));
    }
    request.result()
}

/// That a transaction is on the disk.
async fn committed(transaction: &IdbTransaction) -> Result<(), Failure> {
    let happened = Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    });
    if JsFuture::from(happened).await.is_err() {
        return Err(transaction.error().map_or(JsValue::UNDEFINED, JsValue::from).into());
    }
    Ok(())
}
