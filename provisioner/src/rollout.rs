//! Carries out the plans of all hosts: what interrupts nothing on all hosts at once, what restarts something host
//! after host, each behind a health gate. A host that fails its gate goes back by itself, and the rest is left alone.

mod back;
mod gate;
mod together;
mod waves;

use anyhow::Context as _;

use crate::api::Api;
use crate::apply;
use crate::bootstrap::{addons, connect};
use crate::desired::Stage;
use crate::fleet::Fleet;
use crate::guard::{self, Way};
use crate::inventory::{Host, Inventory};
use crate::plan::HostPlan;
use crate::ssh::{Connection, SshError, is_lost};
use crate::state::{Event, State};
use crate::survey::Survey;
use crate::ui::Ui;

pub use back::stay;
pub use gate::{any_api, etcd_member, local, others_hold_quorum};
pub use waves::{Batch, Wave, waves};

/// Called for a host before it is interrupted and after it is healthy again.
pub type Hook<'h> = &'h (dyn Fn(&Host) -> anyhow::Result<()> + Sync);

/// How far and how fast.
pub struct Options<'h> {
    /// Workers that may be interrupted at the same time.
    pub batch: Batch,
    /// For the host's history, for example `bootstrap`.
    pub cause: String,
    pub before: Hook<'h>,
    pub after: Hook<'h>,
}

impl Options<'_> {
    pub fn named(cause: &str) -> Options<'static> {
        Options {
            batch: Batch::default(),
            cause: cause.to_owned(),
            before: &|_| Ok(()),
            after: &|_| Ok(()),
        }
    }
}

/// A rollout to connected hosts.
pub struct Rollout<'a> {
    pub fleet: &'a Fleet<'a>,
    pub inventory: &'a Inventory,
    pub state: &'a State,
    pub ui: &'a Ui,
    pub options: Options<'a>,
}

