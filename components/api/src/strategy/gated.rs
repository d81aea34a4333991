//! Fields of features that are off: a write drops them, unless the object has them already.
//!
//! The rules are upstream's "dropDisabledFields" (pkg/api/pod, pkg/api/persistentvolumeclaim, pkg/api/node and the strategies
//! in pkg/registry), as data. A registry's row keeps those whose feature is off, so that a write looks for these alone.
mod devices;
mod path;
mod pods;
mod special;
mod storage;
#[cfg(test)]
mod tests;
mod workloads;

use crate::features::{Feature, Features};
use path::Path;
use serde_json::Value;

/// What a rule's paths begin at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    /// The whole object of this kind.
    Kind(&'static str),
    /// The spec of a pod, wherever one is: in pods and in the templates of workloads.
    PodSpec,
    /// The spec of a job, in jobs and cron jobs.
    JobSpec,
    /// The spec of a ResourceClaim, in claims and in their templates.
    ClaimSpec,
}

impl Root {
    /// Where it is in objects of a kind.
    fn within(self, kind: &str) -> Option<&'static [&'static str]> {
        Some(match (self, kind) {
            (Self::Kind(own), _) if own == kind => &[],
            (Self::PodSpec, "Pod") | (Self::JobSpec, "Job") | (Self::ClaimSpec, "ResourceClaim") => &["spec"],
            (Self::PodSpec, "PodTemplate") => &["template", "spec"],
            (
                Self::PodSpec,
                "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "ReplicationController" | "Job",
            ) => &["spec", "template", "spec"],
            (Self::PodSpec, "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
            (Self::JobSpec, "CronJob") => &["spec", "jobTemplate", "spec"],
            (Self::ClaimSpec, "ResourceClaimTemplate") => &["spec", "spec"],
            _ => return None,
        })
    }
}

/// Where the spec of a pod is in objects of a kind.
pub(crate) fn pod_spec_path(kind: &str) -> Option<&'static [&'static str]> {
    Root::PodSpec.within(kind)
}

/// What goes.
#[derive(Clone, Copy, Debug)]
enum Drop {
    Fields(&'static [&'static str]),
    /// Tells whether it changed something.
    By(fn(&mut Value) -> bool),
}

/// When the existing object uses the feature already, so that everything stays.
#[derive(Clone, Copy, Debug)]
enum Used {
    /// It has one of the fields that would go.
    Same,
    /// It has one of these.
    Fields(&'static [&'static str]),
    By(fn(&Value) -> bool),
    /// The fields go whatever it has.
    Never,
}

/// The fields of a feature.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// All of these must be on for the fields to stay.
    features: &'static [Feature],
    root: Root,
    drop: Drop,
    used: Used,
}

impl Rule {
    const fn fields(features: &'static [Feature], root: Root, fields: &'static [&'static str]) -> Self {
        Self {
            features,
            root,
            drop: Drop::Fields(fields),
            used: Used::Same,
        }
    }

    const fn unless(self, used: Used) -> Self {
        Self { used, ..self }
    }
}

/// In upstream's order where one depends on another.
const RULES: &[&[Rule]] = &[pods::RULES, workloads::RULES, storage::RULES, devices::RULES];

/// A rule of a kind whose feature is off.
#[derive(Clone, Debug)]
struct Gate {
    root: &'static [&'static str],
    fields: Vec<Path>,
    used: Vec<Path>,
    rule: Rule,
}

/// What writes of a kind drop, some of its features being off.
#[derive(Clone, Debug, Default)]
pub struct Gates(Vec<Gate>);

impl Gates {
    /// The gates of a built-in kind.
    pub(crate) fn of(kind: &str, features: Features) -> Self {
        let rules = RULES.iter().copied().flatten();
        let off = rules.filter(|rule| rule.features.iter().any(|feature| !features.has(*feature)));
        let gates = off.filter_map(|rule| {
            let paths = |fields: &[&'static str]| fields.iter().map(|field| Path::parse(field)).collect();
            let fields = match rule.drop {
                Drop::Fields(fields) => fields,
                Drop::By(_) => &[],
            };
            let used = match rule.used {
                Used::Same => fields,
                Used::Fields(fields) => fields,
                Used::By(_) | Used::Never => &[],
            };
            Some(Gate {
                root: rule.root.within(kind)?,
                fields: paths(fields),
                used: paths(used),
                rule: *rule,
            })
        });
        Self(gates.collect())
    }

    /// Drops what is off from a new or changed object that has its defaults. Tells whether anything went.
    pub(super) fn apply(&self, old: Option<&Value>, new: &mut Value) -> bool {
        let mut gone = false;
        for gate in &self.0 {
            gone |= gate.apply(old, new);
        }
        gone
    }
}

impl Gate {
    fn apply(&self, old: Option<&Value>, new: &mut Value) -> bool {
        let Some(root) = self.root.iter().try_fold(new, |value, name| value.get_mut(*name)) else {
            return false;
        };
        let by_paths = matches!(self.rule.drop, Drop::Fields(_));
        if by_paths && !self.fields.iter().any(|field| field.is_in(root)) {
            return false;
        }
        if old.is_some_and(|old| self.is_used(crate::value::at(old, self.root))) {
            return false;
        }
        match self.rule.drop {
            Drop::By(drop) => drop(root),
            Drop::Fields(_) => {
                let mut gone = false;
                for field in &self.fields {
                    gone |= field.remove_from(root);
                }
                gone
            }
        }
    }

    fn is_used(&self, old: &Value) -> bool {
        match self.rule.used {
            Used::By(used) => used(old),
            _ => self.used.iter().any(|field| field.is_in(old)),
        }
    }
}
