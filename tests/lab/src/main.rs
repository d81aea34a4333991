//! hardway-lab: makes hosts on this machine, breaks them and takes them away again.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match lab::commands::Arguments::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hardway-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
