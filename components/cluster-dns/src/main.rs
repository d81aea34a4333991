use clap::Parser;
use component_config::cluster_dns::Flags;
use daemon::logging::LoggingFlags;

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    daemon::logging::init(&LoggingFlags {
        verbosity: flags.verbosity,
    });
    daemon::runtime()?.block_on(cluster_dns::run::run(flags))
}
