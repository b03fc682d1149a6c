//! Cursors of lists: sealed, so that they say nothing, and bound to their list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::seal::Place;

use super::{AccountError, Accounts};
use crate::storage::StoreError;

impl Accounts<'_> {
    /// A cursor that stands after the item with this sort key.
    pub fn cursor(&self, list: &'static str, key: &[u8]) -> Result<String, StoreError> {
        let place = Place { table: "cursor", column: list, row: &[self.ws()] };
        Ok(BASE64.encode(self.sealer.seal(&place, key)?))
    }

    /// The sort key that a cursor stands after.
    pub fn open_cursor(&self, list: &'static str, cursor: &str) -> Result<Vec<u8>, AccountError> {
        let sealed = BASE64.decode(cursor).map_err(|_| AccountError::CursorMalformed)?;
        let place = Place { table: "cursor", column: list, row: &[self.ws()] };
        self.sealer.open(&place, &sealed).map_err(|_| AccountError::CursorMalformed)
    }
}
