//! kube-controller-manager

use std::process::ExitCode;

use clap::Parser as _;
use component_config::flags::normalize;
use component_config::kube_controller_manager::{ControllerManagerFlags, UNUSED};
use daemon::logging::{self, LoggingFlags};

#[derive(clap::Parser)]
#[command(
    name = "kube-controller-manager",
    about = "Runs the controllers of the cluster",
    display_name = "Kubernetes",
    version = component_config::KUBERNETES_VERSION
)]
struct CommandLine {
    #[command(flatten)]
    flags: ControllerManagerFlags,
    #[command(flatten)]
    logging: LoggingFlags,
}

fn main() -> ExitCode {
    let words = match normalize(std::env::args(), UNUSED) {
        Ok(words) => words,
        Err(error) => {
            eprintln!("kube-controller-manager: {error}");
            return ExitCode::from(2);
        }
    };
    let line = CommandLine::parse_from(words);
    if let Err(error) = line.flags.versions.effective() {
        eprintln!("kube-controller-manager: {error}");
        return ExitCode::from(2);
    }
    logging::init(&line.logging);
    let outcome =
        daemon::runtime().and_then(|runtime| runtime.block_on(kube_controller_manager::run::run(line.flags)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            eprintln!("kube-controller-manager: {error:#}");
            ExitCode::FAILURE
        }
    }
}
