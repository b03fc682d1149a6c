//! What an operator can set, and where from: flags before environment (`HOLLER_SECTION__KEY`) before the TOML file before
//! defaults.
//!
//! Every setting is one row of [`SETTINGS`]; the file, the environment and the flags are laid over each other as plain values
//! and only then read into [`Config`], so that a wrong value is told with its name and the place it came from, and a key that
//! is not in the table is refused wherever it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

/// The environment variable that names the file, as `--config` does.
pub const FILE_VARIABLE: &str = "HOLLER_CONFIG";
const VARIABLE_PREFIX: &str = "HOLLER_";

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// In the environment: separated by commas.
    List,
    /// A whole number of seconds between the two.
    Seconds(u32, u32),
    /// A whole number between the two.
    Number(u32, u32),
}

/// Every setting: section, key, how it is written.
const SETTINGS: &[(&str, &str, Kind)] = &[
    ("server", "listen", Kind::List),
    ("server", "public_names", Kind::List),
    ("server", "data", Kind::Text),
    ("server", "keys", Kind::Text),
    ("server", "connections_max", Kind::Number(1, 1_000_000)),
    ("tls", "certificate", Kind::Text),
    ("tls", "key", Kind::Text),
    ("metrics", "listen", Kind::Text),
    ("log", "format", Kind::Text),
    ("log", "filter", Kind::Text),
    ("tokens", "access_s", Kind::Seconds(60, 3_600)),
    ("tokens", "refresh_s", Kind::Seconds(3_600, 366 * 86_400)),
];

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
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
    /// Own certificate; absent: the local CA makes one.
    pub tls: Option<OwnCertificate>,
    /// Where `/metrics` is served, over plain HTTP; absent when set to `off`. Default 127.0.0.1:9464.
    pub metrics: Option<SocketAddr>,
    /// How log lines look; default text.
    pub log_format: LogFormat,
    /// What is logged, as tracing-subscriber's filter; default `info`.
    pub log_filter: String,
    /// How long an access token is valid, 60 s to 1 h; default 10 min.
    pub access_lifetime: Duration,
    /// How long a sign-in lasts that is not refreshed, 1 h to 366 d; default 30 d.
    pub refresh_lifetime: Duration,
}

/// Why the settings can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file {path} is not TOML: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that does not exist.
    #[error("unknown setting {name} in {place}; known are: {known}")]
    Unknown {
        /// The key as written.
        name: String,
        /// The file or the environment.
        place: Place,
        /// Those that exist.
        known: String,
    },
    /// A value that does not fit.
    #[error("{section}.{key} in {place}: expected {expected}, found {found}")]
    Value {
        /// The section.
        section: &'static str,
        /// The key.
        key: &'static str,
        /// Where it was set.
        place: Place,
        /// What would fit.
        expected: String,
        /// What was there.
        found: String,
    },
    /// Certificate without key, or key without certificate.
    #[error("tls.certificate and tls.key belong together: set both, or neither for the local CA")]
    HalfTls,
    /// No folder for keys is known.
    #[error(
        "neither XDG_CONFIG_HOME nor HOME is set: say with --keys DIR where the keys are kept, outside the data folder"
    )]
    NoKeysFolder,
    /// The keys are in the data folder.
    #[error(
        "the keys folder {0} lies in the data folder: whoever copies the data would have its keys too; choose another"
    )]
    KeysInData(PathBuf),
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "the environment ({name})"),
            Self::Flag(name) => write!(f, "the flag {name}"),
        }
    }
}

/// The flags that every subcommand takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CommonFlags {
    /// Read settings from this TOML file [env: HOLLER_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with key ring, CA and server key [default: $XDG_CONFIG_HOME/holler/hollerd]
    #[arg(long, global = true, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Log lines for people or for machines: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, such as info or holler_server=debug
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The flags of `serve`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServeFlags {
    /// Address for HTTPS, may be given several times [default: 127.0.0.1:8443 and `[::1]:8443`]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    /// Name or IP address that clients reach the server by, may be given several times
    #[arg(long, value_name = "NAME")]
    pub public_name: Vec<String>,
    /// Own certificate chain (PEM), with --tls-key
    #[arg(long, value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Key of the own certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Address for /metrics over plain HTTP, or off [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<String>,
}

