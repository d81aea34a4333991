//! Rotation of authorities and keys as data: what each stage means for each subject, and what must be seen before
//! the next one. No I/O; [`run`] acts.

mod gates;
mod probes;
mod published;
mod rewrite;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use pki::Authority;
use serde::{Deserialize, Serialize};

pub use gates::describe;
pub use run::{Options, abort, rescue, rotate};

/// What can be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Every leaf, by the authority that it has.
    Leaves,
    KubernetesCa,
    EtcdCa,
    FrontProxyCa,
    ServiceAccountKey,
    EncryptionKey,
}

impl Subject {
    pub const ALL: [Subject; 6] = [
        Subject::Leaves,
        Subject::KubernetesCa,
        Subject::EtcdCa,
        Subject::FrontProxyCa,
        Subject::ServiceAccountKey,
        Subject::EncryptionKey,
    ];

    pub fn of(authority: Authority) -> Subject {
        match authority {
            Authority::Kubernetes => Subject::KubernetesCa,
            Authority::Etcd => Subject::EtcdCa,
            Authority::FrontProxy => Subject::FrontProxyCa,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Subject::Leaves => "leaves",
            Subject::KubernetesCa => "kubernetes-ca",
            Subject::EtcdCa => "etcd-ca",
            Subject::FrontProxyCa => "front-proxy-ca",
            Subject::ServiceAccountKey => "service-account-key",
            Subject::EncryptionKey => "encryption-key",
        }
    }

    fn is_authority(self) -> bool {
        matches!(
            self,
            Subject::KubernetesCa | Subject::EtcdCa | Subject::FrontProxyCa
        )
    }
}

/// How far a rotation is. Until `Drop` the old one still opens everything, so there is a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Old and new are trusted everywhere, the old one is used.
    Trust,
    /// Leaves come from the new authority, Secrets are written with the new key.
    Issue,
    /// Requests and tokens are signed with the new one; what the old one made is made again.
    Switch,
    /// The old one is trusted nowhere.
    Drop,
}

impl Stage {
    pub const ALL: [Stage; 4] = [Stage::Trust, Stage::Issue, Stage::Switch, Stage::Drop];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Trust => "trust",
            Stage::Issue => "issue",
            Stage::Switch => "switch",
            Stage::Drop => "drop",
        }
    }
}

/// A rotation that has begun; kept in the cluster's record until it has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub subjects: BTreeSet<Subject>,
    pub stage: Stage,
    /// On the way back.
    #[serde(default)]
    pub aborting: bool,
    /// The last step of the way back: nothing of the new one is in use, and it is trusted no longer.
    #[serde(default)]
    pub returned: bool,
    /// Seconds since 1970: leaves from before are issued anew when they are a subject.
    pub started: u64,
    /// Lifetime of the leaves that it issues, in seconds; the profile's when not given.
    #[serde(default)]
    pub lifetime: Option<u64>,
}

/// One of the two that exist during a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Old,
    New,
}

/// What the cluster holds of one authority or key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Accepted, in this order.
    pub trusted: &'static [Which],
    /// Issues leaves; encrypts.
    pub issues: Which,
    /// Signs certificate requests and tokens.
    pub signs: Which,
}

const STEADY: Holding = Holding {
    trusted: &[Which::Old],
    issues: Which::Old,
    signs: Which::Old,
};

/// What is held of `subject`; outside of its rotation there is the old one only.
pub fn holding(rotation: Option<&Rotation>, subject: Subject) -> Holding {
    use Which::{New, Old};
    let Some(rotation) =
        rotation.filter(|rotation| rotation.subjects.contains(&subject) && !rotation.returned)
    else {
        return STEADY;
    };
    let writes = subject == Subject::EncryptionKey;
    let (trusted, issues, signs): (&'static [Which], _, _) = match rotation.stage {
        Stage::Trust => (&[Old, New], Old, Old),
        // The first encryption key is the one that writes.
        Stage::Issue if writes => (&[New, Old], New, Old),
        Stage::Issue => (&[Old, New], New, Old),
        Stage::Switch => (&[New, Old], New, New),
        Stage::Drop => (&[New], New, New),
    };
    Holding {
        trusted,
        issues,
        signs,
    }
}

/// What has to be seen, live, before a stage counts as reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Each member answers, and all agree on a leader.
    EtcdHealthy,
    /// Each API server is ready and takes the administrator's present certificate.
    ApiServersReady,
    NodesReady,
    /// No process serves a certificate of an earlier leaf or authority.
    ServedCertificates,
    /// The bundle is in every namespace's ConfigMap and in every pod's volume.
    RootCaPublished,
    /// API servers tell other servers of the cluster to trust the bundle, and nothing else.
    AuthoritiesPublished,
    /// Every pod's token, and every token in a Secret, is signed with the present key.
    TokensRenewed,
    /// Everything encrypted in etcd is encrypted with the first key.
    SecretsRewritten,
    /// Clients that keep a token for a minute have read the new one.
    TokensSettled,
}

