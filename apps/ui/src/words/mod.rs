//! Every word that the screens show, by key: `words/en.ftl`, and one such file for each other language.
//!
//! The files are a part of [Fluent](https://projectfluent.org/fluent/guide/): a message is one line with `{ $argument }` in
//! it, or a choice by one argument with a line for each case. [`table::Table`] reads that part; Fluent's own library would be a
//! tenth of the whole client (`docs/adr/0003-words.md`), so it is what the tests compare with instead.
//!
//! English is built in and stands in for whatever another language does not say. A host fetches the file of another language
//! when somebody wants it, and tells it as [`Told::Words`](crate::port::Told::Words).

mod language;
mod problem;
mod table;

use std::cell::RefCell;

pub use language::Language;
pub use problem::{Missing, damaged, link, missing, problem, recording, waits_here};
use table::Table;

/// The file of the language that is built in.
const ENGLISH: &str = include_str!("../../words/en.ftl");

/// What a message is made with.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// Words of somebody else: never read as a message.
    Text(String),
    /// How many: it chooses among the language's plurals.
    Count(u64),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Arg {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Arg {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<usize> for Arg {
    fn from(count: usize) -> Self {
        Self::Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

thread_local! {
    static ENGLISH_TABLE: Table = Table::read(Language::English, ENGLISH);
    // Screens are drawn by one thread; another one (a test) has a language of its own.
    static SPOKEN: RefCell<Option<Table>> = const { RefCell::new(None) };
}

/// From now on this language is spoken; `file` is its file, and not looked at for [`Language::English`].
pub fn speak(language: Language, file: &str) {
    let table = (language != Language::English).then(|| Table::read(language, file));
    SPOKEN.with_borrow_mut(|spoken| *spoken = table);
}

/// What the key says. A key that is nowhere says itself: the tests find it.
pub fn say(key: &str, args: &[(&str, Arg)]) -> String {
    let spoken = SPOKEN.with_borrow(|table| table.as_ref().and_then(|table| table.say(key, args)));
    spoken.or_else(|| ENGLISH_TABLE.with(|table| table.say(key, args))).unwrap_or_else(|| key.to_owned())
}

/// What a key says: `t!("talk-now")`, `t!("room-people", count = 3_u32)`.
///
/// The key stands in quotes, so that the tests find every key that is used.
#[macro_export]
macro_rules! t {
    ($key:literal) => { $crate::words::say($key, &[]) };
    ($key:literal, $($name:ident = $value:expr),+ $(,)?) => {
        $crate::words::say($key, &[$((stringify!($name), $crate::words::Arg::from($value))),+])
    };
}

#[cfg(test)]
mod tests;
