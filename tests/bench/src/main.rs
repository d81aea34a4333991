//! `bench-api`: measures an API server from outside, one row of a table per path.

mod client;
mod load;
mod objects;
mod process;
mod report;
mod rows;
mod start;
mod watching;
mod webhooks;

use anyhow::{Context, Result, bail};
use clap::Parser;
use client::{Client, Credentials};
use process::Process;
use report::Report;
use std::path::PathBuf;

/// Measures an API server: either one that runs (--server, credentials, --pid), or --binary, which is started over
/// an etcd of its own with upstream's flags. The server should be otherwise idle; namespaces `bench-*` are used.
#[derive(Debug, Parser)]
#[command(name = "bench-api")]
pub struct Options {
    /// Server to measure, as https://HOST:PORT.
    #[arg(long, requires_all = ["certificate_authority", "client_certificate", "client_key", "pid"])]
    server: Option<String>,
    #[arg(long)]
    certificate_authority: Option<PathBuf>,
    /// Of a user who may do everything.
    #[arg(long)]
    client_certificate: Option<PathBuf>,
    #[arg(long)]
    client_key: Option<PathBuf>,
    /// Process id of the server, for its CPU and memory.
    #[arg(long)]
    pid: Option<u32>,
    /// A kube-apiserver to start over a new etcd on free ports.
    #[arg(long, conflicts_with = "server")]
    binary: Option<PathBuf>,
    /// Pods stored for the list rows.
    #[arg(long, default_value_t = 5000)]
    pods: usize,
    /// Requests of each row that counts single requests.
    #[arg(long, default_value_t = 4000)]
    requests: usize,
    /// Requests at once.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// Connections that the watches of a row share.
    #[arg(long, default_value_t = 5)]
    watch_connections: usize,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut report = Report::default();
    if let Some(binary) = &options.binary {
        start::measure(binary, &options, &mut report).await?;
    } else if let (Some(server), Some(authority), Some(certificate), Some(key), Some(pid)) = (
        &options.server,
        &options.certificate_authority,
        &options.client_certificate,
        &options.client_key,
        options.pid,
    ) {
        let credentials = Credentials::read(server, authority, certificate, key)?;
        let process = Process::of(pid).context("--pid")?;
        rows::measure(&Client::new(credentials), &process, &options, &mut report).await?;
    } else {
        bail!("either --binary, or --server with credentials and --pid");
    }
    println!("{report}");
    Ok(())
}