type Values = BTreeMap<(&'static str, &'static str), (Value, Place)>;

impl Config {
    /// Reads the settings: `flags` before `environment` before the file before defaults.
    pub fn load(
        common: &CommonFlags,
        serve: &ServeFlags,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let environment: BTreeMap<String, String> =
            environment.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX) || is_home(name)).collect();
        let mut values = Values::new();
        let file = common.config.clone().or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
        if let Some(path) = file {
            read_file(&mut values, &path)?;
        }
        read_environment(&mut values, &environment)?;
        read_flags(&mut values, common, serve);
        Self::assemble(&values, &environment)
    }

    fn assemble(values: &Values, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let reader = Reader { values };
        let listen = match reader.texts("server", "listen")? {
            Some(addresses) if !addresses.is_empty() => {
                addresses.iter().map(|text| reader.address("server", "listen", text)).collect::<Result<_, _>>()?
            }
            Some(_) | None => vec![SocketAddr::from(([127, 0, 0, 1], 8443)), (IpAddr::from(LOOPBACK_V6), 8443).into()],
        };
        let public_names = reader.texts("server", "public_names")?.unwrap_or_default();
        for name in &public_names {
            if rustls_pki_types::ServerName::try_from(name.as_str()).is_err() {
                return Err(reader.misfit("server", "public_names", "a DNS name or an IP address", name));
            }
        }
        let path = |section, key| Ok::<_, ConfigError>(reader.text(section, key)?.map(PathBuf::from));
        let data = path("server", "data")?.unwrap_or_else(|| PathBuf::from("data"));
        let keys = match path("server", "keys")? {
            Some(keys) => keys,
            None => default_keys(environment).ok_or(ConfigError::NoKeysFolder)?,
        };
        if lies_in(&keys, &data) {
            return Err(ConfigError::KeysInData(keys));
        }
        let tls = match (path("tls", "certificate")?, path("tls", "key")?) {
            (Some(certificate), Some(key)) => Some(OwnCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(ConfigError::HalfTls),
        };
        let metrics = match reader.text("metrics", "listen")? {
            None => Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
            Some("off") => None,
            Some(text) => Some(reader.address("metrics", "listen", text)?),
        };
        let log_format = match reader.text("log", "format")? {
            None | Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            Some(other) => return Err(reader.misfit("log", "format", "text or json", other)),
        };
        let log_filter = reader.text("log", "filter")?.unwrap_or("info").to_owned();
        if log_filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
            let expected = "a filter such as info or holler_server=debug,info";
            return Err(reader.misfit("log", "filter", expected, &log_filter));
        }
        let seconds = |key, default: u32| {
            Ok::<_, ConfigError>(Duration::from_secs(reader.number("tokens", key)?.unwrap_or(default).into()))
        };
        Ok(Self {
            listen,
            public_names,
            data,
            keys,
            connections_max: reader.number("server", "connections_max")?.unwrap_or(16_000) as usize,
            tls,
            metrics,
            log_format,
            log_filter,
            access_lifetime: seconds("access_s", 600)?,
            refresh_lifetime: seconds("refresh_s", 30 * 86_400)?,
        })
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
}

const LOOPBACK_V6: [u16; 8] = [0, 0, 0, 0, 0, 0, 0, 1];

fn is_home(name: &str) -> bool {
    matches!(name, "HOME" | "XDG_CONFIG_HOME")
}

fn default_keys(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG base directory specification: a relative path is to be ignored.
    let base = set("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(base.join("holler").join("hollerd"))
}

fn lies_in(inner: &Path, outer: &Path) -> bool {
    let absolute =
        |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_path_buf());
    absolute(inner).starts_with(absolute(outer))
}

fn setting(section: &str, key: &str) -> Option<(&'static str, &'static str, Kind)> {
    SETTINGS.iter().copied().find(|(s, k, _)| *s == section && *k == key)
}

fn known() -> String {
    SETTINGS.iter().map(|(section, key, _)| format!("{section}.{key}")).collect::<Vec<_>>().join(", ")
}

