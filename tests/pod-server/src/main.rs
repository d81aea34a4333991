//! What the pods of the conformance cases run: a server for HTTP, UDP and gRPC health checks, and a client for UDP,
//! which Debian's busybox has not. Everything it is asked stands on its standard output.

mod grpc;
mod http1;
mod udp;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;

#[derive(Parser)]
enum What {
    /// Answer until asked to end.
    Serve {
        #[arg(long)]
        http: Vec<u16>,
        #[arg(long)]
        udp: Vec<u16>,
        #[arg(long)]
        grpc: Vec<u16>,
        /// /healthz answers 500 from then on.
        #[arg(long)]
        unhealthy_after: Option<u64>,
        /// Seconds between SIGTERM and the end, in which everything is still answered.
        #[arg(long, default_value_t = 0)]
        linger: u64,
    },
    /// Send a datagram to ADDRESS:PORT and print the answer.
    AskUdp { address: std::net::SocketAddr },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match What::parse() {
        What::AskUdp { address } => {
            println!("{}", udp::ask(address).await?);
            Ok(())
        }
        What::Serve {
            http,
            udp,
            grpc,
            unhealthy_after,
            linger,
        } => {
            let unhealthy_from = unhealthy_after.map(|seconds| Instant::now() + Duration::from_secs(seconds));
            let mut tasks = tokio::task::JoinSet::new();
            for port in http {
                tasks.spawn(http1::serve(port, unhealthy_from));
            }
            for port in udp {
                tasks.spawn(udp::serve(port));
            }
            for port in grpc {
                tasks.spawn(grpc::serve(port));
            }
            let mut asked_to_end = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
                .context("cannot wait for SIGTERM")?;
            tokio::select! {
                _ = asked_to_end.recv() => {
                    println!("SIGTERM");
                    tokio::time::sleep(Duration::from_secs(linger)).await;
                    Ok(())
                }
                Some(ended) = tasks.join_next() => ended.context("a server panicked")?,
            }
        }
    }
}

/// What a pod is called.
fn hostname() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    name.trim().to_owned()
}
