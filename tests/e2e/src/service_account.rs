//! A prober that is a pod as far as the API server can tell: it holds a service account's token, and takes a new one
//! every quarter of a minute.

use crate::prober::BALANCER;
use crate::{Prober, Refresher, Report, TestLab};

/// What a pod may do that reads and writes ConfigMaps.
const SETUP: &[&[&str]] = &[
    &["create", "serviceaccount", "prober"],
    &[
        "create",
        "role",
        "prober",
        "--verb=get,list,create,patch",
        "--resource=configmaps",
    ],
    &[
        "create",
        "rolebinding",
        "prober",
        "--role=prober",
        "--serviceaccount=default:prober",
    ],
];

/// Ends with its owner.
pub struct PodProber {
    prober: Prober,
    _refresher: Refresher,
}

impl TestLab {
    /// The administrator's kubeconfig must be kept fresh meanwhile, see [`TestLab::refresher`].
    pub fn pod_prober(&self, host: &str) -> PodProber {
        for arguments in SETUP {
            self.kubectl(arguments).ok();
        }
        let path = self.scratch.path().join("pod.kubeconfig");
        let script = format!(
            "set -e; new='{path}.new'; token=$(kubectl create token prober); cp \"$KUBECONFIG\" \"$new\"; \
             kubectl --kubeconfig \"$new\" config set-credentials pod --token=\"$token\"; \
             kubectl --kubeconfig \"$new\" config set-context --current --user=pod; mv \"$new\" '{path}'",
            path = path.display()
        );
        let command = |script: &str| {
            let mut command = self.command("sh");
            command
                .env("KUBECONFIG", self.kubeconfig())
                .env("HOME", self.scratch.path())
                .args(["-c", script]);
            command
        };
        crate::run(&mut command(&script), None).ok();
        PodProber {
            prober: Prober::start(&self.namespace(host), path, BALANCER),
            _refresher: Refresher::start(command(&format!("{script}; sleep 13"))),
        }
    }
}

impl PodProber {
    pub fn finish(self) -> Report {
        self.prober.finish()
    }
}
