//! The settings as text: those in effect, and an example with all of them.

use std::fmt::Write as _;

use super::Loaded;
use super::fault::Place;
use super::settings::{SETTINGS, sections};

/// Every setting in effect as TOML, each with where it was set; secrets are named and not shown.
pub fn effective(loaded: &Loaded) -> String {
    let mut text = String::new();
    for section in sections() {
        let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            let place = loaded.place(setting.section, setting.key);
            let from = if place == Place::Default { "default".to_owned() } else { format!("from {place}") };
            let _ = match (setting.effective)(&loaded.config) {
                Some(_) if setting.secret => writeln!(text, "# {} is set and not shown  # {from}", setting.key),
                Some(value) => writeln!(text, "{} = {value}  # {from}", setting.key),
                None => writeln!(text, "# {} is not set", setting.key),
            };
        }
    }
    text
}

/// A file with every setting, each commented out with what it is for and its default.
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of hollerd. Every line that is commented out shows a default or an example.\n\
         # The environment comes before this file: HOLLER_SECTION__KEY, such as HOLLER_LOG__FILTER; flags come before both.\n\
         # `hollerd config check` says what is wrong here, `hollerd config dump` what is in effect.\n\
         # Settings marked (reload) are taken on HUP (`systemctl reload hollerd`); others need a restart.\n",
    );
    for section in sections() {
        let _ = write!(text, "\n[{section}]\n");
        for setting in SETTINGS.iter().filter(|setting| setting.section == section) {
            let marks = match (setting.reload, setting.secret) {
                (true, _) => " (reload)",
                (false, true) => " (secret: KEY_file or HOLLER_SECTION__KEY_FILE may name a file that holds it)",
                (false, false) => "",
            };
            let mut lines = setting.about.lines().peekable();
            while let Some(line) = lines.next() {
                let _ = writeln!(text, "# {line}{}", if lines.peek().is_none() { marks } else { "" });
            }
            let _ = writeln!(text, "#{} = {}", setting.key, setting.example);
        }
    }
    text
}
