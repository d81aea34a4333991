use api_balancer::handover::Inherited;
use clap::Parser;
use component_config::api_balancer::Flags;

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let level = match flags.verbosity {
        0..=3 => tracing::Level::INFO,
        4..=5 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    // The journal has its own time stamps.
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => log.without_time().init(),
        None => log.init(),
    }
    let inherited = Inherited::from_environment();
    // One thread is enough to move bytes for one host, and keeps the memory small.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(api_balancer::run::run(flags, inherited))
}
