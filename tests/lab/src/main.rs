//! hardway-lab: makes hosts on this machine, breaks them and takes them away again.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // A hollow host knows this program by other names.
    let result = lab::hollow::tools::called().unwrap_or_else(|| lab::commands::Arguments::parse().run());
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("hardway-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
