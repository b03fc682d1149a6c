//! The file, the environment and the flags, laid over each other as plain values.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use toml::Value;
use toml::de::DeTable;

use super::fault::{Fault, Place};
use super::settings::{self, Kind, Setting};
use super::{CommonFlags, FILE_VARIABLE, ServeFlags, VARIABLE_PREFIX, flags};

/// Largest file that is read for a setting or for one secret, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The values that were set, by section and key, and what was wrong on the way.
#[derive(Debug, Default)]
pub(super) struct Layers {
    values: BTreeMap<(&'static str, &'static str), (Value, Place)>,
    pub(super) faults: Vec<Fault>,
    /// The file that was read.
    pub(super) file: Option<PathBuf>,
}

impl Layers {
    pub(super) fn read(common: &CommonFlags, serve: &ServeFlags, environment: &BTreeMap<String, String>) -> Self {
        let mut layers = Self::default();
        let named = common.config.clone().or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
        layers.file = named.or_else(|| common.default_file.clone().filter(|path| path.exists()));
        if let Some(path) = layers.file.clone() {
            layers.lay_file(&path);
        }
        layers.lay_environment(environment);
        for (setting, flag, value) in flags::given(common, serve) {
            layers.set(setting, value, Place::Flag(flag));
        }
        layers
    }

    /// What a setting was set to, and where.
    pub(super) fn value(&self, setting: &Setting) -> Option<&(Value, Place)> {
        self.values.get(&(setting.section, setting.key))
    }

    /// Where a setting was set.
    pub(super) fn place(&self, setting: &Setting) -> Place {
        self.value(setting).map_or(Place::Default, |(_, place)| place.clone())
    }

    pub(super) fn fault(&mut self, place: Place, what: impl Into<String>, remedy: impl Into<String>) {
        self.faults.push(Fault { place, what: what.into(), remedy: remedy.into() });
    }

    fn set(&mut self, setting: &'static Setting, value: Value, place: Place) {
        self.values.insert((setting.section, setting.key), (value, place));
    }

    fn unknown(&mut self, place: Place, name: &str, written: impl Fn(&str) -> String) {
        let remedy = settings::like(name).map_or_else(
            || "Remove it; `hollerd config dump --defaults` shows every setting.".to_owned(),
            |like| format!("Did you mean {}?", written(&like)),
        );
        self.fault(place, format!("there is no setting {}", written(name)), remedy);
    }

    fn lay_file(&mut self, path: &Path) {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) => {
                let place = Place::File(path.to_owned(), None);
                return self.fault(
                    place,
                    format!("the file can't be read: {error}"),
                    "Make it readable, or name another with --config.",
                );
            }
        };
        let line = |at: usize| text.get(..at).map(|before| before.matches('\n').count() + 1);
        let (spanned, mistakes) = DeTable::parse_recoverable(&text);
        for mistake in &mistakes {
            let place = Place::File(path.to_owned(), mistake.span().and_then(|span| line(span.start)));
            self.fault(
                place,
                format!("this is not TOML: {}", mistake.message()),
                "See https://toml.io for how values are written.",
            );
        }
        // What stands beside a mistake may have been read wrongly: first that must go.
        let Ok(table) = text.parse::<toml::Table>() else { return };
        for (section, keys) in spanned.get_ref() {
            let name = section.get_ref().as_ref();
            let at = |span: std::ops::Range<usize>| Place::File(path.to_owned(), line(span.start));
            let Some(keys) = keys.get_ref().as_table() else {
                self.unknown(at(section.span()), name, str::to_owned);
                continue;
            };
            if keys.is_empty() && !settings::sections().any(|known| known == name) {
                self.unknown(at(section.span()), name, str::to_owned);
            }
            for key in keys.keys() {
                let place = at(key.span());
                let key = key.get_ref().as_ref();
                let Some(value) = table.get(name).and_then(|section| section.get(key)) else { continue };
                match known(name, key) {
                    Some(Known::Plain(setting)) => self.set(setting, value.clone(), place),
                    Some(Known::File(setting)) => match value.as_str() {
                        Some(file) => self.lay_secret(setting, Path::new(file), place),
                        None => self.fault(
                            place,
                            format!("{name}.{key} is no text"),
                            "Write the path of a file, in quotes.",
                        ),
                    },
                    None => self.unknown(place, &format!("{name}.{key}"), str::to_owned),
                }
            }
        }
    }

    fn lay_environment(&mut self, environment: &BTreeMap<String, String>) {
        let mut seen = BTreeSet::new();
        for (name, text) in environment {
            // Only names with two underscores are settings: HOLLER_CONFIG and what the clients use are not.
            let Some((section, key)) = name.strip_prefix(VARIABLE_PREFIX).and_then(|rest| rest.split_once("__")) else {
                continue;
            };
            let (section, key) = (section.to_lowercase(), key.to_lowercase());
            let place = Place::Environment(name.clone());
            let Some(known) = known(&section, &key) else {
                let variable = |name: &str| match name.split_once('.') {
                    Some((section, key)) => format!("HOLLER_{}__{}", section.to_uppercase(), key.to_uppercase()),
                    None => name.to_owned(),
                };
                self.unknown(place, &format!("{section}.{key}"), variable);
                continue;
            };
            let (Known::Plain(setting) | Known::File(setting)) = known;
            if !seen.insert((setting.section, setting.key)) {
                self.fault(
                    place,
                    format!("{} is set twice in the environment", setting.name()),
                    "Keep one of the variables.",
                );
                continue;
            }
            match known {
                Known::Plain(setting) => {
                    let value = plain(setting.kind, text);
                    self.set(setting, value, place);
                }
                Known::File(setting) => self.lay_secret(setting, Path::new(text), place),
            }
        }
    }

    /// The value is in a file of its own.
    fn lay_secret(&mut self, setting: &'static Setting, path: &Path, named: Place) {
        match read(path) {
            Ok(text) => {
                let text = Value::String(text.trim_end_matches(['\r', '\n']).to_owned());
                self.set(setting, text, Place::Secret(path.to_owned()));
            }
            Err(error) => {
                let what = format!("{} can't be read from {}: {error}", setting.name(), path.display());
                self.fault(named, what, "Name a file that the server may read.");
            }
        }
    }
}

enum Known {
    Plain(&'static Setting),
    /// `KEY_file`
    File(&'static Setting),
}

fn known(section: &str, key: &str) -> Option<Known> {
    if let Some(setting) = settings::find(section, key) {
        return Some(Known::Plain(setting));
    }
    settings::find(section, key.strip_suffix("_file")?).filter(|setting| setting.secret).map(Known::File)
}

/// As the environment writes it.
fn plain(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::List => Value::Array(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect()),
        Kind::Seconds(..) | Kind::Number(..) => {
            text.trim().parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::Integer)
        }
        Kind::Switch => text.trim().parse::<bool>().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
