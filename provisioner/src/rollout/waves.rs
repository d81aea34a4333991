use std::collections::BTreeMap;
use std::str::FromStr;

use crate::inventory::{Inventory, Role};
use crate::plan::{Action, HostPlan};

/// Hosts that are changed at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wave {
    /// Nothing that runs on them is interrupted.
    Together(Vec<String>),
    /// Units that run are restarted: one control plane or etcd member, or a batch of others.
    Rolling(Vec<String>),
}

/// How many workers may be interrupted at once: a number or a part of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    Count(usize),
    Percent(usize),
}

impl Default for Batch {
    fn default() -> Self {
        Batch::Percent(25)
    }
}

impl FromStr for Batch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || format!("{text:?} is neither a number from 1 nor a percentage up to 100%");
        match text.strip_suffix('%') {
            Some(number) => match number.parse() {
                Ok(percent @ 1..=100) => Ok(Batch::Percent(percent)),
                _ => Err(problem()),
            },
            None => match text.parse() {
                Ok(0) | Err(_) => Err(problem()),
                Ok(count) => Ok(Batch::Count(count)),
            },
        }
    }
}

impl Batch {
    /// At least one of `total`.
    pub fn of(self, total: usize) -> usize {
        match self {
            Batch::Count(count) => count,
            Batch::Percent(percent) => total * percent / 100,
        }
        .max(1)
    }
}

/// The order in which hosts are changed; hosts without a change are left out.
pub fn waves(inventory: &Inventory, plans: &BTreeMap<String, HostPlan>, batch: Batch) -> Vec<Wave> {
    let interrupts = |plan: &HostPlan| plan.units.iter().any(|unit| unit.action != Action::Start);
    let (mut first, mut quiet, mut alone, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for host in &inventory.hosts {
        let Some(plan) = plans.get(&host.name).filter(|plan| !plan.is_empty()) else {
            continue;
        };
        if plan.unconfirmed.is_some() {
            first.push(host.name.clone());
        } else if !interrupts(plan) {
            quiet.push(host.name.clone());
        } else if host.has(Role::ControlPlane) || host.has(Role::LoadBalancer) || inventory.runs_etcd(host) {
            alone.push(host.name.clone());
        } else {
            others.push(host.name.clone());
        }
    }
    let total = inventory.with_role(Role::Worker).count();
    // What an earlier run left in the middle is seen through before anything else is touched.
    let mut waves: Vec<Wave> = first.into_iter().map(|host| Wave::Rolling(vec![host])).collect();
    if !quiet.is_empty() {
        waves.push(Wave::Together(quiet));
    }
    waves.extend(alone.into_iter().map(|host| Wave::Rolling(vec![host])));
    waves.extend(
        others
            .chunks(batch.of(total))
            .map(|hosts| Wave::Rolling(hosts.to_vec())),
    );
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::UnitChange;
    use std::path::Path;

    fn inventory() -> Inventory {
        let mut text = "[cluster]\nname = \"lab\"\n".to_owned();
        for (number, role) in [
            "control-plane",
            "control-plane",
            "control-plane",
            "worker",
            "worker",
            "worker",
        ]
        .iter()
        .enumerate()
        {
            text.push_str(&format!(
                "[[hosts]]\nname = \"h{number}\"\naddress = \"10.77.0.{}\"\nroles = [\"{role}\"]\n",
                number + 1
            ));
        }
        Inventory::parse(Path::new("lab.toml"), &text).unwrap()
    }

    fn plan(action: Option<Action>) -> HostPlan {
        HostPlan {
            generation: Some(1),
            units: action
                .map(|action| UnitChange {
                    name: "kubelet.service".to_owned(),
                    action,
                    stage: None,
                })
                .into_iter()
                .collect(),
            ..HostPlan::default()
        }
    }

    #[test]
    fn only_what_interrupts_goes_host_by_host() {
        let together = |hosts: &[&str]| Wave::Together(hosts.iter().map(|host| (*host).to_owned()).collect());
        let rolling = |hosts: &[&str]| Wave::Rolling(hosts.iter().map(|host| (*host).to_owned()).collect());
        let all = ["h0", "h1", "h2", "h3", "h4", "h5"];
        type Case<'c> = (&'c [(&'c str, Option<Action>)], Batch, Vec<Wave>);
        let table: &[Case<'_>] = &[
            (&[], Batch::default(), vec![]),
            (
                &all.map(|host| (host, Some(Action::Start))),
                Batch::default(),
                vec![together(&all)],
            ),
            (
                &all.map(|host| (host, Some(Action::Restart))),
                Batch::Count(2),
                vec![
                    rolling(&["h0"]),
                    rolling(&["h1"]),
                    rolling(&["h2"]),
                    rolling(&["h3", "h4"]),
                    rolling(&["h5"]),
                ],
            ),
            (
                &[
                    ("h0", None),
                    ("h3", Some(Action::Stop)),
                    ("h5", Some(Action::Start)),
                ],
                Batch::Percent(100),
                vec![together(&["h0", "h5"]), rolling(&["h3"])],
            ),
        ];
        for (changes, batch, expected) in table {
            let mut plans: BTreeMap<String, HostPlan> = changes
                .iter()
                .map(|(host, action)| ((*host).to_owned(), plan(*action)))
                .collect();
            plans.insert("h9".to_owned(), HostPlan::default());
            assert_eq!(&waves(&inventory(), &plans, *batch), expected);
        }
    }

    #[test]
    fn what_was_left_unconfirmed_comes_first() {
        let unconfirmed = HostPlan {
            unconfirmed: Some(1),
            ..HostPlan::default()
        };
        let plans = BTreeMap::from([
            ("h0".to_owned(), plan(Some(Action::Start))),
            ("h1".to_owned(), plan(Some(Action::Restart))),
            ("h4".to_owned(), unconfirmed),
        ]);
        let expected = [
            Wave::Rolling(vec!["h4".to_owned()]),
            Wave::Together(vec!["h0".to_owned()]),
            Wave::Rolling(vec!["h1".to_owned()]),
        ];
        assert_eq!(waves(&inventory(), &plans, Batch::default()), expected);
    }

    #[test]
    fn batches_are_numbers_or_percentages() {
        for (text, expected) in [
            ("1", Some(1)),
            ("25%", Some(2)),
            ("1%", Some(1)),
            ("100%", Some(10)),
            ("0", None),
            ("0%", None),
            ("x", None),
            ("101%", None),
            ("-1", None),
        ] {
            assert_eq!(
                text.parse::<Batch>().ok().map(|batch| batch.of(10)),
                expected,
                "{text}"
            );
        }
    }
}
