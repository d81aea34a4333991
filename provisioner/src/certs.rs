//! Every certificate on the hosts: in files, embedded in kubeconfigs, and as processes serve them.
//!
//! Pure: [`report`], [`scan::parse`]. Acting: [`collect`], [`handshake`].

pub mod handshake;
mod output;
pub mod report;
pub mod scan;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

pub use output::{json, prometheus, table};
pub use report::{Finding, Place, Row};

use crate::fleet::{Failure, Fleet};
use crate::identities::OPERATOR;
use crate::inventory::{Host, Inventory};
use crate::ssh::{Forward, Target};
use crate::state::State;
use crate::ui::Ui;

/// Everything that was found.
#[derive(Debug)]
pub struct Collected {
    pub rows: Vec<Row>,
    pub unreachable: Vec<Failure>,
}

/// Asks all hosts; those that cannot be reached are listed, and the others are not held up by them.
pub fn collect(inventory: &Inventory, state: &State, ui: &Ui, warn: Duration) -> anyhow::Result<Collected> {
    let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, ui)?;
    let found = from(&fleet)?;
    let mut sources: Vec<Row> = found.into_iter().flatten().collect();
    sources.extend(operators(state)?);
    report::judge(&mut sources, SystemTime::now(), warn);
    Ok(Collected {
        rows: sources,
        unreachable,
    })
}

/// What the connected hosts hold and serve, not judged yet; a list per host.
pub fn from(fleet: &Fleet<'_>) -> anyhow::Result<Vec<Vec<Row>>> {
    let scans = fleet.each(
        "certificates",
        |_| true,
        |_, connection| Ok(scan::ask(connection)?),
    )?;
    let hosts: Vec<&Host> = fleet
        .inventory
        .hosts
        .iter()
        .filter(|host| scans.contains_key(&host.name))
        .collect();
    let rows = std::thread::scope(|scope| {
        let threads: Vec<_> = hosts
            .iter()
            .map(|host| {
                let scan = &scans[&host.name];
                scope.spawn(|| of_host(fleet, host, scan))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow::anyhow!("a thread that reads certificates panicked"))?
            })
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    Ok(rows)
}

fn of_host(fleet: &Fleet<'_>, host: &Host, scan: &scan::Scan) -> anyhow::Result<Vec<Row>> {
    let mut rows = report::of_files(&host.name, &scan.files);
    let target = fleet.target(host)?;
    for listener in &scan.listeners {
        rows.extend(served(target, &host.name, listener));
    }
    Ok(rows)
}

/// A handshake with one listener; none when it does not speak TLS.
pub fn served(target: &Target, host: &str, listener: &scan::Listener) -> Option<Row> {
    let chain = match reach(target, listener) {
        Some(Reached::Direct(address)) => handshake::certificates(address),
        Some(Reached::Forwarded(forward)) => handshake::certificates(forward.address),
        None => None,
    }?;
    let certificate = pki::inspect_der(chain.first()?).ok()?;
    Some(Row::new(
        host,
        Place::Process {
            process: listener.process.clone(),
            address: listener.address.to_string(),
        },
        certificate,
    ))
}

enum Reached {
    Direct(SocketAddr),
    Forwarded(Forward),
}

/// The listener itself, when this machine reaches it; through SSH otherwise.
fn reach(target: &Target, listener: &scan::Listener) -> Option<Reached> {
    let outside: IpAddr = target.host.parse().ok()?;
    let address = listener.address;
    let direct = if address.ip().is_unspecified() {
        Some(SocketAddr::new(outside, address.port()))
    } else {
        (!address.ip().is_loopback()).then_some(address)
    };
    if let Some(direct) = direct
        && target.settings.bastion.is_none()
        && TcpStream::connect_timeout(&direct, Duration::from_secs(1)).is_ok()
    {
        return Some(Reached::Direct(direct));
    }
    let inside = if address.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        address.ip().to_string()
    };
    Forward::to(target.clone(), &inside, address.port())
        .ok()
        .map(Reached::Forwarded)
}

/// What the operator keeps: the authorities, and the administrator's leaves.
fn operators(state: &State) -> anyhow::Result<Vec<Row>> {
    let mut files = Vec::new();
    let folder = state.folder().join("pki");
    let mut read = |path: std::path::PathBuf| -> anyhow::Result<()> {
        if let Some(content) = crate::state::read_file(&path)? {
            files.push(scan::Found {
                path: path.display().to_string(),
                pem: String::from_utf8_lossy(&content).into_owned(),
                embedded: None,
            });
        }
        Ok(())
    };
    for authority in pki::Authority::ALL {
        read(folder.join(format!("{}.crt", authority.name())))?;
        read(folder.join("next").join(format!("{}.crt", authority.name())))?;
    }
    for profile in pki::PROFILES
        .iter()
        .filter(|profile| profile.scope == pki::Scope::Operator)
    {
        read(
            folder
                .join("leaves")
                .join(OPERATOR)
                .join(format!("{}.crt", profile.name)),
        )?;
    }
    Ok(report::of_files(OPERATOR, &files))
}
