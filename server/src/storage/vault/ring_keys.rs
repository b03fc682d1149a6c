//! Which ring keys the data keys are wrapped by, and wrapping them anew.

use std::collections::BTreeMap;

use holler_core::seal::{KeyId, Place, key_id};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::Vault;
use crate::keys::KeyRing;
use crate::storage::error::StoreError;

/// Every table with wrapped data keys, and the columns of its primary key. The column `wrapped` holds the key, or NULL.
const TABLES: &[(&str, &[&str])] =
    &[("workspace_keys", &["workspace_id"]), ("room_keys", &["room_id"]), ("audit_keys", &["workspace_id", "user_id"])];

/// How many data keys each ring key wraps.
pub fn uses(db: &Connection) -> Result<BTreeMap<KeyId, u64>, StoreError> {
    let mut uses = BTreeMap::new();
    each(db, None, |_, _, _, wrapped| {
        *uses.entry(key_id(wrapped)?).or_default() += 1;
        Ok(())
    })?;
    Ok(uses)
}

/// Opens every data key; gives how many there are.
pub fn check(db: &Connection, ring: &KeyRing) -> Result<u64, StoreError> {
    let mut opened = 0;
    each(db, None, |table, _, row, wrapped| {
        let row: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
        ring.unwrap(&Place { table, column: "wrapped", row: &row }, wrapped)?;
        opened += 1;
        Ok(())
    })?;
    Ok(opened)
}

impl Vault {
    /// Wraps up to `limit` data keys with the ring's active key that are wrapped by another. Gives how many; 0: all are done.
    pub fn rewrap(&self, db: &Connection, limit: usize) -> Result<usize, StoreError> {
        let ring = self.ring.load_full();
        let active = ring.active();
        let mut others = Vec::new();
        each(db, Some((active, limit)), |table, columns, row, wrapped| {
            others.push((table, columns, row.to_vec(), wrapped.to_vec()));
            Ok(())
        })?;
        for (table, columns, row, wrapped) in &others {
            let parts: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
            let place = Place { table, column: "wrapped", row: &parts };
            let anew = ring.wrap(&place, &ring.unwrap(&place, wrapped)?)?;
            let condition: Vec<String> =
                columns.iter().enumerate().map(|(at, column)| format!("{column} = ?{}", at + 2)).collect();
            let values = std::iter::once(Value::Blob(anew)).chain(row.iter().cloned().map(Value::Blob));
            db.prepare_cached(&format!("UPDATE {table} SET wrapped = ?1 WHERE {}", condition.join(" AND ")))?
                .execute(params_from_iter(values))?;
        }
        Ok(others.len())
    }
}

/// Hands on every wrapped key with its table, the columns of its primary key and their values; with `others`, only up to so many that
/// another ring key wraps.
fn each(
    db: &Connection,
    others: Option<(KeyId, usize)>,
    mut each: impl FnMut(&'static str, &'static [&'static str], &[Vec<u8>], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut left = others.map_or(usize::MAX, |(_, limit)| limit);
    for (table, columns) in TABLES {
        // The id of the ring key is in the clear: see `core::seal`.
        let other = if others.is_some() { " AND substr(wrapped, 2, 4) <> ?1" } else { "" };
        let sql = format!("SELECT wrapped, {} FROM {table} WHERE wrapped IS NOT NULL{other}", columns.join(", "));
        let mut select = db.prepare_cached(&sql)?;
        let wanted = others.map(|(active, _)| Value::Blob(active.0.to_be_bytes().to_vec()));
        let mut rows = select.query(params_from_iter(wanted))?;
        while let Some(row) = rows.next()? {
            if left == 0 {
                return Ok(());
            }
            left -= 1;
            let parts = (1..=columns.len()).map(|at| row.get(at)).collect::<Result<Vec<Vec<u8>>, _>>()?;
            each(table, columns, &parts, &row.get::<_, Vec<u8>>(0)?)?;
        }
    }
    Ok(())
}
