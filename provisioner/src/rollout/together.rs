use super::{Rollout, gate};
use crate::apply;
use crate::bootstrap::{addons, connect};
use crate::desired::Stage;
use crate::inventory::Host;
use crate::plan::Action;
use crate::survey::Survey;

impl Rollout<'_> {
    /// Hosts on which nothing is interrupted, all at once, stage by stage.
    pub(super) fn together(&self, survey: &mut Survey, hosts: &[String]) -> anyhow::Result<()> {
        let (ui, state) = (self.ui, self.state);
        ui.phase(state, "hosts");
        self.activate_all(survey, hosts)?;
        if hosts
            .iter()
            .any(|host| !survey.plans[host].starts(Stage::Etcd).is_empty())
        {
            ui.phase(state, "etcd");
            self.etcd(survey, hosts)?;
        }
        ui.phase(state, "control plane");
        let ready = |host: &Host, survey: &Survey| {
            connect(self.fleet, host, &survey.secrets)?.wait_ready(gate::deadline())
        };
        self.stage(survey, hosts, "control plane", Stage::ApiServer, &ready)?;
        let api = self.api(survey)?;
        api.wait_ready(gate::deadline())?;
        addons::apply(&api, &addons::access(survey)?, ui)?;
        ui.phase(state, "clients of the API");
        self.stage(
            survey,
            hosts,
            "clients of the API",
            Stage::Clients,
            &|_, _| Ok(()),
        )?;
        ui.phase(state, "health");
        self.settle(survey, hosts)
    }

    /// Switches the planned hosts and starts what needs nothing of the cluster; nothing is asked of the API.
    pub fn switch_only(&self, survey: &mut Survey) -> anyhow::Result<()> {
        self.ui.phase(self.state, "push");
        self.push(survey)?;
        self.number(survey)?;
        self.ui.phase(self.state, "hosts");
        let changed = survey.plans.iter().filter(|(_, plan)| !plan.is_empty());
        let hosts: Vec<String> = changed.map(|(host, _)| host.clone()).collect();
        self.activate_all(survey, &hosts)
    }

    fn activate_all(&self, survey: &Survey, hosts: &[String]) -> anyhow::Result<()> {
        self.fleet.each(
            "hosts",
            |host| hosts.contains(&host.name),
            |host, connection| {
                let (desired, plan) = (&survey.desired[&host.name], &survey.plans[&host.name]);
                self.ui.host(&host.name, "activate");
                apply::activate(
                    connection,
                    desired,
                    plan,
                    &survey.facts[&host.name],
                    &self.options.cause,
                )?;
                apply::start(connection, plan, Stage::Host)?;
                apply::import_images(connection, desired, plan)
            },
        )?;
        Ok(())
    }

    fn etcd(&self, survey: &mut Survey, hosts: &[String]) -> anyhow::Result<()> {
        let members: Vec<String> = self
            .inventory
            .etcd_members()
            .iter()
            .map(|host| host.name.clone())
            .collect();
        if survey.record.etcd_members.is_empty() {
            let left_out: Vec<&str> = members
                .iter()
                .filter(|member| !hosts.contains(member))
                .map(String::as_str)
                .collect();
            anyhow::ensure!(
                left_out.is_empty(),
                "etcd is formed by all its members at once, without {} it is not: leave out --host and --role",
                left_out.join(", ")
            );
            survey.record.etcd_members = members.clone();
            self.state.save(&survey.record)?;
        }
        self.stage(survey, hosts, "etcd", Stage::Etcd, &|_, _| Ok(()))?;
        if survey.record.etcd_started != members {
            survey.record.etcd_started = members;
            self.state.save(&survey.record)?;
        }
        Ok(())
    }

    fn stage(
        &self,
        survey: &Survey,
        hosts: &[String],
        phase: &str,
        stage: Stage,
        ready: &(dyn Fn(&Host, &Survey) -> anyhow::Result<()> + Sync),
    ) -> anyhow::Result<()> {
        self.fleet.each(
            phase,
            |host| hosts.contains(&host.name) && !survey.plans[&host.name].starts(stage).is_empty(),
            |host, connection| {
                self.ui.host(&host.name, phase);
                apply::start(connection, &survey.plans[&host.name], stage)?;
                ready(host, survey)
            },
        )?;
        Ok(())
    }

    /// The gate of hosts that were not interrupted; nodes are waited for by the caller, all together.
    fn settle(&self, survey: &Survey, hosts: &[String]) -> anyhow::Result<()> {
        let changed = |host: &Host| {
            let plan = &survey.plans[&host.name];
            plan.generation.is_some() || plan.units.iter().any(|unit| unit.action == Action::Start)
        };
        self.fleet.each(
            "health",
            |host| hosts.contains(&host.name) && changed(host),
            |host, connection| {
                self.ui.host(&host.name, "health");
                match gate::local(
                    self.inventory,
                    host,
                    &survey.desired[&host.name].unit_names(),
                    connection,
                ) {
                    Ok(()) => self.switched(host, &survey.plans[&host.name]),
                    Err(error) => Err(self.back(survey, host, connection, error)),
                }
            },
        )?;
        Ok(())
    }
}
