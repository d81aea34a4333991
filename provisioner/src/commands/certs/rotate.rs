use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::{Context, Outcome};
use crate::commands::end_on_interrupt;
use crate::rotation::{self, Options, Rotation, Subject};
use crate::state::LONGEST_LIFETIME;

/// Replace leaves, authorities and keys while the cluster serves.
///
/// Without a choice: every leaf, or what an interrupted rotation has left to do. Authorities and keys go through
/// stages: both are trusted, the new one issues, the new one signs, the old one is dropped. Each stage waits until
/// live probes have seen it.
#[derive(clap::Args)]
pub struct Arguments {
    /// An authority; may be repeated.
    #[arg(long, value_enum)]
    ca: Vec<Ca>,
    /// The key that signs service-account tokens.
    #[arg(long)]
    service_account_key: bool,
    /// The key that encrypts Secrets in etcd.
    #[arg(long)]
    encryption_key: bool,
    /// All authorities and keys, at once.
    #[arg(long)]
    all: bool,
    /// Go back to what was before the rotation that is under way.
    #[arg(long, conflicts_with_all = ["ca", "service_account_key", "encryption_key", "all", "rescue", "lifetime"])]
    abort: bool,
    /// Everything has expired and the API is dead: bring the cluster back over SSH alone.
    #[arg(long, conflicts_with_all = ["ca", "service_account_key", "encryption_key", "all", "lifetime"])]
    rescue: bool,
    /// Lifetime of new leaves, in seconds; a year when not given.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(30..=LONGEST_LIFETIME))]
    lifetime: Option<u64>,
    /// How long clients in pods may keep a token before they read its file again.
    #[arg(long, value_name = "SECONDS", default_value_t = 75)]
    settle: u64,
    /// Show the stages and what each waits for; change nothing.
    #[arg(long, conflicts_with_all = ["abort", "rescue"])]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Ca {
    Kubernetes,
    Etcd,
    FrontProxy,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        if self.dry_run {
            return self.show(context);
        }
        let state = context.open("certs rotate")?;
        end_on_interrupt()?;
        let settle = Duration::from_secs(self.settle);
        if self.rescue {
            rotation::rescue(&inventory, &state, &context.ui)?;
        } else if self.abort {
            rotation::abort(&inventory, &state, &context.ui, settle)?;
        } else {
            let options = Options {
                subjects: self.subjects(),
                lifetime: self.lifetime.map(Duration::from_secs),
                settle,
            };
            rotation::rotate(&inventory, &state, &context.ui, &options)?;
        }
        Ok(Outcome::Done)
    }

    fn subjects(&self) -> BTreeSet<Subject> {
        let mut subjects: BTreeSet<Subject> = self
            .ca
            .iter()
            .map(|ca| match ca {
                Ca::Kubernetes => Subject::KubernetesCa,
                Ca::Etcd => Subject::EtcdCa,
                Ca::FrontProxy => Subject::FrontProxyCa,
            })
            .collect();
        if self.service_account_key || self.all {
            subjects.insert(Subject::ServiceAccountKey);
        }
        if self.encryption_key || self.all {
            subjects.insert(Subject::EncryptionKey);
        }
        if self.all {
            subjects.extend([Subject::KubernetesCa, Subject::EtcdCa, Subject::FrontProxyCa]);
        }
        subjects
    }

    fn show(&self, context: &Context) -> anyhow::Result<Outcome> {
        let record = context.peek().record()?;
        let rotation: Rotation = rotation::begin(record.rotation.as_ref(), &self.subjects(), 0, None)?;
        let from = record.rotation.as_ref().map(|rotation| rotation.stage);
        let steps = rotation::steps(&rotation.subjects, from);
        let mut text = String::new();
        for step in &steps {
            let gates: Vec<&str> = step.gates.iter().map(|gate| rotation::describe(*gate)).collect();
            text.push_str(&format!(
                "{:<8} then wait until: {}\n",
                step.stage.name(),
                gates.join(", ")
            ));
        }
        context.answer(&json!({ "subjects": rotation.subjects, "steps": steps }), &text);
        Ok(Outcome::Done)
    }
}
