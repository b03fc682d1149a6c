//! What columns hold, and back: SQLite's integers are signed, and what it gives back may be damaged.

use std::str::FromStr;

use holler_core::units::{Epoch, Seq, UnixMs};

use super::error::StoreError;

/// For a column. Numbers and times stay far below 2^63.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn uint(column: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| StoreError::Damaged(format!("{what} is {column}")))
}

pub(super) fn seq(column: i64) -> Result<Seq, StoreError> {
    uint(column, "a sequence number").map(Seq)
}

pub(super) fn time(column: i64) -> Result<UnixMs, StoreError> {
    uint(column, "a time").map(UnixMs)
}

pub(super) fn epoch(column: i64) -> Result<Epoch, StoreError> {
    uint(column, "an epoch").map(Epoch)
}

pub(super) fn word<T: FromStr>(column: &str, what: &str) -> Result<T, StoreError> {
    column.parse().map_err(|_| StoreError::Damaged(format!("{what} is an unknown word")))
}
