use clap::Parser;
use component_config::pod_network::Flags;
use daemon::logging::LoggingFlags;

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    daemon::logging::init(&LoggingFlags {
        verbosity: flags.verbosity,
    });
    daemon::runtime()?.block_on(pod_network::run::run(flags))
}
