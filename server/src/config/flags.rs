//! The flags that are settings.

use std::path::PathBuf;

use toml::Value;

use super::settings::{self, Setting};

/// The flags that every subcommand takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings of every command")]
pub struct CommonFlags {
    /// Read settings from this TOML file [env: HOLLER_CONFIG] [default: /etc/holler/hollerd.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Folder with key ring, CA and server key [default: $XDG_CONFIG_HOME/holler/hollerd]
    #[arg(long, global = true, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Log lines for people or for machines: text, json, or auto: text on a terminal [default: auto]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// What is logged, such as info or holler_server=debug [default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
    /// The file to read where neither a flag nor the environment names one and it is there.
    #[arg(skip)]
    pub default_file: Option<PathBuf>,
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
    /// Address for /healthz, /readyz and /metrics over plain HTTP, or off [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDRESS:PORT", alias = "metrics")]
    pub private: Option<String>,
}

/// The flags that were given: the setting, the flag's name, the value.
pub(super) fn given(common: &CommonFlags, serve: &ServeFlags) -> Vec<(&'static Setting, &'static str, Value)> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| Value::String(path.to_string_lossy().into_owned()));
    let text = |text: &Option<String>| text.as_ref().map(|text| Value::String(text.clone()));
    let list = |list: &[String]| {
        (!list.is_empty()).then(|| Value::Array(list.iter().map(|text| Value::from(text.as_str())).collect()))
    };
    let all = [
        ("server", "data", "--data", path(&common.data)),
        ("server", "keys", "--keys", path(&common.keys)),
        ("log", "format", "--log-format", text(&common.log_format)),
        ("log", "filter", "--log", text(&common.log)),
        ("server", "listen", "--listen", list(&serve.listen)),
        ("server", "public_names", "--public-name", list(&serve.public_name)),
        ("tls", "certificate", "--tls-certificate", path(&serve.tls_certificate)),
        ("tls", "key", "--tls-key", path(&serve.tls_key)),
        ("private", "listen", "--private", text(&serve.private)),
    ];
    all.into_iter()
        .filter_map(|(section, key, flag, value)| Some((settings::find(section, key)?, flag, value?)))
        .collect()
}