impl Rollout<'_> {
    /// Brings every planned host to its new generation. Safe to repeat after any interruption.
    pub fn run(&self, survey: &mut Survey) -> anyhow::Result<()> {
        let waves = waves(self.inventory, &survey.plans, self.options.batch);
        if waves.is_empty() {
            return Ok(());
        }
        self.take_over(survey)?;
        self.stage_all(survey, &waves)?;
        let mut access = false;
        for wave in &waves {
            match wave {
                Wave::Together(hosts) => {
                    self.together(survey, hosts)?;
                    access = true;
                }
                Wave::Rolling(hosts) => {
                    if !access {
                        // New daemons may need new rights.
                        self.access(survey)?;
                        access = true;
                    }
                    self.ui
                        .phase(self.state, &format!("rolling: {}", hosts.join(", ")));
                    self.roll(survey, hosts)?;
                }
            }
        }
        Ok(())
    }

    /// Hosts that an earlier run left between switch and gate do not go back while this one is on its way to them.
    fn take_over(&self, survey: &Survey) -> anyhow::Result<()> {
        let left = |host: &Host| {
            let plan = survey.plans.get(&host.name);
            plan.is_some_and(|plan| plan.unconfirmed.is_some())
        };
        self.fleet
            .each_repeatable("taking over", left, |_, connection| Ok(guard::hold(connection)?))?;
        Ok(())
    }

    /// Recorded first: a number that was begun is never given again.
    fn number(&self, survey: &mut Survey) -> anyhow::Result<()> {
        for (host, plan) in &survey.plans {
            if let Some(number) = plan.generation {
                survey.record.generations.insert(host.clone(), number);
            }
        }
        self.state.save(&survey.record)
    }

    fn access(&self, survey: &Survey) -> anyhow::Result<()> {
        let api = any_api(self.fleet, self.inventory, &survey.secrets)?;
        addons::apply(&api, &addons::access(survey)?, self.ui)?;
        Ok(())
    }

    fn roll(&self, survey: &mut Survey, hosts: &[String]) -> anyhow::Result<()> {
        let shared = &*survey;
        let result = self.fleet.each(
            "rolling",
            |host| hosts.contains(&host.name),
            |host, connection| self.roll_one(shared, host, connection),
        );
        result?;
        Ok(())
    }

    /// Interrupts one host: switch, restart in order, gate; back when that fails.
    fn roll_one(&self, survey: &Survey, host: &Host, connection: &Connection) -> anyhow::Result<()> {
        self.state.check_lock()?;
        let plan = &survey.plans[&host.name];
        if !plan.starts(Stage::Etcd).is_empty() {
            others_hold_quorum(self.fleet, self.inventory, survey, host)?;
        }
        (self.options.before)(host)?;
        let guarded = match self.guarded(survey, host, connection) {
            Ok(guarded) => guarded,
            Err(error) => {
                (self.options.after)(host)?;
                return Err(error);
            }
        };
        let through = |connection: &Connection| {
            self.change(survey, host, connection)?;
            let units = survey.desired[&host.name].unit_names();
            self.gate(survey, host, &units, connection)?;
            confirmed(guarded, connection)
        };
        let mut again = None;
        let mut changed = through(connection);
        if let Err(lost) = &changed
            && is_lost(lost)
        {
            changed = match self.fleet.reconnect(host, "rolling", lost) {
                Ok(connection) => through(again.insert(connection)),
                Err(error) => return Err(error.context(self.left_alone(guarded))),
            };
        }
        match changed {
            Ok(()) => {
                self.switched(host, plan)?;
                (self.options.after)(host)
            }
            Err(error) if is_lost(&error) => Err(error.context(self.left_alone(guarded))),
            Err(error) => Err(self.back(survey, host, again.as_ref().unwrap_or(connection), error)),
        }
    }

    /// What becomes of a host that is out of reach between its switch and its gate.
    fn left_alone(&self, guarded: bool) -> String {
        match guarded {
            true => format!(
                "the host was not seen through its health gate: it goes back by itself within {} s, unless the command is \
                 run again before",
                self.inventory.release.confirm_within.as_secs()
            ),
            false => "the host was not seen through its health gate, and has no generation to go back to"
                .to_owned(),
        }
    }

    /// Prepares that the host goes back by itself, when there is something to go back to.
    fn guarded(&self, survey: &Survey, host: &Host, connection: &Connection) -> anyhow::Result<bool> {
        let way = Way::of(&survey.plans[&host.name], &survey.facts[&host.name]);
        if let Some(way) = way {
            self.arm(connection, way)?;
        }
        Ok(way.is_some())
    }

    fn arm(&self, connection: &Connection, way: Way) -> anyhow::Result<()> {
        let within = self.inventory.release.confirm_within;
        Ok(guard::arm(connection, way, within, &self.options.cause)?)
    }

    fn change(&self, survey: &Survey, host: &Host, connection: &Connection) -> anyhow::Result<()> {
        let (desired, plan) = (&survey.desired[&host.name], &survey.plans[&host.name]);
        self.ui.host(&host.name, "activate");
        apply::activate(
            connection,
            desired,
            plan,
            &survey.facts[&host.name],
            &self.options.cause,
        )?;
        for stage in Stage::ALL {
            if plan.starts(stage).is_empty() {
                continue;
            }
            self.ui.host(&host.name, "restart");
            apply::start(connection, plan, stage)?;
            match stage {
                Stage::Host => apply::import_images(connection, desired, plan)?,
                Stage::ApiServer => {
                    // One that ends again and again is noticed before its port is waited for.
                    let unit = ["kube-apiserver.service".to_owned()];
                    gate::local(self.inventory, host, &unit, connection)?;
                    connect(self.fleet, host, &survey.secrets)?.wait_ready(gate::deadline())?
                }
                _ => {}
            }
        }
        apply::import_images(connection, desired, plan)
    }

    fn switched(&self, host: &Host, plan: &HostPlan) -> anyhow::Result<()> {
        let Some(generation) = plan.generation else {
            return Ok(());
        };
        self.state.journal(Event::Generation {
            host: host.name.clone(),
            generation,
            cause: self.options.cause.clone(),
        })
    }

    /// Puts a host that failed back on the generation before; the error says what became of it.
    fn back(
        &self,
        survey: &Survey,
        host: &Host,
        connection: &Connection,
        error: anyhow::Error,
    ) -> anyhow::Error {
        let (facts, plan) = (&survey.facts[&host.name], &survey.plans[&host.name]);
        let target = match (plan.unconfirmed, plan.generation) {
            (Some(confirmed), _) => confirmed,
            (None, Some(_)) => facts.generation_number(),
            // The run before switched it already.
            (None, None) => {
                let kept = facts.kept_generations.iter().copied();
                kept.filter(|number| *number < facts.generation_number())
                    .max()
                    .unwrap_or_default()
            }
        };
        if target == 0 {
            return error.context("there is no generation to go back to");
        }
        self.ui.host(&host.name, "going back");
        let cause = format!("failed-{}", self.options.cause);
        let back = apply::go_back(connection, Some(target), &cause)
            .and_then(|back| {
                self.record_back(host, target, &cause)?;
                self.gate(survey, host, &back.units, connection)?;
                undone(connection)
            })
            .and_then(|()| (self.options.after)(host));
        match back {
            Ok(()) => error.context(format!(
                "the new generation failed; the host is back on generation {target} and healthy"
            )),
            Err(second) => error.context(format!(
                "the new generation failed, and going back to {target} as well ({second:#}): look at this host"
            )),
        }
    }

    fn gate(
        &self,
        survey: &Survey,
        host: &Host,
        units: &[String],
        connection: &Connection,
    ) -> anyhow::Result<()> {
        gate::host(self.fleet, self.inventory, survey, host, units, connection)
    }

    fn record_back(&self, host: &Host, generation: u64, cause: &str) -> anyhow::Result<()> {
        self.state.journal(Event::Generation {
            host: host.name.clone(),
            generation,
            cause: cause.to_owned(),
        })
    }

    /// An API server of this cluster that is ready.
    pub fn api(&self, survey: &Survey) -> anyhow::Result<Api> {
        any_api(self.fleet, self.inventory, &survey.secrets).context("no API server is ready")
    }
}

fn confirmed(guarded: bool, connection: &Connection) -> anyhow::Result<()> {
    if guarded {
        guard::disarm(connection)?;
    }
    Ok(())
}

/// The way back was gone by the operator; the host may have been faster.
fn undone(connection: &Connection) -> anyhow::Result<()> {
    match guard::disarm(connection) {
        Ok(()) | Err(SshError::Command { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
