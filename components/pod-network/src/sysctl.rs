//! Kernel settings without which pods cannot talk. The provisioner sets them; here they are checked.

use std::path::Path;

/// Setting, value that it needs, and what is broken without it.
const NEEDED: &[(&str, &str, &str)] = &[
    ("net/ipv4/ip_forward", "1", "packets of pods are not forwarded"),
    (
        "net/bridge/bridge-nf-call-iptables",
        "1",
        "pods of one node cannot reach each other through a Service; load the module br_netfilter",
    ),
];

/// What is wrong, a line each.
pub fn problems(root: &Path) -> Vec<String> {
    NEEDED
        .iter()
        .filter_map(|(name, needed, consequence)| {
            let key = name.replace('/', ".");
            match std::fs::read_to_string(root.join(name)) {
                Ok(value) if value.trim() == *needed => None,
                Ok(value) => Some(format!(
                    "{key} is {}, must be {needed}: {consequence}",
                    value.trim()
                )),
                Err(error) => Some(format!("{key} cannot be read ({error}): {consequence}")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_and_missing_settings_are_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("net/ipv4")).unwrap();
        std::fs::write(root.path().join("net/ipv4/ip_forward"), "0\n").unwrap();
        let found = problems(root.path());
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("net.ipv4.ip_forward is 0, must be 1"));
        assert!(found[1].starts_with("net.bridge.bridge-nf-call-iptables cannot be read"));
    }
}
