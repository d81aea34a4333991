//! The default range of service addresses, and what this server was told of it.

use crate::events::{self, Reporter};
use crate::server::Server;
use apimachinery::meta;
use serde_json::Value;

const REPORTER: Reporter = Reporter::Counting("kubernetes-service-cidr-controller");

/// Tells once that the default range isn't that of the flag: addresses are given from the one that is stored.
pub async fn compare(server: &Server, told: &mut bool) {
    if *told {
        return;
    }
    let Some(stored) = server
        .stores
        .cached("networking.k8s.io", "servicecidrs", "", "kubernetes")
    else {
        return;
    };
    let own = server.flags.service_cluster_ip_range.iter();
    let own: Vec<String> = own.map(|range| range.trunc().to_string()).collect();
    if let Some(message) = difference(&stored, &own) {
        *told = true;
        events::warn(
            server,
            REPORTER,
            &stored,
            "KubernetesDefaultServiceCIDRInconsistent",
            &message,
        )
        .await;
    }
}

/// In upstream's words. One that is being deleted is somebody else's concern, and one family may get a second.
fn difference(stored: &Value, own: &[String]) -> Option<String> {
    if meta::deletion_timestamp(stored).is_some() {
        return None;
    }
    let cidrs = stored["spec"]["cidrs"].as_array().into_iter().flatten();
    let cidrs: Vec<&str> = cidrs.filter_map(Value::as_str).collect();
    let grows = cidrs.len() == 1 && own.len() == 2 && cidrs[0] == own[0];
    if grows || cidrs == own {
        return None;
    }
    Some(format!(
        "The default ServiceCIDR [{}] does not match the controller flag configurations [{}]",
        cidrs.join(" "),
        own.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_range_is_told() {
        let stored = |cidrs: &[&str]| json!({"metadata": {}, "spec": {"cidrs": cidrs}});
        let own = |cidrs: &[&str]| cidrs.iter().map(|cidr| (*cidr).to_owned()).collect::<Vec<_>>();
        for (cidrs, flag, differs) in [
            (&["10.32.0.0/24"][..], &["10.32.0.0/24"][..], false),
            (&["10.32.0.0/24"], &["10.32.0.0/24", "fd00::/112"], false),
            (&["10.32.0.0/24"], &["10.96.0.0/24"], true),
            (&["10.32.0.0/24", "fd00::/112"], &["10.32.0.0/24"], true),
        ] {
            assert_eq!(
                difference(&stored(cidrs), &own(flag)).is_some(),
                differs,
                "{cidrs:?} {flag:?}"
            );
        }
        assert_eq!(
            difference(&stored(&["10.32.0.0/24"]), &own(&["10.96.0.0/24"])).unwrap(),
            "The default ServiceCIDR [10.32.0.0/24] does not match the controller flag configurations [10.96.0.0/24]"
        );
    }
}
