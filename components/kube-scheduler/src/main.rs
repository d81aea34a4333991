//! kube-scheduler

use clap::Parser as _;
use component_config::flags::normalize;
use component_config::kube_scheduler::{Flags, UNUSED_FLAGS};
use daemon::logging::LoggingFlags;
use kube_scheduler::run::{Settings, run};

fn main() -> anyhow::Result<()> {
    let arguments = match normalize(std::env::args(), UNUSED_FLAGS) {
        Ok(arguments) => arguments,
        Err(error) => exit(&error.to_string()),
    };
    let flags = Flags::parse_from(arguments);
    if flags.version.is_some() {
        println!("Kubernetes {}", component_config::KUBERNETES_VERSION);
        return Ok(());
    }
    let write_to = flags.write_config_to.clone();
    let verbosity = flags.verbosity.clamp(0, 10) as u8;
    let settings = match Settings::of(flags) {
        Ok(settings) => settings,
        Err(error) => exit(&format!("{error:#}")),
    };
    if let Some(path) = write_to {
        std::fs::write(path, serde_yaml_ng::to_string(&settings.configuration)?)?;
        return Ok(());
    }
    daemon::logging::init(&LoggingFlags { verbosity });
    daemon::runtime()?.block_on(run(settings))
}

/// Ends with the code for bad usage or configuration.
fn exit(message: &str) -> ! {
    eprintln!("kube-scheduler: {message}");
    std::process::exit(2)
}
