//! The pages of metrics: the kubelet's own, those of containers, and those that metrics-server reads.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::Timestamp;

use super::collect::{ContainerUse, GroupUse, containers, group_use, node_use};
use crate::pod::members::PodView;
use crate::runtime::ContainerRecord;
use crate::server::{ServerState, refuse};

const TEXT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

pub(in crate::server) async fn own_metrics(State(state): State<ServerState>) -> Response {
    match state.metrics.encode() {
        Ok(mut text) => {
            if let Some(end) = text.rfind("# EOF") {
                text.truncate(end);
            }
            let _ = writeln!(
                text,
                "# HELP kubelet_node_name [ALPHA] The node's name. The count is always 1.\n# TYPE kubelet_node_name gauge"
            );
            let _ = writeln!(text, "kubelet_node_name{{node={:?}}} 1", state.node_name);
            let _ = writeln!(
                text,
                "# HELP kubelet_desired_pods [ALPHA] The number of pods the kubelet is being instructed to run.\n# TYPE kubelet_desired_pods gauge"
            );
            let _ = writeln!(text, "kubelet_desired_pods {}", state.table.list().len());
            (TEXT, text).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn labels(record: &ContainerRecord) -> String {
    format!(
        "container={:?},namespace={:?},pod={:?}",
        record.name, record.pod_namespace, record.pod_name
    )
}

/// Rows of one metric: labels, which may be empty, and values.
type Rows = Vec<(String, f64)>;

/// A metric's lines; with a time stamp (milliseconds) where the values are as old as that.
fn family(text: &mut String, name: &str, kind: &str, help: &str, at: Option<i64>, rows: Rows) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    let at = at.map(|at| format!(" {at}")).unwrap_or_default();
    for (labels, value) in rows {
        let labels = if labels.is_empty() {
            labels
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(text, "{name}{labels} {value}{at}");
    }
}

fn each(used: &[ContainerUse], of: impl Fn(&ContainerUse) -> Option<f64>) -> Rows {
    used.iter()
        .filter_map(|used| Some((labels(&used.record), of(used)?)))
        .collect()
}

pub(in crate::server) async fn cadvisor(State(state): State<ServerState>) -> Response {
    let used = match containers(&state).await {
        Ok(used) => used,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let mut text = String::new();
    let memory = |of: fn(&k8s_cri::v1::MemoryUsage) -> &Option<k8s_cri::v1::UInt64Value>| {
        each(&used, |used| {
            used.stats
                .memory
                .as_ref()
                .and_then(|memory| super::collect::value(of(memory)))
                .map(|value| value as f64)
        })
    };
    let cpu = each(&used, |used| Some(used.cpu_nanoseconds() as f64 / 1e9));
    family(
        &mut text,
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        None,
        cpu,
    );
    family(
        &mut text,
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        None,
        memory(|memory| &memory.working_set_bytes),
    );
    family(
        &mut text,
        "container_memory_usage_bytes",
        "gauge",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        None,
        memory(|memory| &memory.usage_bytes),
    );
    family(
        &mut text,
        "container_memory_rss",
        "gauge",
        "Size of RSS in bytes.",
        None,
        memory(|memory| &memory.rss_bytes),
    );
    let started = each(&used, |used| used.started.map(|at| at.as_second() as f64));
    family(
        &mut text,
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
        None,
        started,
    );
    (TEXT, text).into_response()
}

/// What metrics-server reads.
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

/// Probe results are not counted.
pub(in crate::server) async fn probes() -> Response {
    (TEXT, String::new()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_and_rows() {
        let mut text = String::new();
        family(
            &mut text,
            "a",
            "gauge",
            "About a.",
            Some(5),
            vec![(String::new(), 1.5), ("x=\"y\"".to_owned(), 2.0)],
        );
        assert_eq!(
            text,
            "# HELP a About a.\n# TYPE a gauge\na 1.5 5\na{x=\"y\"} 2 5\n"
        );
    }
}
