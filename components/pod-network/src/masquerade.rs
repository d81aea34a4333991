//! Pods talk to the world under their node's address.

use std::fmt::Write;

use host::command::{CommandError, run};
use ipnet::IpNet;

const TABLE: &str = "hardway-pod-network";

/// The nftables script that makes the rules be exactly the given ones, for both families.
pub fn script(pod_cidrs: &[IpNet], cluster_cidrs: &[IpNet]) -> String {
    let mut text = String::new();
    for (family, multicast) in [("ip", "224.0.0.0/4"), ("ip6", "ff00::/8")] {
        let of_family = |range: &&IpNet| matches!(range, IpNet::V4(_)) == (family == "ip");
        // Deleting needs it to exist. All of it is one transaction, so there is no gap.
        let _ = writeln!(text, "add table {family} {TABLE}\ndelete table {family} {TABLE}");
        let inside = cluster_cidrs
            .iter()
            .filter(of_family)
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let pods = pod_cidrs.iter().filter(of_family).collect::<Vec<_>>();
        if pods.is_empty() {
            continue;
        }
        let inside = [inside.as_slice(), &[multicast.to_owned()]].concat().join(", ");
        let _ = writeln!(
            text,
            "add table {family} {TABLE}\n\
             add chain {family} {TABLE} postrouting {{ type nat hook postrouting priority srcnat; policy accept; }}"
        );
        for range in pods {
            let _ = writeln!(
                text,
                "add rule {family} {TABLE} postrouting {family} saddr {range} {family} daddr != {{ {inside} }} masquerade fully-random"
            );
        }
    }
    text
}

/// What `nft` lists of our tables, to see whether somebody changed them. Empty where there is none.
pub async fn present() -> Result<String, CommandError> {
    let mut text = String::new();
    for family in ["ip", "ip6"] {
        // Not the whole ruleset: kube-proxy's part can have ten thousands of elements.
        match run("nft", &["-s", "list", "table", family, TABLE], Vec::new()).await {
            Ok(listed) => text.push_str(&String::from_utf8_lossy(&listed)),
            Err(CommandError::Failed { stderr, .. }) if stderr.contains("No such file or directory") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(text)
}

/// Applies a script.
pub async fn apply(script: &str) -> Result<(), CommandError> {
    run("nft", &["-f", "-"], script.as_bytes().to_vec())
        .await
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_the_cluster_is_masqueraded() {
        let text = script(
            &["10.244.1.0/24".parse().unwrap()],
            &["10.244.0.0/16".parse().unwrap()],
        );
        assert!(text.contains(
            "ip saddr 10.244.1.0/24 ip daddr != { 10.244.0.0/16, 224.0.0.0/4 } masquerade fully-random"
        ));
        assert!(!text.contains("add rule ip6"));
        assert!(text.contains("delete table ip6 hardway-pod-network"));
    }
}
