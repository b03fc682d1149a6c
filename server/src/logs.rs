//! Log lines: on standard error, for people on a terminal and for machines otherwise, filtered as the operator says.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::{Config, LogFormat};

/// What a process logs, and how that is changed while it runs.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging for this process. Where a log was started before, as in tests, that one goes on.
pub fn start(config: &Config) -> Logs {
    let (filter, handle) = reload::Layer::new(filter(&config.log_filter));
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_ansi(terminal).with_writer(std::io::stderr);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Logs { filter: handle }
}

impl Logs {
    /// From now on `text` says what is logged. It was checked when the settings were read.
    pub fn filter(&self, text: &str) {
        // Fails only when the log is gone.
        let _ = self.filter.reload(filter(text));
    }
}

fn filter(text: &str) -> EnvFilter {
    EnvFilter::try_new(text).unwrap_or_default()
}
