use std::collections::BTreeMap;

use serde::Serialize;

use super::Version;

/// The cluster as it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// By host.
    pub servers: BTreeMap<String, Version>,
    /// By node.
    pub kubelets: BTreeMap<String, Version>,
    /// By member.
    pub etcd: BTreeMap<String, Version>,
    /// Requests for APIs that are going away, seen since the API servers started.
    pub deprecated: Vec<Deprecated>,
    pub nodes_not_ready: Vec<String>,
}

/// An API that somebody still uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deprecated {
    /// For example `flowcontrol.apiserver.k8s.io/v1beta3 flowschemas`.
    pub api: String,
    /// Minor release that no longer has it.
    pub removed_in: Option<(u32, u32)>,
}

/// The release that the cluster is to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Kubernetes version of each program that tells it.
    pub programs: BTreeMap<String, Version>,
    /// None when the hosts' package stays.
    pub etcd: Option<Version>,
    /// (program, flag) that a unit gives and the program refuses.
    pub refused: Vec<(String, String)>,
}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem(pub String);

/// Older kubelets are supported by an API server for this many minors.
const KUBELET_SKEW: i64 = 3;
/// From this on a member of 3.5 can be followed by one of 3.6: older ones can bring removed members back.
const SAFE_ETCD_35: Version = Version {
    major: 3,
    minor: 5,
    patch: 26,
};

/// Everything that speaks against the upgrade; nothing was touched so far.
pub fn check(now: &Situation, target: &Target) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |text: String| problems.push(Problem(text));
    let Some(kubernetes) = target.programs.get("kubelet").copied() else {
        report("the new kubelet does not tell its version".to_owned());
        return problems;
    };
    for (program, version) in &target.programs {
        if version.minors_ahead(kubernetes) != Some(0) {
            report(format!(
                "the release is mixed: {program} is {version}, kubelet is {kubernetes}"
            ));
        }
    }
    for (host, version) in &now.servers {
        match kubernetes.minors_ahead(*version) {
            Some(0 | 1) => {}
            Some(ahead) if ahead < 0 => report(format!(
                "{host}: the API server is {version}, newer than {kubernetes}: a minor cannot be taken back over \
                 the same etcd; restore a snapshot instead"
            )),
            _ => report(format!(
                "{host}: the API server is {version}; go to {kubernetes} one minor at a time"
            )),
        }
    }
    for (node, version) in &now.kubelets {
        if kubernetes
            .minors_ahead(*version)
            .is_none_or(|ahead| ahead > KUBELET_SKEW)
        {
            report(format!(
                "{node}: the kubelet is {version}, more than {KUBELET_SKEW} minors behind {kubernetes}; upgrade it first"
            ));
        }
    }
    for used in &now.deprecated {
        if used
            .removed_in
            .is_some_and(|(major, minor)| (major, minor) <= (kubernetes.major, kubernetes.minor))
        {
            report(format!(
                "{} is still asked for and is gone in {kubernetes}; move its clients to a newer version first",
                used.api
            ));
        }
    }
    for (program, flag) in &target.refused {
        report(format!(
            "{program} of the new release refuses {flag}, which its unit gives"
        ));
    }
    for node in &now.nodes_not_ready {
        report(format!("{node} is not ready; bring it up, or take it out, first"));
    }
    etcd(now, target, &mut report);
    problems
}

fn etcd(now: &Situation, target: &Target, report: &mut dyn FnMut(String)) {
    let Some(next) = target.etcd else { return };
    for (member, version) in &now.etcd {
        match next.minors_ahead(*version) {
            Some(0) => {}
            Some(1) if (version.major, version.minor) == (3, 5) && *version < SAFE_ETCD_35 => {
                report(format!(
                    "{member}: etcd is {version}; bring every member to {SAFE_ETCD_35} or newer before {next}: older ones \
                 can bring removed members back"
                ))
            }
            Some(1) => {}
            Some(ahead) if ahead < 0 => report(format!(
                "{member}: etcd is {version} and cannot go back to {next}"
            )),
            _ => report(format!(
                "{member}: etcd is {version}; go to {next} one minor at a time"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, Version> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), version(text)))
            .collect()
    }

    fn situation() -> Situation {
        Situation {
            servers: named(&[("cp-1", "1.36.2")]),
            kubelets: named(&[("cp-1", "1.36.2"), ("w-1", "1.35.0")]),
            etcd: named(&[("cp-1", "3.5.16")]),
            ..Situation::default()
        }
    }

    fn target() -> Target {
        Target {
            programs: named(&[("kubelet", "1.37.0"), ("kube-apiserver", "1.37.0")]),
            etcd: None,
            refused: Vec::new(),
        }
    }

    #[test]
    fn what_speaks_against_an_upgrade_is_named() {
        assert_eq!(check(&situation(), &target()), []);
        type Case = (&'static str, fn(&mut Situation, &mut Target));
        let table: &[Case] = &[
            ("one minor at a time", |_, target| {
                target.programs = named(&[("kubelet", "1.38.0")])
            }),
            ("cannot be taken back", |_, target| {
                target.programs = named(&[("kubelet", "1.35.0")])
            }),
            ("mixed", |_, target| {
                target
                    .programs
                    .extend([("kube-proxy".to_owned(), version("1.36.0"))])
            }),
            ("more than 3 minors", |now, _| {
                now.kubelets.extend([("w-1".to_owned(), version("1.33.9"))])
            }),
            ("gone in 1.37.0", |now, _| {
                now.deprecated = vec![Deprecated {
                    api: "x/v1beta1 things".to_owned(),
                    removed_in: Some((1, 37)),
                }];
            }),
            ("refuses --gone", |_, target| {
                target.refused = vec![("kubelet".to_owned(), "--gone".to_owned())];
            }),
            ("not ready", |now, _| now.nodes_not_ready = vec!["w-1".to_owned()]),
            ("bring every member to 3.5.26", |_, target| {
                target.etcd = Some(version("3.6.0"))
            }),
            ("cannot go back", |_, target| target.etcd = Some(version("3.4.0"))),
            ("does not tell its version", |_, target| target.programs.clear()),
        ];
        for (expected, change) in table {
            let (mut now, mut target) = (situation(), target());
            change(&mut now, &mut target);
            let found = check(&now, &target);
            assert_eq!(found.len(), 1, "{expected}: {found:?}");
            assert!(found[0].0.contains(expected), "{expected}: {found:?}");
        }
    }

    #[test]
    fn what_is_only_announced_is_no_problem() {
        let mut now = situation();
        now.deprecated = vec![
            Deprecated {
                api: "x/v1beta1 things".to_owned(),
                removed_in: Some((1, 38)),
            },
            Deprecated {
                api: "y/v1 others".to_owned(),
                removed_in: None,
            },
        ];
        now.etcd = named(&[("cp-1", "3.5.26")]);
        let mut target = target();
        target.etcd = Some(version("3.6.1"));
        assert_eq!(check(&now, &target), []);
    }
}
