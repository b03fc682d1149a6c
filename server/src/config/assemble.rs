//! Plain values become a [`Config`]; what does not fit is told with its place and with what would.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http;
use toml::Value;
use zeroize::Zeroizing;

use super::fault::Place;
use super::layers::Layers;
use super::settings::{self, Kind, Setting};
use super::{Config, DEFAULT_FILTER, LogFormat, OwnCertificate};
use crate::api::rates::RequestRates;
use crate::auth::limits::{Rate, SignInRates};
use crate::push::PushSettings;
use crate::push::apns::ApnsSettings;
use crate::traces::TraceSettings;

/// Reads every setting; `None` where a fault was found, which is in `layers` then.
pub(super) fn assemble(layers: &mut Layers, environment: &BTreeMap<String, String>) -> Option<Config> {
    let mut reader = Reader { layers };
    let listen = match reader.addresses("server", "listen") {
        Some(addresses) if !addresses.is_empty() => addresses,
        Some(_) | None => vec![SocketAddr::from(([127, 0, 0, 1], 8443)), (Ipv6Addr::LOCALHOST, 8443).into()],
    };
    let public_names = reader.texts("server", "public_names").unwrap_or_default();
    for name in &public_names {
        if rustls_pki_types::ServerName::try_from(name.as_str()).is_err() {
            reader.misfit(
                "server",
                "public_names",
                "DNS names and IP addresses, without https:// and port",
                &quoted(name),
            );
        }
    }
    let data = reader.path("server", "data").unwrap_or_else(|| PathBuf::from("data"));
    let keys = reader.keys(environment);
    if let Some(keys) = &keys
        && lies_in(keys, &data)
    {
        let place = reader.place("server", "keys");
        let what = format!(
            "the keys folder {} lies in the data folder: whoever copies the data would have its keys too",
            keys.display()
        );
        reader.layers.fault(place, what, "Name another folder with server.keys or --keys.");
    }
    let tls = reader.own_certificate();
    let private = match reader.text("private", "listen") {
        None => Some(SocketAddr::from(([127, 0, 0, 1], 9464))),
        Some(text) if text == "off" => None,
        Some(text) => reader.address("private", "listen", &text),
    };
    let log_format = match reader.text("log", "format").as_deref() {
        None | Some("auto") => LogFormat::Auto,
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            reader.misfit("log", "format", "text, json or auto", &quoted(other));
            LogFormat::Auto
        }
    };
    let log_filter = reader.text("log", "filter").unwrap_or_else(|| DEFAULT_FILTER.to_owned());
    if log_filter.parse::<tracing_subscriber::EnvFilter>().is_err() {
        reader.misfit("log", "filter", "a filter such as info or holler_server=debug,info", &quoted(&log_filter));
    }
    let usual = SignInRates::default();
    let limits =
        SignInRates { login: reader.rate("login", usual.login), address: reader.rate("address", usual.address) };
    let usual = RequestRates::default();
    let requests = RequestRates {
        device: reader.number("limits", "device_requests").unwrap_or(usual.device),
        address: reader.number("limits", "address_requests").unwrap_or(usual.address),
    };
    let connections_max = reader.number("server", "connections_max").unwrap_or(16_000) as usize;
    let udp = reader.switch("voice", "udp").unwrap_or(true);
    let udp_port = reader.number("voice", "udp_port").and_then(|port| u16::try_from(port).ok());
    let free_min_mib = reader.number("storage", "free_min_mib").unwrap_or(64);
    let access_lifetime = reader.seconds("tokens", "access_s").unwrap_or(Duration::from_secs(600));
    let refresh_lifetime = reader.seconds("tokens", "refresh_s").unwrap_or(Duration::from_secs(30 * 86_400));
    let traces = reader.traces();
    let push = reader.push();
    if !layers.faults.is_empty() {
        return None;
    }
    Some(Config {
        listen,
        public_names,
        data,
        keys: keys?,
        connections_max,
        udp,
        udp_port,
        free_min_mib,
        tls,
        private,
        log_format,
        log_filter,
        access_lifetime,
        refresh_lifetime,
        limits,
        traces,
        push,
        requests,
    })
}

struct Reader<'a> {
    layers: &'a mut Layers,
}

