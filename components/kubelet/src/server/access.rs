//! Which permission a path needs: pure.

use daemon::delegation::{Action, verb};
use http::Method;

/// Permissions on the node, the narrower one first; any of them is enough.
pub(super) fn actions(node: &str, method: &Method, path: &str) -> Vec<Action> {
    let below = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    let narrow: Option<&str> = if below("/stats") {
        return vec![action(node, method, "stats")];
    } else if below("/metrics") {
        return vec![action(node, method, "metrics")];
    } else if below("/logs") {
        return vec![action(node, method, "log")];
    } else if below("/checkpoint") {
        return vec![action(node, method, "checkpoint")];
    } else if below("/healthz") {
        Some("healthz")
    } else if below("/configz") {
        Some("configz")
    } else if below("/pods") || below("/runningpods") {
        Some("pods")
    } else {
        None
    };
    narrow
        .into_iter()
        .chain(std::iter::once("proxy"))
        .map(|subresource| action(node, method, subresource))
        .collect()
}

fn action(node: &str, method: &Method, subresource: &str) -> Action {
    Action::Resource {
        group: String::new(),
        version: "v1".to_owned(),
        resource: "nodes".to_owned(),
        subresource: subresource.to_owned(),
        name: node.to_owned(),
        namespace: String::new(),
        verb: verb(method).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_needs_a_permission_on_the_node() {
        for (path, want) in [
            ("/metrics", vec!["metrics"]),
            ("/metrics/cadvisor", vec!["metrics"]),
            ("/stats/summary", vec!["stats"]),
            ("/logs/x", vec!["log"]),
            ("/healthz", vec!["healthz", "proxy"]),
            ("/pods", vec!["pods", "proxy"]),
            ("/exec/a/b/c", vec!["proxy"]),
            ("/containerLogs/a/b/c", vec!["proxy"]),
            ("/portForward/a/b", vec!["proxy"]),
            ("/metricsx", vec!["proxy"]),
            ("/", vec!["proxy"]),
        ] {
            let got: Vec<String> = actions("n", &Method::GET, path)
                .into_iter()
                .map(|action| match action {
                    Action::Resource {
                        subresource,
                        name,
                        resource,
                        ..
                    } => {
                        assert_eq!((name.as_str(), resource.as_str()), ("n", "nodes"));
                        subresource
                    }
                    Action::NonResource { .. } => String::new(),
                })
                .collect();
            assert_eq!(got, want, "{path}");
        }
    }
}