/// One stage of a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    pub stage: Stage,
    pub gates: Vec<Gate>,
}

/// The stages that the subjects need, in order; `from` is where an interrupted one goes on.
pub fn steps(subjects: &BTreeSet<Subject>, from: Option<Stage>) -> Vec<Step> {
    let stages: BTreeSet<Stage> = subjects
        .iter()
        .flat_map(|subject| stages(*subject))
        .copied()
        .collect();
    stages
        .into_iter()
        .filter(|stage| from.is_none_or(|from| *stage >= from))
        .map(|stage| Step {
            stage,
            gates: gates_of(subjects, stage),
        })
        .collect()
}

/// The way back from `stage`: each earlier stage again, nearest first. None when there is no way back.
pub fn steps_back(subjects: &BTreeSet<Subject>, stage: Stage) -> Option<Vec<Step>> {
    if stage == Stage::Drop || subjects.iter().all(|subject| *subject == Subject::Leaves) {
        return None;
    }
    // What the new one made must be made again by the old one while both are still trusted.
    Some(vec![Step {
        stage: Stage::Trust,
        gates: gates_of(subjects, Stage::Switch),
    }])
}

fn stages(subject: Subject) -> &'static [Stage] {
    match subject {
        Subject::Leaves => &[Stage::Issue],
        Subject::ServiceAccountKey => &[Stage::Trust, Stage::Switch, Stage::Drop],
        _ => &Stage::ALL,
    }
}

fn gates_of(subjects: &BTreeSet<Subject>, stage: Stage) -> Vec<Gate> {
    let has = |subject| subjects.contains(&subject);
    let mut gates = BTreeSet::from([Gate::EtcdHealthy, Gate::ApiServersReady, Gate::NodesReady]);
    if subjects
        .iter()
        .any(|subject| subject.is_authority() || *subject == Subject::Leaves)
    {
        gates.insert(Gate::ServedCertificates);
    }
    if has(Subject::KubernetesCa) {
        gates.insert(Gate::RootCaPublished);
    }
    if stage == Stage::Drop && (has(Subject::KubernetesCa) || has(Subject::FrontProxyCa)) {
        gates.insert(Gate::AuthoritiesPublished);
    }
    if stage == Stage::Switch && has(Subject::ServiceAccountKey) {
        gates.extend([Gate::TokensRenewed, Gate::TokensSettled]);
    }
    if stage == Stage::Switch && has(Subject::EncryptionKey) {
        gates.insert(Gate::SecretsRewritten);
    }
    gates.into_iter().collect()
}

/// What a command asks for, against what is under way.
pub fn begin(
    present: Option<&Rotation>,
    wanted: &BTreeSet<Subject>,
    now: u64,
    lifetime: Option<u64>,
) -> Result<Rotation, Refused> {
    match present {
        Some(present) if present.aborting => Err(Refused::Aborting),
        Some(present) if present.subjects == *wanted || wanted.is_empty() => Ok(present.clone()),
        Some(present) => Err(Refused::Other(names(&present.subjects))),
        None => {
            let subjects = if wanted.is_empty() {
                BTreeSet::from([Subject::Leaves])
            } else {
                wanted.clone()
            };
            let first = steps(&subjects, None);
            Ok(Rotation {
                stage: first.first().map_or(Stage::Issue, |step| step.stage),
                subjects,
                aborting: false,
                returned: false,
                started: now,
                lifetime,
            })
        }
    }
}

fn names(subjects: &BTreeSet<Subject>) -> String {
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
    names.join(", ")
}

/// Why a rotation cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("a rotation is on its way back; run hardway certs rotate --abort to finish that first")]
    Aborting,
    #[error(
        "a rotation of {0} is under way; finish it with hardway certs rotate, or go back with hardway certs rotate --abort"
    )]
    Other(String),
    #[error("no rotation is under way")]
    Nothing,
    #[error("it is too late to go back: the old one is being dropped; run hardway certs rotate to finish")]
    TooLate,
    #[error(
        "new leaves replace old ones of the same authority, there is nothing to go back to; run hardway certs rotate to finish"
    )]
    OnlyLeaves,
}

/// The rotation on its way back.
pub fn turn_back(present: Option<&Rotation>) -> Result<Rotation, Refused> {
    let present = present.ok_or(Refused::Nothing)?;
    if present.stage == Stage::Drop {
        return Err(Refused::TooLate);
    }
    if steps_back(&present.subjects, present.stage).is_none() {
        return Err(Refused::OnlyLeaves);
    }
    Ok(Rotation {
        stage: Stage::Trust,
        aborting: true,
        ..present.clone()
    })
}
