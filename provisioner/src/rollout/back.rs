use std::collections::BTreeMap;

use super::{Rollout, others_hold_quorum, undone};
use crate::apply::{self, WentBack};
use crate::guard::{self, Way};
use crate::inventory::{Host, Role};
use crate::ssh::Connection;
use crate::survey::Survey;

impl Rollout<'_> {
    /// Puts the connected hosts back on an earlier generation, nothing is uploaded: control planes and etcd members
    /// one after the other, the rest at once. A host that is not healthy then goes forward again.
    pub fn go_back(
        &self,
        survey: &Survey,
        target: Option<u64>,
    ) -> anyhow::Result<BTreeMap<String, WentBack>> {
        let alone = |host: &Host| host.has(Role::ControlPlane) || self.inventory.runs_etcd(host);
        let work = |host: &Host, connection: &Connection| self.one_back(survey, host, connection, target);
        self.ui.phase(self.state, "rollback");
        let mut done = self.fleet.one_by_one("rollback", alone, work)?;
        done.extend(self.fleet.each("rollback", |host| !alone(host), work)?);
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
