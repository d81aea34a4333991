//! etcd's members: rules that keep them (no I/O), and what each says and does when asked.

mod drill;
mod member;
mod restore;
pub mod snapshot;

pub use drill::{Drilled, drill};
pub use member::{Member, Membership, Status, wait_healthy};
pub use restore::restore;
pub use snapshot::Source;

use std::collections::BTreeMap;

use crate::facts::Facts;
use crate::inventory::Inventory;
use crate::preflight::Finding;
use crate::state::Record;

/// What would damage a cluster that has been formed.
pub fn check(inventory: &Inventory, record: &Record, facts: &BTreeMap<String, Facts>) -> Vec<Finding> {
    let members: Vec<String> = inventory
        .etcd_members()
        .iter()
        .map(|host| host.name.clone())
        .collect();
    let mut findings = Vec::new();
    let mut report = |host: &str, text: String| {
        findings.push(Finding {
            host: host.to_owned(),
            text,
        })
    };
    if !record.etcd_members.is_empty() {
        for joined in members.iter().filter(|name| !record.etcd_members.contains(name)) {
            report(
                joined,
                format!(
                    "is a new etcd member, etcd's members are {}; let it join with hardway node join {joined}",
                    record.etcd_members.join(", ")
                ),
            );
        }
        for left in record.etcd_members.iter().filter(|name| !members.contains(name)) {
            report(
                left,
                format!(
                    "is an etcd member and would lose its role; put it back into the inventory and take it out with \
                     hardway node remove {left}"
                ),
            );
        }
    }
    for name in &record.etcd_started {
        if facts.get(name).is_some_and(|facts| !facts.etcd_data) && members.contains(name) {
            report(
                name,
                format!(
                    "was an etcd member and has lost /var/lib/etcd; starting it empty could lose committed data: restore \
                     the directory, or take it in anew with hardway node replace {name}"
                ),
            );
        }
    }
    // Data that nobody recorded belongs to another cluster, or the operator's directory was lost.
    if record.etcd_members.is_empty() {
        for name in members
            .iter()
            .filter(|name| facts.get(*name).is_some_and(|facts| facts.etcd_data))
        {
            report(
                name,
                "has etcd data that this cluster's directory does not know of; restore the directory beside the \
                 inventory, or remove /var/lib/etcd if the data is not needed"
                    .to_owned(),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn inventory(count: usize) -> Inventory {
        let mut text = "[cluster]\nname = \"lab\"\n".to_owned();
        for number in 1..=count {
            text.push_str(&format!(
                "[[hosts]]\nname = \"cp-{number}\"\naddress = \"10.77.0.{number}\"\nroles = [\"control-plane\"]\n"
            ));
        }
        Inventory::parse(Path::new("lab.toml"), &text).unwrap()
    }

    fn record(members: &[&str], started: &[&str]) -> Record {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Record {
            etcd_members: owned(members),
            etcd_started: owned(started),
            ..Record::default()
        }
    }

    fn facts(with_data: &[&str], without: &[&str]) -> BTreeMap<String, Facts> {
        let fact = |etcd_data| Facts {
            etcd_data,
            ..Facts::default()
        };
        let with = with_data.iter().map(|name| ((*name).to_owned(), fact(true)));
        with.chain(without.iter().map(|name| ((*name).to_owned(), fact(false))))
            .collect()
    }

    #[test]
    fn members_are_kept() {
        let all = ["cp-1", "cp-2", "cp-3"];
        type Case = (usize, Record, BTreeMap<String, Facts>, &'static [&'static str]);
        let table: &[Case] = &[
            // First run; interrupted while forming; formed.
            (3, record(&[], &[]), facts(&[], &all), &[]),
            (
                3,
                record(&all, &["cp-1"]),
                facts(&["cp-1", "cp-2"], &["cp-3"]),
                &[],
            ),
            (3, record(&all, &all), facts(&all, &[]), &[]),
            // Lost data, a member more, a member less, data from elsewhere.
            (
                3,
                record(&all, &all),
                facts(&["cp-1", "cp-2"], &["cp-3"]),
                &["cp-3"],
            ),
            (
                3,
                record(&["cp-1"], &["cp-1"]),
                facts(&["cp-1"], &["cp-2", "cp-3"]),
                &["cp-2", "cp-3"],
            ),
            (1, record(&all, &all), facts(&["cp-1"], &[]), &["cp-2", "cp-3"]),
            (1, record(&[], &[]), facts(&["cp-1"], &[]), &["cp-1"]),
        ];
        for (count, record, facts, expected) in table {
            let found = check(&inventory(*count), record, facts);
            let hosts: Vec<&str> = found.iter().map(|finding| finding.host.as_str()).collect();
            assert_eq!(&hosts, expected, "{found:?}");
        }
    }
}
