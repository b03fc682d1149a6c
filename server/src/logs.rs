//! Log lines: on standard error, for people on a terminal and for machines otherwise, filtered as the operator says.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::config::{Config, DEFAULT_FILTER, LogFormat};
use crate::traces::{self, Traces};

/// What a process logs, and how that is changed while it runs.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts logging for a command beside a server: of what goes well it says nothing, unless a filter other than the default says so.
pub fn start(config: &Config) -> Logs {
    if config.log_filter == DEFAULT_FILTER {
        return start_with(&Config { log_filter: "warn".to_owned(), ..config.clone() }, None);
    }
    start_with(config, None)
}

/// Starts logging for this process, and tracing where `traces` says where to. Where a log was started before, as in tests, that one goes on.
pub fn start_with(config: &Config, traces: Option<&Traces>) -> Logs {
    let (filter, handle) = reload::Layer::new(filter(&config.log_filter));
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt::layer().with_ansi(terminal).with_writer(std::io::stderr);
    let lines = if json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces.map(Traces::layer)).try_init();
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
    // Spans are for traces; in log lines they would only repeat what those say.
    EnvFilter::try_new(format!("{text},{}=off", traces::TARGET)).unwrap_or_default()
}