fn read_file(values: &mut Values, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let table: toml::Table =
        text.parse().map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    let place = Place::File(path.to_owned());
    let unknown = |name: String| ConfigError::Unknown { name, place: place.clone(), known: known() };
    for (section, keys) in table {
        let Value::Table(keys) = keys else {
            return Err(unknown(section));
        };
        for (key, value) in keys {
            let (section, key, _) = setting(&section, &key).ok_or_else(|| unknown(format!("{section}.{key}")))?;
            values.insert((section, key), (value, place.clone()));
        }
        if !SETTINGS.iter().any(|(known, ..)| *known == section) {
            return Err(unknown(section));
        }
    }
    Ok(())
}

fn read_environment(values: &mut Values, environment: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, text) in environment {
        // Only names with two underscores are settings: HOLLER_CONFIG and what the clients use are not.
        let Some((section, key)) = name.strip_prefix(VARIABLE_PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let place = Place::Environment(name.clone());
        let (section, key, kind) = setting(&section.to_lowercase(), &key.to_lowercase())
            .ok_or_else(|| ConfigError::Unknown { name: name.clone(), place: place.clone(), known: known() })?;
        let value = match kind {
            Kind::Text => Value::String(text.clone()),
            Kind::List => {
                Value::Array(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Value::from).collect())
            }
            Kind::Seconds(..) | Kind::Number(..) => {
                text.trim().parse::<i64>().map_or_else(|_| Value::String(text.clone()), Value::Integer)
            }
        };
        values.insert((section, key), (value, place));
    }
    Ok(())
}

fn read_flags(values: &mut Values, common: &CommonFlags, serve: &ServeFlags) {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::String(path.to_string_lossy().into_owned()));
    let text = |text: &Option<String>| text.as_ref().map(|text| Value::String(text.clone()));
    let list = |list: &[String]| {
        (!list.is_empty()).then(|| Value::Array(list.iter().map(|text| Value::from(text.as_str())).collect()))
    };
    for (section, key, flag, value) in [
        ("server", "data", "--data", path(&common.data)),
        ("server", "keys", "--keys", path(&common.keys)),
        ("log", "format", "--log-format", text(&common.log_format)),
        ("log", "filter", "--log", text(&common.log)),
        ("server", "listen", "--listen", list(&serve.listen)),
        ("server", "public_names", "--public-name", list(&serve.public_name)),
        ("tls", "certificate", "--tls-certificate", path(&serve.tls_certificate)),
        ("tls", "key", "--tls-key", path(&serve.tls_key)),
        ("metrics", "listen", "--metrics", text(&serve.metrics)),
    ] {
        if let Some(value) = value {
            values.insert((section, key), (value, Place::Flag(flag)));
        }
    }
}

struct Reader<'a> {
    values: &'a Values,
}

