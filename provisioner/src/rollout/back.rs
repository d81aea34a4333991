use std::collections::BTreeMap;

use super::{Rollout, others_hold_quorum, undone};
use crate::apply::{self, WentBack};
use crate::facts::Facts;
use crate::guard::{self, Way};
use crate::inventory::{Host, Role};
use crate::ssh::Connection;
use crate::survey::Survey;

/// Hosts that cannot go back: none for a `target` that they do not hold, or nothing before where they are.
pub fn stay(facts: &BTreeMap<String, Facts>, target: Option<u64>) -> BTreeMap<String, String> {
    let mut stay = BTreeMap::new();
    for (host, facts) in facts {
        let reason = match target {
            Some(target) if !facts.kept_generations.contains(&target) => {
                let kept: Vec<String> = facts.kept_generations.iter().map(u64::to_string).collect();
                format!("it does not hold generation {target}; kept: {}", kept.join(" "))
            }
            None if facts.generation_before().is_none() => {
                format!("there is no generation before {}", facts.generation_number())
            }
            _ => continue,
        };
        stay.insert(host.clone(), reason);
    }
    stay
}

impl Rollout<'_> {
    /// Puts the connected hosts back on an earlier generation, nothing is uploaded: control planes and etcd members
    /// one after the other, the rest at once. A host that is not healthy then goes forward again.
    pub fn go_back(
        &self,
        survey: &Survey,
        target: Option<u64>,
        goes: impl Fn(&Host) -> bool,
    ) -> anyhow::Result<BTreeMap<String, WentBack>> {
        let alone = |host: &Host| host.has(Role::ControlPlane) || self.inventory.runs_etcd(host);
        let work = |host: &Host, connection: &Connection| self.one_back(survey, host, connection, target);
        self.ui.phase(self.state, "rollback");
        let mut done = self
            .fleet
            .one_by_one("rollback", |host| goes(host) && alone(host), work)?;
        done.extend(
            self.fleet
                .each("rollback", |host| goes(host) && !alone(host), work)?,
        );
        let mut record = self.state.record()?;
        for (host, back) in &done {
            record.generations.insert(host.clone(), back.generation);
        }
        self.state.save(&record)?;
        Ok(done)
    }

    fn one_back(
        &self,
        survey: &Survey,
        host: &Host,
        connection: &Connection,
        target: Option<u64>,
    ) -> anyhow::Result<WentBack> {
        self.state.check_lock()?;
        if self.inventory.runs_etcd(host) {
            others_hold_quorum(self.fleet, self.inventory, survey, host)?;
        }
        let before = survey.facts[&host.name].generation_number();
        self.ui.host(&host.name, "going back");
        // Where it is now is where it was healthy, unless an earlier run left it in the middle.
        let way = Way {
            from: before,
            back_to: survey.facts[&host.name].unconfirmed.unwrap_or(before),
        };
        self.arm(connection, way)?;
        let back = match apply::go_back(connection, target, &self.options.cause) {
            Ok(back) => back,
            Err(error) => {
                guard::disarm(connection)?;
                return Err(error);
            }
        };
        self.record_back(host, back.generation, &self.options.cause)?;
        let gated = self
            .gate(survey, host, &back.units, connection)
            .and_then(|()| Ok(guard::disarm(connection)?));
        let Err(error) = gated else {
            return Ok(back);
        };
        let cause = format!("failed-{}", self.options.cause);
        let before = way.back_to;
        let forward = apply::go_back(connection, Some(before), &cause)
            .and_then(|_| self.record_back(host, before, &cause))
            .and_then(|()| undone(connection));
        Err(error.context(match forward {
            Ok(()) => format!(
                "not healthy on generation {}; it is on {before} again",
                back.generation
            ),
            Err(second) => format!(
                "not healthy on generation {}, and going to {before} again failed ({second:#})",
                back.generation
            ),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_go_back() {
        let host = |current: u64, kept: &[u64], failed: &[u64]| Facts {
            generation: format!("generations/{current}"),
            kept_generations: kept.to_vec(),
            failed_generations: failed.iter().copied().collect(),
            ..Facts::default()
        };
        let facts = BTreeMap::from([
            ("never-changed".to_owned(), host(1, &[1], &[])),
            ("changed".to_owned(), host(3, &[2, 3], &[])),
            ("failed-before".to_owned(), host(3, &[2, 3], &[2])),
            ("went-back".to_owned(), host(2, &[1, 2, 3], &[3])),
        ]);
        let of = |target| stay(&facts, target).into_iter().collect::<Vec<_>>();
        let because = |host: &str, reason: &str| (host.to_owned(), reason.to_owned());
        assert_eq!(
            of(None),
            [
                because("failed-before", "there is no generation before 3"),
                because("never-changed", "there is no generation before 1"),
            ]
        );
        assert_eq!(
            of(Some(2)),
            [because("never-changed", "it does not hold generation 2; kept: 1")]
        );
    }
}
