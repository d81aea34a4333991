use clap::Parser;
use component_config::flags::normalize;
use component_config::kube_proxy::{Flags, UNUSED};
use daemon::logging::LoggingFlags;

fn main() -> anyhow::Result<()> {
    let arguments = normalize(std::env::args(), UNUSED)?;
    let flags = Flags::parse_from(arguments);
    daemon::logging::init(&LoggingFlags {
        verbosity: flags.verbosity,
    });
    daemon::runtime()?.block_on(kube_proxy::run::run(flags))
}
