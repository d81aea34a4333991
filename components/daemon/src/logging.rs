//! Flags and format of the log: lines to standard error, key/value fields, no time under systemd; or upstream's JSON.

mod json;
mod verbosity;

pub use verbosity::{Module, set as set_verbosity};

use std::io::IsTerminal as _;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt as _};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use verbosity::Verbosity;

/// The logging flags that all daemons have; flatten it into a daemon's flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LoggingFlags {
    /// Log verbosity: 0 to 2 information, 3 and 4 debugging, 5 and more everything.
    #[arg(long = "v", short = 'v', default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Everything about a log.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub verbosity: u32,
    /// Verbosity of single source files (`--vmodule`).
    pub modules: Vec<Module>,
    pub format: Format,
    /// Errors go to standard error, all else to standard output.
    pub split_stream: bool,
}

/// Sets up the log. `RUST_LOG`, when set, takes precedence over the verbosity.
pub fn init(flags: &LoggingFlags) {
    init_with(Settings {
        verbosity: flags.verbosity.into(),
        ..Settings::default()
    });
}

/// Sets up the log as `settings` say. `RUST_LOG`, when set, takes precedence over all verbosities.
pub fn init_with(settings: Settings) {
    let writer = if settings.split_stream {
        BoxMakeWriter::new(
            std::io::stderr
                .with_max_level(tracing::Level::ERROR)
                .or_else(std::io::stdout),
        )
    } else {
        BoxMakeWriter::new(std::io::stderr)
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match settings.format {
        Format::Json => lines.with_ansi(false).event_format(json::Json).boxed(),
        // The journal has its own time stamps.
        Format::Text if std::env::var_os("JOURNAL_STREAM").is_some() => lines
            .with_ansi(std::io::stderr().is_terminal())
            .without_time()
            .boxed(),
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let result = match EnvFilter::try_from_default_env() {
        Ok(filter) => tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .try_init(),
        Err(_) => tracing_subscriber::registry()
            .with(layer.with_filter(Verbosity::new(settings.verbosity, settings.modules)))
            .try_init(),
    };
    if let Err(error) = result {
        eprintln!("the log is set up already: {error}");
    }
}
