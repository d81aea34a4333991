//! Releases that differ from the built one in nothing but their hashes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::TestLab;

/// What runs on hosts.
const PROGRAMS: &[&str] = &[
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "pod-network",
    "api-balancer",
    "cluster-dns",
    "pause",
];

impl TestLab {
    /// The release again: each program has some bytes more behind its end. With `hardway`, which bundles carry too.
    pub fn other_release(&self, name: &str) -> PathBuf {
        let folder = self.scratch.path().join(name);
        std::fs::create_dir(&folder).expect("made");
        for program in PROGRAMS.iter().chain(&["hardway"]) {
            let mut content = std::fs::read(crate::binaries().join(program)).expect("read");
            content.extend(name.as_bytes());
            let path = folder.join(program);
            std::fs::write(&path, content).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        }
        folder
    }
}
