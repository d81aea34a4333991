//! kubelet
use std::process::ExitCode;

use clap::Parser as _;
use component_config::flags::normalize;
use component_config::kubelet::{KubeletFlags, UNUSED_FLAGS};

fn main() -> ExitCode {
    let words = match normalize(std::env::args(), UNUSED_FLAGS) {
        Ok(words) => words,
        Err(error) => return refuse(&error),
    };
    let flags = KubeletFlags::parse_from(words);
    if flags.version == Some(true) {
        println!("Kubernetes {}", component_config::KUBERNETES_VERSION);
        return ExitCode::SUCCESS;
    }
    daemon::logging::init(&daemon::logging::LoggingFlags {
        verbosity: flags.verbosity,
    });
    let configuration = match kubelet::app::configuration(&flags) {
        Ok(configuration) => configuration,
        Err(error) => return refuse(&format!("{error:#}")),
    };
    let run =
        || -> anyhow::Result<()> { daemon::runtime()?.block_on(kubelet::app::run(flags, configuration)) };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kubelet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("kubelet: {error}");
    ExitCode::from(2)
}
