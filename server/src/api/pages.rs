//! Lists in pages: a bounded number of items, and where to go on.
//!
//! The body of a page is the array of its items. The field `Link` (RFC 8288) of an answer leads to the next page, with
//! `rel="next"`, for as long as there is one. Its cursor is opaque: sealed, and bound to the list. It says after which item to go
//! on, so that what is added or removed meanwhile shifts nothing.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use holler_core::units::UnixMs;
use holler_core::wire::limits::{CURSOR_CHARS_MAX, PAGE_ITEMS_MAX};
use holler_core::wire::problem::{Problem, within};
use serde::Serialize;

use super::extract::Json;
use crate::storage::accounts::{AccountError, Accounts};

/// Which page.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Where to go on: from the field `Link` of the page before. Absent: from the beginning.
    #[param(min_length = 1, max_length = 512, pattern = r"^[A-Za-z0-9_-]+$")]
    pub cursor: Option<String>,
    /// Items wanted: 1 to 500; 500 when absent.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// How many items are wanted, and whether that can be.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS_MAX);
        within("limit", "items", limit, 1..=PAGE_ITEMS_MAX)?;
        if self.cursor.as_ref().is_some_and(|cursor| cursor.len() > CURSOR_CHARS_MAX) {
            return Err(AccountError::CursorMalformed.into());
        }
        Ok(limit as usize)
    }

    /// Cuts the page out of all items, which are in the order of their keys. No two have the same key.
    pub fn cut<T, K: Ord + AsRef<[u8]>>(
        &self,
        accounts: &Accounts<'_>,
        list: &'static str,
        limit: usize,
        items: Vec<T>,
        key: impl Fn(&T) -> K,
    ) -> Result<Page<T>, AccountError> {
        let after = self.cursor.as_deref().map(|cursor| accounts.open_cursor(list, cursor)).transpose()?;
        let rest = |item: &T| after.as_ref().is_none_or(|after| key(item).as_ref() > after.as_slice());
        let mut items: Vec<T> = items.into_iter().filter(rest).collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let last = items.last().filter(|_| more);
        let next = last.map(|last| accounts.cursor(list, key(last).as_ref())).transpose()?;
        Ok(Page { items, limit, next })
    }
}

/// A sort key of a name and an identifier: by name first.
pub fn by_name(name: &str, id: &[u8; 16]) -> Vec<u8> {
    // No name has a zero byte: one that begins another comes first.
    [name.as_bytes(), &[0], id].concat()
}

/// A sort key by which what was made last comes first.
pub fn newest(made_at: UnixMs, id: &[u8; 16]) -> Vec<u8> {
    [(!made_at.0).to_be_bytes().as_slice(), id].concat()
}

/// Some of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// How many were wanted.
    pub limit: usize,
    /// The cursor of the next page; `None`: this is the last.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// The same page of something else.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), limit: self.limit, next: self.next }
    }

    /// The same page with other parameters of its query beside cursor and limit, which must be written as they stand in a URL.
    pub fn respond(self, others: &str) -> Response
    where
        T: Serialize,
    {
        let link = self.next.map(|cursor| format!("<?limit={}&cursor={cursor}{others}>; rel=\"next\"", self.limit));
        let mut response = Json(self.items).into_response();
        if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        self.respond("")
    }
}
