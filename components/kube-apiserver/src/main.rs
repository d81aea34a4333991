use clap::error::ErrorKind;
use component_config::kube_apiserver::{ParseError, parse};
use kube_apiserver::build_info::BuildInfo;
use kube_apiserver::{configuration::Configuration, run};
use std::process::ExitCode;

/// A request makes and drops thousands of small values, which is half of the CPU of a write with libc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Read here and not in the library, which needn't be compiled again for every commit.
const BUILD: BuildInfo = BuildInfo {
    commit: option_env!("HARDWAY_COMMIT"),
    commit_time: option_env!("HARDWAY_COMMIT_TIME"),
};

fn main() -> ExitCode {
    let flags = match parse(std::env::args()) {
        Ok(flags) => flags,
        Err(ParseError::Clap(error))
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("kube-apiserver: {error}");
            return ExitCode::FAILURE;
        }
    };
    match kube_apiserver::configuration::observing::log(&flags.observing, flags.v) {
        Ok(settings) => daemon::logging::init_with(settings),
        Err(error) => {
            eprintln!("kube-apiserver: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    let configuration = match Configuration::load(flags) {
        Ok(configuration) => configuration,
        Err(error) => {
            eprintln!("kube-apiserver: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    // Connections have threads of their own; here is what the server does by itself.
    let served =
        daemon::runtime_on_this_thread().and_then(|runtime| runtime.block_on(run::run(configuration, BUILD)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kube-apiserver: {error:#}");
            ExitCode::FAILURE
        }
    }
}
