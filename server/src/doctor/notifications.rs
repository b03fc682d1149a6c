//! Whether notifications can be sent, and by which services.

use super::Notes;
use crate::config::Config;
use crate::push;

pub(super) fn look(notes: &mut Notes<'_>, config: &Config) {
    match push::check(&config.push) {
        Ok(services) => notes.good(format!("devices that are not connected are told by {}", services.join(", "))),
        Err(error) => notes.bad(
            error.to_string(),
            "A server does not start with a service of notifications that it can't use.",
            "Correct the file, or remove the setting from [push].",
        ),
    }
}
