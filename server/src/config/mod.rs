//! What an operator can set, and where from: flags before environment (`HOLLER_SECTION__KEY`) before the TOML file before
//! defaults.
//!
//! Every setting is one row of a table; the file, the environment and the flags are laid over each other as plain values and only
//! then read into [`Config`]. So a wrong value is told with its name and the place it came from, a key that is not in the table is
//! refused wherever it stands, and all faults are told at once.
//!
//! | module | what it holds |
//! |---|---|
//! | `settings` | the table |
//! | `flags` | the flags that are settings |
//! | `layers` | the values that were set, and where |
//! | `assemble` | from values to [`Config`] |
//! | [`fault`] | what is wrong, where, and what to do |
//! | [`dump`] | the settings as text |

mod assemble;
pub mod dump;
pub mod fault;
mod flags;
mod layers;
mod settings;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::rates::RequestRates;
use crate::auth::limits::SignInRates;
use crate::push::PushSettings;
use crate::traces::TraceSettings;
pub use fault::{ConfigError, Fault, Place};
pub use flags::{CommonFlags, ServeFlags};

/// The environment variable that names the file, as `--config` does.
pub const FILE_VARIABLE: &str = "HOLLER_CONFIG";
/// The file that is read where none is named and this one is there.
pub const DEFAULT_FILE: &str = "/etc/holler/hollerd.toml";
/// What is logged where nothing else is said.
pub const DEFAULT_FILTER: &str = "info";
const VARIABLE_PREFIX: &str = "HOLLER_";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, for machines otherwise.
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// A certificate chain and its key, brought by the operator instead of the local CA's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
}

/// The settings of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses for HTTPS and the socket; default 127.0.0.1:8443 and `[::1]:8443`.
    pub listen: Vec<SocketAddr>,
    /// Names and IP addresses that clients reach the server by, beside `localhost`; the first is the one it calls itself.
    pub public_names: Vec<String>,
    /// The data folder; default `./data`.
    pub data: PathBuf,
    /// The folder with key ring, CA and server key; default `$XDG_CONFIG_HOME/holler/hollerd`.
    pub keys: PathBuf,
    /// Connections at once, of all kinds; default 16,000.
    pub connections_max: usize,
    /// Whether live voice also travels as datagrams; default true.
    pub udp: bool,
    /// Their UDP port; absent: the same number as that of the first of `listen`.
    pub udp_port: Option<u16>,
    /// MiB that must be free on the data folder's disk for events and frames to be taken; default 64.
    pub free_min_mib: u32,
    /// Own certificate; absent: the local CA makes one.
    pub tls: Option<OwnCertificate>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served over plain HTTP; absent when set to `off`. Default 127.0.0.1:9464.
    pub private: Option<SocketAddr>,
    /// How log lines look; default: by where they go.
    pub log_format: LogFormat,
    /// What is logged, as tracing-subscriber's filter; default `info`.
    pub log_filter: String,
    /// How long an access token is valid, 60 s to 1 h; default 10 min.
    pub access_lifetime: Duration,
    /// How long a sign-in lasts that is not refreshed, 1 h to 366 d; default 30 d.
    pub refresh_lifetime: Duration,
    /// How often sign-in may be tried.
    pub limits: SignInRates,
    /// Where traces go; absent: nothing is traced.
    pub traces: Option<TraceSettings>,
    /// Notifications.
    pub push: PushSettings,
    /// How many requests are taken.
    pub requests: RequestRates,
}

/// Settings with where each was set.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    layers: layers::Layers,
}

impl Loaded {
    /// Reads the settings: `flags` before `environment` before the file before defaults.
    pub fn read(
        common: &CommonFlags,
        serve: &ServeFlags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> =
            environment.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) || is_home(name)).collect();
        let mut layers = layers::Layers::read(common, serve, &environment);
        match assemble::assemble(&mut layers, &environment) {
            Some(config) => Ok(Self { config, file: layers.file.clone(), layers }),
            None => Err(ConfigError(layers.faults)),
        }
    }

    /// Where a setting was set.
    pub fn place(&self, section: &str, key: &str) -> Place {
        settings::find(section, key).map_or(Place::Default, |setting| self.layers.place(setting))
    }
}

impl Config {
    /// Reads the settings as [`Loaded::read`] does.
    pub fn load(
        common: &CommonFlags,
        serve: &ServeFlags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Ok(Loaded::read(common, serve, environment)?.config)
    }

    /// What clients put before `/api/v1`: `https://`, the first public name or `localhost`, and the port unless it is 443.
    pub fn public_url(&self) -> String {
        let name = self.public_names.first().map_or("localhost", String::as_str);
        let name = if name.parse::<std::net::Ipv6Addr>().is_ok() { format!("[{name}]") } else { name.to_owned() };
        match self.listen.first().map_or(8443, SocketAddr::port) {
            443 => format!("https://{name}"),
            port => format!("https://{name}:{port}"),
        }
    }

    /// The settings in which `other` differs, by name: first those that a running server can take, then those that it can't.
    pub fn differences(&self, other: &Self) -> (Vec<String>, Vec<String>) {
        let changed =
            settings::SETTINGS.iter().filter(|setting| (setting.effective)(self) != (setting.effective)(other));
        let (reload, restart): (Vec<_>, Vec<_>) = changed.partition(|setting| setting.reload);
        let names = |settings: Vec<&settings::Setting>| settings.into_iter().map(settings::Setting::name).collect();
        (names(reload), names(restart))
    }
}

fn is_home(name: &str) -> bool {
    matches!(name, "HOME" | "XDG_CONFIG_HOME")
}

#[cfg(test)]
mod tests;
