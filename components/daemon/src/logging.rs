//! Flags and format of the log: lines to standard error, key/value fields, no time under systemd.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The logging flags that all daemons have; flatten it into a daemon's flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LoggingFlags {
    /// Log verbosity: 0 to 2 information, 3 and 4 debugging, 5 and more everything.
    #[arg(long = "v", short = 'v', default_value_t = 0, value_name = "LEVEL")]
    pub verbosity: u8,
}

/// Sets up the log. `RUST_LOG`, when set, takes precedence over the verbosity.
pub fn init(flags: &LoggingFlags) {
    let ours = match flags.verbosity {
        0..=2 => "info",
        3 | 4 => "debug",
        _ => "trace",
    };
    // Libraries log each connection at info.
    let default = format!(
        "{ours},hickory_server=warn,hyper=warn,h2=warn,rustls=warn,tower=warn,kube_client=warn,kube_runtime=warn,tonic=warn,hyper_util=warn"
    );
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let layer = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // The journal has its own time stamps.
    let result = if std::env::var_os("JOURNAL_STREAM").is_some() {
        layer.without_time().try_init()
    } else {
        layer.try_init()
    };
    if let Err(error) = result {
        eprintln!("the log is set up already: {error}");
    }
}