impl Reader<'_> {
    fn found(&self, section: &str, key: &str) -> Option<(&'static Setting, Value)> {
        let setting = settings::find(section, key)?;
        Some((setting, self.layers.value(setting)?.0.clone()))
    }

    fn place(&self, section: &str, key: &str) -> Place {
        settings::find(section, key).map_or(Place::Default, |setting| self.layers.place(setting))
    }

    fn misfit(&mut self, section: &str, key: &str, expected: &str, found: &str) {
        let place = self.place(section, key);
        let secret = settings::find(section, key).is_some_and(|setting| setting.secret);
        let found = if secret { "something else" } else { found };
        let what = format!("{section}.{key}: expected {expected}, found {found}");
        let example = settings::find(section, key).map_or("", |setting| setting.example);
        self.layers.fault(place, what, format!("An example: {key} = {example}"));
    }

    fn text(&mut self, section: &str, key: &str) -> Option<String> {
        let (_, value) = self.found(section, key)?;
        let text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if text.is_none() {
            self.misfit(section, key, "a text", &value.to_string());
        }
        text
    }

    fn path(&mut self, section: &str, key: &str) -> Option<PathBuf> {
        self.text(section, key).map(PathBuf::from)
    }

    fn texts(&mut self, section: &str, key: &str) -> Option<Vec<String>> {
        let (_, value) = self.found(section, key)?;
        let texts = value
            .as_array()
            .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
        if texts.is_none() {
            self.misfit(section, key, "a list of texts", &value.to_string());
        }
        texts
    }

    fn addresses(&mut self, section: &str, key: &str) -> Option<Vec<SocketAddr>> {
        let texts = self.texts(section, key)?;
        Some(texts.iter().filter_map(|text| self.address(section, key, text)).collect())
    }

    fn address(&mut self, section: &str, key: &str, text: &str) -> Option<SocketAddr> {
        let address = text.parse().ok();
        if address.is_none() {
            self.misfit(section, key, "an address and a port such as 127.0.0.1:8443 or [::]:443", &quoted(text));
        }
        address
    }

    fn number(&mut self, section: &str, key: &str) -> Option<u32> {
        let (setting, value) = self.found(section, key)?;
        let (unit, range) = match setting.kind {
            Kind::Seconds(from, to) => (" of seconds", from..=to),
            Kind::Number(from, to) => ("", from..=to),
            Kind::Text | Kind::List | Kind::Switch => ("", 0..=u32::MAX),
        };
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a number{unit} from {} to {}", range.start(), range.end());
            self.misfit(section, key, &expected, &value.to_string());
        }
        number
    }

    fn switch(&mut self, section: &str, key: &str) -> Option<bool> {
        let (_, value) = self.found(section, key)?;
        let switch = value.as_bool();
        if switch.is_none() {
            self.misfit(section, key, "true or false", &value.to_string());
        }
        switch
    }

    fn seconds(&mut self, section: &str, key: &str) -> Option<Duration> {
        self.number(section, key).map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn rate(&mut self, of: &str, usual: Rate) -> Rate {
        Rate {
            burst: self.number("limits", &format!("{of}_attempts")).unwrap_or(usual.burst),
            interval: self.seconds("limits", &format!("{of}_interval_s")).unwrap_or(usual.interval),
        }
    }

    fn keys(&mut self, environment: &BTreeMap<String, String>) -> Option<PathBuf> {
        let keys = self.path("server", "keys").or_else(|| default_keys(environment));
        if keys.is_none() {
            let what = "no folder for the keys is known: neither server.keys nor XDG_CONFIG_HOME nor HOME is set";
            self.layers.fault(Place::Default, what, "Name one outside the data folder with server.keys or --keys.");
        }
        keys
    }

    fn traces(&mut self) -> Option<TraceSettings> {
        let (endpoint, headers) = (self.text("traces", "endpoint"), self.text("traces", "headers"));
        let percent = self.number("traces", "percent").unwrap_or(100);
        let endpoint = endpoint.filter(|endpoint| endpoint != "off")?;
        let is_url = endpoint
            .parse::<http::Uri>()
            .is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some());
        if !is_url {
            self.misfit("traces", "endpoint", "a URL with http:// or https://", &quoted(&endpoint));
        }
        let mut pairs = Vec::new();
        for pair in headers.iter().flat_map(|text| text.split(',')) {
            match pair.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value))
                    if http::HeaderName::from_bytes(name.as_bytes()).is_ok()
                        && http::HeaderValue::from_str(value).is_ok() =>
                {
                    pairs.push((name.to_owned(), Zeroizing::new(value.to_owned())));
                }
                Some(_) | None => self.misfit("traces", "headers", "headers as name=value, separated by commas", ""),
            }
        }
        Some(TraceSettings { endpoint, headers: pairs, percent })
    }

    fn push(&mut self) -> PushSettings {
        let contact = self.text("push", "contact");
        if let Some(contact) = &contact
            && !(contact.starts_with("mailto:") || contact.starts_with("https://"))
        {
            self.misfit("push", "contact", "mailto: or https://", &quoted(contact));
        }
        PushSettings {
            contact,
            private_hosts: self.texts("push", "private_hosts").unwrap_or_default(),
            roots: self.path("push", "roots"),
            fcm_account: self.path("push", "fcm_account"),
            apns: self.apns(),
        }
    }

    fn apns(&mut self) -> Option<ApnsSettings> {
        let (key, key_id, team) =
            (self.path("push", "apns_key"), self.text("push", "apns_key_id"), self.text("push", "apns_team"));
        let topics = self.texts("push", "apns_topics").filter(|topics| !topics.is_empty());
        let development = match self.text("push", "apns_service").as_deref() {
            None | Some("production") => false,
            Some("development") => true,
            Some(other) => {
                self.misfit("push", "apns_service", "production or development", &quoted(other));
                false
            }
        };
        match (key, key_id, team, topics) {
            (Some(key), Some(key_id), Some(team), Some(topics)) => {
                Some(ApnsSettings { key, key_id, team, topics, development })
            }
            (None, None, None, None) => None,
            (key, ..) => {
                let place = self.place("push", if key.is_some() { "apns_key" } else { "apns_topics" });
                let what =
                    "push.apns_key, apns_key_id, apns_team and apns_topics belong together, and one of them is missing";
                self.layers.fault(place, what, "Set all four, or none for no notifications through Apple.");
                None
            }
        }
    }

    fn own_certificate(&mut self) -> Option<OwnCertificate> {
        let (certificate, key) = (self.path("tls", "certificate"), self.path("tls", "key"));
        let half = match (certificate, key) {
            (Some(certificate), Some(key)) => return Some(OwnCertificate { certificate, key }),
            (None, None) => return None,
            (Some(_), None) => "certificate",
            (None, Some(_)) => "key",
        };
        let place = self.place("tls", half);
        let what = "tls.certificate and tls.key belong together, and one of them is missing";
        self.layers.fault(place, what, "Set both, or neither for the local CA.");
        None
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
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
