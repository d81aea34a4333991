//! Admission's metrics under upstream's names.

mod passes;

use super::attributes::Operation;
use super::plugins::Plugin;
use crate::metrics::summary::{QUANTILES, Summary};
use crate::metrics::timed::Durations;
use daemon::metrics::PlainCounter;
use passes::{Passes, Told};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use storage::metrics::AtomicHistogram;

/// Whether objects may be changed, or only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Admit,
    Validate,
}

impl Phase {
    const COUNT: usize = 2;

    pub fn name(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Validate => "validate",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    operation: &'static str,
    rejected: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    name: &'static str,
    operation: &'static str,
    rejected: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NamedLabels {
    name: String,
    operation: &'static str,
    rejected: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    name: String,
    operation: &'static str,
    rejected: &'static str,
    code: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectionLabels {
    name: String,
    operation: &'static str,
    error_type: &'static str,
    rejection_code: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpenLabels {
    name: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    name: String,
    kind: &'static str,
    operation: &'static str,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyLabels {
    policy: String,
    policy_binding: String,
    error_type: &'static str,
    enforcement_action: &'static str,
}

/// Ways in which a plugin lets requests pass.
const PASSES: usize = Operation::COUNT * Phase::COUNT;
const STEP_BUCKETS: [f64; 6] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const CONDITION_BUCKETS: [f64; 7] = [0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25];
const WEBHOOK_BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
const POLICY_BUCKETS: [f64; 7] = [0.000_000_5, 0.001, 0.01, 0.1, 1.0, 5.0, 10.0];

/// What is counted and timed.
pub struct AdmissionMetrics {
    steps: Family<StepLabels, Histogram>,
    /// The same as quantiles, by whether it was refused.
    summaries: [[[Summary; 2]; Phase::COUNT]; Operation::COUNT],
    begun: Instant,
    plugins: Durations<PluginLabels>,
    pub passes: Arc<Passes>,
    /// Those of plugins that let a request pass, by plugin, phase and operation, once there was one: each write asks for
    /// a dozen.
    passed: Box<[OnceLock<AtomicHistogram>]>,
    webhooks: Family<NamedLabels, Histogram>,
    requests: Family<RequestLabels, Counter>,
    // Upstream's counters without `_total` at the end of their names.
    rejections: Family<RejectionLabels, PlainCounter>,
    opened: Family<OpenLabels, PlainCounter>,
    exclusions: Family<ConditionLabels, Counter>,
    condition_errors: Family<ConditionLabels, Counter>,
    condition_times: Durations<ConditionLabels>,
    validating_checks: Family<PolicyLabels, Counter>,
    validating_durations: Family<PolicyLabels, Histogram>,
    mutating_checks: Family<PolicyLabels, Counter>,
    mutating_durations: Family<PolicyLabels, Histogram>,
}

fn histogram<L: Clone + Eq + std::hash::Hash>(buckets: fn() -> Histogram) -> Family<L, Histogram> {
    Family::new_with_constructor(buckets)
}

impl AdmissionMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let steps = || Histogram::new(STEP_BUCKETS);
        let webhooks = || Histogram::new(WEBHOOK_BUCKETS);
        let policies = || Histogram::new(POLICY_BUCKETS);
        let plugins: Durations<PluginLabels> =
            Family::new_with_constructor(|| AtomicHistogram::new(&STEP_BUCKETS));
        let passes = Arc::new(Passes::new(plugins.clone()));
        registry.register_collector(Box::new(Told(Arc::clone(&passes))));
        let metrics = Self {
            steps: histogram(steps),
            summaries: Default::default(),
            begun: Instant::now(),
            plugins,
            passes,
            passed: (0..Plugin::COUNT * PASSES).map(|_| OnceLock::new()).collect(),
            webhooks: histogram(webhooks),
            requests: Family::default(),
            rejections: Family::default(),
            opened: Family::default(),
            exclusions: Family::default(),
            condition_errors: Family::default(),
            condition_times: Family::new_with_constructor(|| AtomicHistogram::new(&CONDITION_BUCKETS)),
            validating_checks: Family::default(),
            validating_durations: histogram(policies),
            mutating_checks: Family::default(),
            mutating_durations: histogram(policies),
        };
        let under = registry.sub_registry_with_prefix("apiserver");
        under.register(
            "admission_step_admission_duration_seconds",
            "Time that all plugins together took, by step",
            metrics.steps.clone(),
        );
        under.register(
            "admission_webhook_admission_duration_seconds",
            "Time that a webhook took",
            metrics.webhooks.clone(),
        );
        under.register(
            "admission_webhook_request",
            "Requests to webhooks",
            metrics.requests.clone(),
        );
        under.register(
            "admission_webhook_rejection_count",
            "Refusals because of webhooks",
            metrics.rejections.clone(),
        );
        under.register(
            "admission_webhook_fail_open_count",
            "Webhooks that could not be asked and were ignored",
            metrics.opened.clone(),
        );
        under.register(
            "admission_match_condition_exclusions",
            "Webhooks and policies left out by their match conditions",
            metrics.exclusions.clone(),
        );
        under.register(
            "admission_match_condition_evaluation_errors",
            "Match conditions that could not be evaluated",
            metrics.condition_errors.clone(),
        );
        under.register(
            "admission_match_condition_evaluation_seconds",
            "Time that the match conditions of a webhook or policy took",
            metrics.condition_times.clone(),
        );
        for (name, checks, durations) in [
            (
                "validating_admission_policy",
                &metrics.validating_checks,
                &metrics.validating_durations,
            ),
            (
                "mutating_admission_policy",
                &metrics.mutating_checks,
                &metrics.mutating_durations,
            ),
        ] {
            under.register(format!("{name}_check"), "Evaluations of policies", checks.clone());
            under.register(
                format!("{name}_check_duration_seconds"),
                "Time of evaluations of policies",
                durations.clone(),
            );
        }
        metrics
    }

    /// All plugins have run.
    pub fn step(&self, phase: Phase, operation: Operation, rejected: bool, elapsed: Duration) {
        let labels = StepLabels {
            operation: operation.name(),
            rejected: word(rejected),
            r#type: phase.name(),
        };
        self.steps.get_or_create(&labels).observe(elapsed.as_secs_f64());
        self.summaries[operation as usize][phase as usize][usize::from(rejected)]
            .observe(elapsed, self.begun.elapsed());
    }

    /// Writes the quantiles of steps, for which the registry has no form.
    pub fn write_summaries(&self, text: &mut String) -> std::fmt::Result {
        const NAME: &str = "apiserver_admission_step_admission_duration_seconds_summary";
        writeln!(
            text,
            "# HELP {NAME} Quantiles of the time that all plugins together took, by step\n# TYPE {NAME} summary"
        )?;
        let now = self.begun.elapsed();
        for operation in Operation::ALL {
            for phase in [Phase::Admit, Phase::Validate] {
                for rejected in [false, true] {
                    let all = &self.summaries[operation as usize][phase as usize];
                    let Some(told) = all[usize::from(rejected)].tell(now) else {
                        continue;
                    };
                    let (operation, rejected, kind) = (operation.name(), word(rejected), phase.name());
                    let labels = format!("operation=\"{operation}\",rejected=\"{rejected}\",type=\"{kind}\"");
                    for (quantile, value) in QUANTILES.iter().zip(told.quantiles) {
                        writeln!(text, "{NAME}{{{labels},quantile=\"{quantile}\"}} {value}")?;
                    }
                    writeln!(text, "{NAME}_sum{{{labels}}} {}", told.sum)?;
                    writeln!(text, "{NAME}_count{{{labels}}} {}", told.count)?;
                }
            }
        }
        Ok(())
    }

    /// One plugin has run.
    pub fn plugin(
        &self,
        plugin: Plugin,
        phase: Phase,
        operation: Operation,
        rejected: bool,
        elapsed: Duration,
    ) {
        let durations = || {
            self.plugins.get_or_create_owned(&PluginLabels {
                name: plugin.name(),
                operation: operation.name(),
                rejected: word(rejected),
                r#type: phase.name(),
            })
        };
        let seconds = elapsed.as_secs_f64();
        if rejected {
            durations().observe(seconds);
        } else {
            let pass = operation as usize * Phase::COUNT + phase as usize;
            let known = &self.passed[plugin as usize * PASSES + pass];
            known.get_or_init(durations).observe(seconds);
        }
    }

    /// A webhook was called. `code` is that of its refusal or failure, 200 if it let the request pass.
    pub fn webhook(
        &self,
        name: &str,
        phase: Phase,
        operation: Operation,
        rejected: bool,
        code: u16,
        elapsed: Duration,
    ) {
        let labels = NamedLabels {
            name: name.to_owned(),
            operation: operation.name(),
            rejected: word(rejected),
            r#type: phase.name(),
        };
        self.webhooks
            .get_or_create(&labels)
            .observe(elapsed.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels {
                name: labels.name,
                operation: labels.operation,
                rejected: labels.rejected,
                code: code.to_string(),
                r#type: labels.r#type,
            })
            .inc();
    }

    /// A request was refused because of a webhook.
    pub fn rejection(
        &self,
        name: &str,
        phase: Phase,
        operation: Operation,
        error_type: &'static str,
        code: u16,
    ) {
        // Other codes don't belong into a label.
        let code = if code > 600 { 600 } else { code };
        self.rejections
            .get_or_create(&RejectionLabels {
                name: name.to_owned(),
                operation: operation.name(),
                error_type,
                rejection_code: code.to_string(),
                r#type: phase.name(),
            })
            .inc();
    }

    /// A webhook could not be asked and was ignored.
    pub fn failed_open(&self, name: &str, phase: Phase) {
        self.opened
            .get_or_create(&OpenLabels {
                name: name.to_owned(),
                r#type: phase.name(),
            })
            .inc();
    }

    /// A policy was evaluated.
    pub fn policy(
        &self,
        phase: Phase,
        policy: &str,
        binding: &str,
        outcome: PolicyOutcome,
        elapsed: Duration,
    ) {
        let labels = PolicyLabels {
            policy: policy.to_owned(),
            policy_binding: binding.to_owned(),
            error_type: outcome.error_type,
            enforcement_action: outcome.action,
        };
        let (checks, durations) = match phase {
            Phase::Admit => (&self.mutating_checks, &self.mutating_durations),
            Phase::Validate => (&self.validating_checks, &self.validating_durations),
        };
        checks.get_or_create(&labels).inc();
        durations.get_or_create(&labels).observe(elapsed.as_secs_f64());
    }
}

/// What came of evaluating a policy.
#[derive(Clone, Copy, Debug)]
pub struct PolicyOutcome {
    /// `no_error`, `compile_error`, `invalid_error` (evaluation).
    pub error_type: &'static str,
    /// `allow`, `deny`, `warn`, `audit`.
    pub action: &'static str,
}

fn word(rejected: bool) -> &'static str {
    if rejected { "true" } else { "false" }
}

/// Whose match conditions are evaluated, for their counts.
#[derive(Clone, Copy)]
pub struct Noted<'a> {
    pub metrics: &'a AdmissionMetrics,
    pub name: &'a str,
    /// `webhook` or `policy`.
    pub kind: &'static str,
    pub phase: Phase,
    pub operation: Operation,
}

