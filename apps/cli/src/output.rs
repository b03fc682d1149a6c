//! What a command says: JSON lines for programs, sentences for people.

use core::time::Duration;
use std::io::{IsTerminal, Write, stderr, stdout};

use serde_json::{Value, json};

use crate::exit::Failure;

/// Where a command's words go: results to standard output, progress to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    json: bool,
    live: bool,
}

impl Out {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, live: !json && stderr().is_terminal() }
    }

    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// A result: one JSON object with a `type`, or a line of text.
    pub(crate) fn say(self, kind: &str, value: Value, text: impl FnOnce() -> String) {
        let line = if self.json { object(kind, value) } else { text() };
        self.clear();
        // A closed pipe is the reader's wish to hear no more; the command still does what it was asked.
        let _ = writeln!(stdout(), "{line}");
        let _ = stdout().flush();
    }

    /// Something on the way: a JSON object for programs; for people a line on standard error.
    pub(crate) fn note(self, kind: &str, value: Value, text: impl FnOnce() -> String) {
        if self.json {
            self.say(kind, value, String::new);
        } else {
            self.clear();
            let _ = writeln!(stderr(), "{}", text());
        }
    }

    /// Only for programs.
    pub(crate) fn trace(self, kind: &str, value: Value) {
        if self.json {
            self.say(kind, value, String::new);
        }
    }

    /// A line that the next one replaces, on a terminal.
    pub(crate) fn progress(self, text: impl FnOnce() -> String) {
        if self.live {
            let _ = write!(stderr(), "\r\x1b[K{}", text());
            let _ = stderr().flush();
        }
    }

    fn clear(self) {
        if self.live {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    /// Why the command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        self.clear();
        if self.json {
            let value = json!({ "code": failure.code as u8, "error": failure.code.word(), "message": failure.message });
            let _ = writeln!(stdout(), "{}", object("error", value));
        }
        let _ = writeln!(stderr(), "holler: {}", failure.message);
    }
}

/// A span for a field that ends in `_us`.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// A span for a field that ends in `_ms`.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn object(kind: &str, value: Value) -> String {
    let mut fields = serde_json::Map::new();
    fields.insert("type".to_owned(), Value::from(kind));
    if let Value::Object(more) = value {
        fields.extend(more);
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_object_that_begins_with_its_type() {
        let line = object("burst", json!({ "room": "a\nb", "frames": 3 }));
        assert_eq!(line.lines().count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((value["type"].as_str(), value["frames"].as_u64()), (Some("burst"), Some(3)));
    }
}
