//! Developer tasks: generated data, architecture rules.
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write components/api/src/gen from the recorded reference and the sources of the k8s-pb crate.
    ApiData {
        /// Directory with the recordings of the reference.
        #[arg(long)]
        reference: PathBuf,
        /// `src` of the k8s-pb crate, for field presence and texts.
        #[arg(long)]
        protobuf: PathBuf,
        /// Recorded answers, for the texts of table columns.
        #[arg(long)]
        answers: PathBuf,
        /// Where to write.
        #[arg(long, default_value = "components/api/src/gen")]
        out: PathBuf,
        /// Write nothing; fail when what stands there is not what would be written.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::ApiData {
            reference,
            protobuf,
            answers,
            out,
            check: false,
        } => xtask::generate::api_data(&reference, &protobuf, &answers, &out),
        Task::ApiData {
            reference,
            protobuf,
            answers,
            out,
            check: true,
        } => {
            let fresh = tempfile::tempdir()?;
            xtask::generate::api_data(&reference, &protobuf, &answers, fresh.path())?;
            xtask::generate::compare(fresh.path(), &out)
        }
    }
}
