//! What is kept of a person, beside what they said: for handing it out to them.

use holler_core::units::UserId;
use rusqlite::params;
use rusqlite::types::ValueRef;
use serde_json::{Map, Value};

use super::Accounts;
use crate::storage::StoreError;

/// Tables of identifiers, words and times, whose rows are handed out as they are.
const RECORDS: &[&str] = &["sign_ins", "presence", "read_marks", "heard", "push_subscriptions", "push_rules"];
/// Columns that are nobody's data: keys, and what is the same in every row.
const NOT_SHOWN: &[&str] = &["workspace_id", "user_id", "secret", "target", "target_hash"];

impl Accounts<'_> {
    /// The rows about a user in tables that have no reading of their own, as objects: `table`, and the columns. At most `most`.
    pub fn records(&self, user: UserId, most: usize) -> Result<Vec<Value>, StoreError> {
        let mut records = Vec::new();
        for table in RECORDS {
            if !self.has_table(table)? {
                continue;
            }
            let sql = format!("SELECT * FROM {table} WHERE user_id = ?1");
            let mut statement = self.db.prepare_cached(&sql)?;
            let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = statement.query(params![user.bytes()])?;
            while let Some(row) = rows.next()? {
                if records.len() == most {
                    return Ok(records);
                }
                let mut record = Map::from_iter([("table".to_owned(), Value::from(*table))]);
                for (at, name) in names.iter().enumerate().filter(|(_, name)| !NOT_SHOWN.contains(&name.as_str())) {
                    let value = match row.get_ref(at)? {
                        ValueRef::Null => Value::Null,
                        ValueRef::Integer(number) => number.into(),
                        ValueRef::Real(number) => number.into(),
                        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
                        ValueRef::Blob(bytes) => {
                            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
                        }
                    };
                    record.insert(name.clone(), value);
                }
                records.push(Value::Object(record));
            }
        }
        Ok(records)
    }
}
