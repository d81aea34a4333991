//! Every certificate on the hosts: in files, embedded in kubeconfigs, and as processes serve them.
//!
//! Pure: [`report`], [`scan::parse`]. Acting: [`collect`], [`handshake`].

pub mod handshake;
mod output;
pub mod report;
pub mod scan;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

pub use output::{json, prometheus, summary, table};
pub use report::{Finding, Place, Row};

use crate::fleet::{Failure, Fleet};
use crate::identities::{self, OPERATOR};
use crate::inventory::Inventory;
use crate::ssh::Connection;
use crate::state::State;
use crate::ui::Ui;
use crate::{outside, rollout};

/// A listener that says nothing for this long does not speak TLS.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that was found.
#[derive(Debug)]
pub struct Collected {
    pub rows: Vec<Row>,
    pub unreachable: Vec<Failure>,
}

/// Asks all hosts; those that cannot be reached are listed, and the others are not held up by them.
pub fn collect(inventory: &Inventory, state: &State, ui: &Ui, warn: Duration) -> anyhow::Result<Collected> {
    let (fleet, unreachable) = Fleet::connect_reachable(inventory, state, ui)?;
    let of_outsiders = outsiders(&fleet, inventory, state).unwrap_or_else(|error| {
        ui.note(&format!(
            "nodes that took themselves in are not listed, no API server answers: {error:#}"
        ));
        Vec::new()
    });
    Ok(Collected {
        rows: judged(&fleet, state, of_outsiders, warn)?,
        unreachable,
    })
}

/// All that the connected hosts and the operator hold and serve, judged, with rows of what others showed.
pub fn judged(
    fleet: &Fleet<'_>,
    state: &State,
    others: Vec<Row>,
    warn: Duration,
) -> anyhow::Result<Vec<Row>> {
    let mut rows: Vec<Row> = from(fleet)?.into_iter().flatten().collect();
    rows.extend(others);
    rows.extend(operators(state)?);
    report::judge(&mut rows, SystemTime::now(), warn);
    Ok(rows)
}

/// What the kubelets of nodes serve that no inventory names.
fn outsiders(fleet: &Fleet<'_>, inventory: &Inventory, state: &State) -> anyhow::Result<Vec<Row>> {
    let secrets = identities::prepare(inventory, state, SystemTime::now(), true)?;
    let api = rollout::any_api(fleet, inventory, &secrets)?;
    outside::certificates(fleet, &outside::ask(&api, inventory)?)
}

/// What the connected hosts hold and serve, not judged yet; a list per host.
pub fn from(fleet: &Fleet<'_>) -> anyhow::Result<Vec<Vec<Row>>> {
    let found = fleet.each_repeatable(
        "certificates",
        |_| true,
        |host, connection| {
            let scan = scan::ask(connection)?;
            let mut rows = report::of_files(&host.name, &scan.files);
            for listener in &scan.listeners {
                rows.extend(served(
                    connection,
                    &host.name,
                    &listener.process,
                    listener.address,
                ));
            }
            Ok(rows)
        },
    )?;
    Ok(found.into_values().collect())
}

/// A handshake with a process of `host`, from the connected host; none when it does not speak TLS.
pub fn served(connection: &Connection, host: &str, process: &str, address: SocketAddr) -> Option<Row> {
    let inside = if address.ip().is_unspecified() {
        "127.0.0.1".to_owned()
    } else {
        address.ip().to_string()
    };
    let chain = connection
        .through(&inside, address.port(), PATIENCE, handshake::certificates)
        .ok()??;
    let certificate = pki::inspect_der(chain.first()?).ok()?;
    let place = Place::Process {
        process: process.to_owned(),
        address: address.to_string(),
    };
    Some(Row::new(host, place, certificate))
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
