//! `/metrics/resource`: what metrics-server reads.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;

use super::{Rows, TEXT, each, family};
use crate::pod::members::PodView;
use crate::server::ServerState;
use crate::server::stats::collect::{GroupUse, containers, group_use, node_use};

pub(in crate::server) async fn resource(State(state): State<ServerState>) -> Response {
    let used = containers(&state).await;
    let failed = used.is_err();
    if let Err(error) = &used {
        tracing::warn!(%error, "the runtime cannot be asked for the containers' use");
    }
    let used = used.unwrap_or_default();
    let node = node_use(&state);
    let pods: Vec<(String, GroupUse)> = state
        .table
        .list()
        .iter()
        .filter_map(|pod| {
            let labels = format!("namespace={:?},pod={:?}", pod.namespace(), pod.name());
            Some((labels, group_use(&state, &state.context.cgroups.path(pod))?))
        })
        .collect();
    let of_pods = |of: fn(&GroupUse) -> Option<f64>| {
        pods.iter()
            .filter_map(|(labels, used)| Some((labels.clone(), of(used)?)))
            .collect::<Rows>()
    };
    let of_node = |value: Option<f64>| {
        value
            .map(|value| (String::new(), value))
            .into_iter()
            .collect::<Rows>()
    };
    let seconds = |nanoseconds: u64| nanoseconds as f64 / 1e9;
    let now = Some(Timestamp::now().as_millisecond());
    let rows: [(&str, &str, &str, Rows); 11] = [
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
            each(&used, |used| Some(used.cpu_nanoseconds() as f64 / 1e9)),
        ),
        (
            "container_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the container in bytes",
            each(&used, |used| Some(used.working_set() as f64)),
        ),
        (
            "container_start_time_seconds",
            "gauge",
            "[STABLE] Start time of the container since unix epoch in seconds",
            each(&used, |used| {
                used.started.map(|at| at.as_millisecond() as f64 / 1e3)
            }),
        ),
        (
            "container_swap_usage_bytes",
            "gauge",
            "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
            each(&used, |used| used.swap().map(|swap| swap as f64)),
        ),
        (
            "node_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
            of_node(Some(seconds(node.used.cpu_nanoseconds))),
        ),
        (
            "node_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the node in bytes",
            of_node(Some(node.used.working_set_bytes as f64)),
        ),
        (
            "node_swap_usage_bytes",
            "gauge",
            "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
            of_node(node.used.swap_bytes.map(|swap| swap as f64)),
        ),
        (
            "pod_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
            of_pods(|used| Some(used.used.cpu_nanoseconds as f64 / 1e9)),
        ),
        (
            "pod_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the pod in bytes",
            of_pods(|used| Some(used.used.working_set_bytes as f64)),
        ),
        (
            "pod_swap_usage_bytes",
            "gauge",
            "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
            of_pods(|used| used.used.swap_bytes.map(|swap| swap as f64)),
        ),
        (
            "resource_scrape_error",
            "gauge",
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
            of_node(Some(f64::from(u8::from(failed)))),
        ),
    ];
    let mut text = String::new();
    for (name, kind, help, rows) in rows {
        // A figure of the scrape itself has no time of its own.
        let at = now.filter(|_| name != "resource_scrape_error" && name != "container_start_time_seconds");
        family(&mut text, name, kind, help, at, rows);
    }
    (TEXT, text).into_response()
}