impl Noted<'_> {
    fn labels(&self) -> ConditionLabels {
        ConditionLabels {
            name: self.name.to_owned(),
            kind: self.kind,
            operation: self.operation.name(),
            r#type: self.phase.name(),
        }
    }

    /// A match condition was false.
    pub fn excluded(&self) {
        self.metrics.exclusions.get_or_create(&self.labels()).inc();
    }

    /// A match condition could not be evaluated.
    pub fn failed(&self) {
        self.metrics.condition_errors.get_or_create(&self.labels()).inc();
    }
}

/// The times of one webhook's or policy's match conditions, found once for each operation.
#[derive(Debug, Default)]
pub struct ConditionTimes([OnceLock<AtomicHistogram>; Operation::COUNT]);

impl ConditionTimes {
    /// All conditions were evaluated.
    pub fn observe(&self, noted: &Noted<'_>, elapsed: Duration) {
        let find = || noted.metrics.condition_times.get_or_create_owned(&noted.labels());
        let histogram = self.0[noted.operation as usize].get_or_init(find);
        histogram.observe(elapsed.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_as_quantiles() {
        let metrics = AdmissionMetrics::register(&mut Registry::default());
        let mut text = String::new();
        metrics.write_summaries(&mut text).unwrap();
        assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
        metrics.step(
            Phase::Validate,
            Operation::Update,
            true,
            Duration::from_millis(250),
        );
        text.clear();
        metrics.write_summaries(&mut text).unwrap();
        let name = "apiserver_admission_step_admission_duration_seconds_summary";
        let labels = "operation=\"UPDATE\",rejected=\"true\",type=\"validate\"";
        for line in [
            format!("# TYPE {name} summary"),
            format!("{name}_sum{{{labels}}} 0.25"),
            format!("{name}_count{{{labels}}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        for quantile in ["0.5", "0.9", "0.99"] {
            let start = format!("{name}{{{labels},quantile=\"{quantile}\"}} 0.2");
            assert!(
                text.lines().any(|found| found.starts_with(&start)),
                "{start} in\n{text}"
            );
        }
    }
}
