use super::{Rollout, Wave, gate};
use crate::apply;
use crate::bootstrap::{addons, connect};
use crate::desired::Stage;
use crate::inventory::Host;
use crate::plan::Action;
use crate::push::Push;
use crate::ssh::is_lost;
use crate::survey::Survey;

impl Rollout<'_> {
    /// Every planned host gets what it lacks; one on which nothing is interrupted goes on at once to its switch and to
    /// what needs nothing of the cluster. No host waits for another, unless it receives from it.
    pub(super) fn stage_all(&self, survey: &mut Survey, waves: &[Wave]) -> anyhow::Result<()> {
        let together = waves.iter().find_map(|wave| match wave {
            Wave::Together(hosts) => Some(hosts.as_slice()),
            Wave::Rolling(_) => None,
        });
        self.ui.phase(self.state, "compress");
        self.number(survey)?;
        let shared = &*survey;
        let push = Push::prepare(self.fleet, self.state, shared, self.ui)?;
        self.ui.phase(self.state, "push and switch");
        self.fleet.each_repeatable(
            "push and switch",
            |host| shared.plans.contains_key(&host.name),
            |host, connection| {
                push.to(host, connection)?;
                if !together.is_some_and(|hosts| hosts.contains(&host.name)) {
                    return Ok(());
                }
                self.state.check_lock()?;
                let (desired, plan) = (&shared.desired[&host.name], &shared.plans[&host.name]);
                self.ui.host(&host.name, "activate");
                let facts = &shared.facts[&host.name];
                apply::activate(connection, desired, plan, facts, &self.options.cause)?;
                apply::start(connection, plan, Stage::Host)?;
                apply::import_images(connection, desired, plan)
            },
        )?;
        Ok(())
    }

    /// Hosts on which nothing is interrupted, all at once; they have been switched already. They wait for each other
    /// only where one needs the other: to form etcd, and for the API.
    pub(super) fn together(&self, survey: &mut Survey, hosts: &[String]) -> anyhow::Result<()> {
        let (ui, state) = (self.ui, self.state);
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
        self.clients(survey, hosts)
    }

    /// Switches the planned hosts and starts what needs nothing of the cluster; nothing is asked of the API.
    pub fn switch_only(&self, survey: &mut Survey) -> anyhow::Result<()> {
        let changed = survey.plans.iter().filter(|(_, plan)| !plan.is_empty());
        let hosts: Vec<String> = changed.map(|(host, _)| host.clone()).collect();
        self.stage_all(survey, &[Wave::Together(hosts)])
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
        self.fleet.each_repeatable(
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

    /// Starts the clients of the API, each host followed by its own gate; nodes are waited for by the caller, all
    /// together.
    fn clients(&self, survey: &Survey, hosts: &[String]) -> anyhow::Result<()> {
        let changed = |host: &Host| {
            let plan = &survey.plans[&host.name];
            plan.generation.is_some() || plan.units.iter().any(|unit| unit.action == Action::Start)
        };
        self.fleet.each_repeatable(
            "clients of the API",
            |host| hosts.contains(&host.name) && changed(host),
            |host, connection| {
                let plan = &survey.plans[&host.name];
                self.ui.host(&host.name, "clients of the API");
                apply::start(connection, plan, Stage::Clients)?;
                self.ui.host(&host.name, "health");
                let units = survey.desired[&host.name].unit_names();
                match gate::local(self.inventory, host, &units, connection) {
                    Ok(()) => self.switched(host, plan),
                    Err(error) if is_lost(&error) => Err(error),
                    Err(error) => Err(self.back(survey, host, connection, error)),
                }
            },
        )?;
        Ok(())
    }
}