impl Reader<'_> {
    fn misfit(&self, section: &'static str, key: &'static str, expected: &str, found: &str) -> ConfigError {
        let place = self.values.get(&(section, key)).map_or(Place::Flag("default"), |(_, place)| place.clone());
        ConfigError::Value { section, key, place, expected: expected.to_owned(), found: format!("{found:?}") }
    }

    fn text(&self, section: &'static str, key: &'static str) -> Result<Option<&str>, ConfigError> {
        match self.values.get(&(section, key)) {
            None => Ok(None),
            Some((Value::String(text), _)) if !text.is_empty() => Ok(Some(text)),
            Some((other, _)) => Err(self.misfit(section, key, "a text", &other.to_string())),
        }
    }

    fn texts(&self, section: &'static str, key: &'static str) -> Result<Option<Vec<String>>, ConfigError> {
        let misfit = |found: &Value| self.misfit(section, key, "a list of texts", &found.to_string());
        match self.values.get(&(section, key)) {
            None => Ok(None),
            Some((Value::Array(list), _)) => list
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(|| misfit(item)))
                .collect::<Result<_, _>>()
                .map(Some),
            Some((other, _)) => Err(misfit(other)),
        }
    }

    fn number(&self, section: &'static str, key: &'static str) -> Result<Option<u32>, ConfigError> {
        let (unit, range) = match setting(section, key) {
            Some((.., Kind::Seconds(from, to))) => (" of seconds", from..=to),
            Some((.., Kind::Number(from, to))) => ("", from..=to),
            Some((.., Kind::Text | Kind::List)) | None => ("", 0..=u32::MAX),
        };
        let Some((value, _)) = self.values.get(&(section, key)) else { return Ok(None) };
        match value.as_integer().and_then(|number| u32::try_from(number).ok()) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            Some(_) | None => {
                let expected = format!("a number{unit} from {} to {}", range.start(), range.end());
                Err(self.misfit(section, key, &expected, &value.to_string()))
            }
        }
    }

    fn address(&self, section: &'static str, key: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
        text.parse()
            .map_err(|_| self.misfit(section, key, "an address and a port such as 127.0.0.1:8443 or [::]:443", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)], serve: &ServeFlags) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hollerd.toml");
        std::fs::write(&path, file).unwrap();
        let common = CommonFlags { config: Some(path), ..CommonFlags::default() };
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Config::load(&common, serve, environment.chain([("HOME".to_owned(), "/home/someone".to_owned())]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_listen_on_loopback_only() {
        let config = load("", &[], &ServeFlags::default()).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()]);
        assert_eq!(config.metrics, Some("127.0.0.1:9464".parse().unwrap()));
        assert_eq!(config.keys, Path::new("/home/someone/.config/holler/hollerd"));
        assert_eq!((config.access_lifetime.as_secs(), config.refresh_lifetime.as_secs()), (600, 2_592_000));
        assert_eq!(config.public_url(), "https://localhost:8443");
    }

    #[test]
    fn flags_come_before_environment_before_file() {
        let file = "[server]\nlisten = [\"127.0.0.1:1\"]\ndata = \"file\"\n[tokens]\naccess_s = 61";
        let environment = [("HOLLER_SERVER__LISTEN", "127.0.0.1:2, [::1]:2"), ("HOLLER_TOKENS__ACCESS_S", "62")];
        let config = load(file, &environment, &ServeFlags::default()).unwrap();
        assert_eq!(config.listen, ["127.0.0.1:2".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!((config.access_lifetime.as_secs(), config.data), (62, PathBuf::from("file")));
        let flags = ServeFlags { listen: vec!["127.0.0.1:3".into()], ..ServeFlags::default() };
        assert_eq!(load(file, &environment, &flags).unwrap().listen, ["127.0.0.1:3".parse().unwrap()]);
    }

    #[test]
    fn unknown_keys_are_refused_by_name_wherever_they_stand() {
        let none = ServeFlags::default();
        assert!(load("[server]\nlissten = []", &[], &none).unwrap_err().contains("unknown setting server.lissten"));
        assert!(load("[sever]", &[], &none).unwrap_err().contains("unknown setting sever"));
        assert!(load("listen = 1", &[], &none).unwrap_err().contains("unknown setting listen"));
        let error = load("", &[("HOLLER_SERVER__LISTTEN", "x")], &none).unwrap_err();
        assert!(error.contains("HOLLER_SERVER__LISTTEN"), "{error}");
        assert!(load("", &[("HOLLER_TOKEN", "is the client's")], &none).is_ok());
    }

    #[test]
    fn a_wrong_value_is_told_with_its_place() {
        let none = ServeFlags::default();
        let error = load("[tokens]\naccess_s = 5", &[], &none).unwrap_err();
        assert!(error.contains("tokens.access_s") && error.contains("60 to 3600") && error.contains("hollerd.toml"));
        let error = load("", &[("HOLLER_LOG__FORMAT", "xml")], &none).unwrap_err();
        assert!(error.contains("HOLLER_LOG__FORMAT") && error.contains("text or json"), "{error}");
        let flags = ServeFlags { metrics: Some("9464".into()), ..ServeFlags::default() };
        assert!(load("", &[], &flags).unwrap_err().contains("--metrics"));
        assert!(load("[tls]\nkey = \"k\"", &[], &none).unwrap_err().contains("belong together"));
        assert!(load("[server]\npublic_names = [\"a b\"]", &[], &none).unwrap_err().contains("DNS name"));
        assert!(load("[server]\nlisten = \"127.0.0.1:1\"", &[], &none).unwrap_err().contains("list"));
    }

    #[test]
    fn keys_in_the_data_folder_are_refused() {
        let error = load("[server]\ndata = \"d\"\nkeys = \"d/keys\"", &[], &ServeFlags::default()).unwrap_err();
        assert!(error.contains("lies in the data folder"), "{error}");
    }
}
