//! `/stats/summary` and the metrics.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::Timestamp;
use k8s_cri::v1 as cri;
use serde_json::{Value, json};

use super::{ServerState, refuse};
use crate::pod::members::PodView;
use crate::runtime::{ContainerRecord, RuntimeError};

const TEXT: [(header::HeaderName, &str); 1] = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

fn value(number: &Option<cri::UInt64Value>) -> Option<u64> {
    number.as_ref().map(|number| number.value)
}

/// One container's use.
struct Used {
    record: ContainerRecord,
    cpu_nanoseconds: u64,
    working_set: u64,
    stats: cri::ContainerStats,
}

async fn containers(state: &ServerState) -> Result<Vec<Used>, RuntimeError> {
    let stats = state.context.runtime.container_stats().await?;
    Ok(stats
        .into_iter()
        .filter_map(|stats| {
            let attributes = stats.attributes.clone()?;
            let record = ContainerRecord::read(&attributes.labels, &attributes.annotations);
            state.table.contains(&record.pod_uid).then(|| Used {
                record,
                cpu_nanoseconds: stats.cpu.as_ref().and_then(|cpu| value(&cpu.usage_core_nano_seconds)).unwrap_or(0),
                working_set: stats.memory.as_ref().and_then(|memory| value(&memory.working_set_bytes)).unwrap_or(0),
                stats,
            })
        })
        .collect())
}

/// Use of a whole pod, from its cgroup; nothing when it has none (yet).
fn pod_use(state: &ServerState, uid: &str) -> Option<host::cgroups::Used> {
    let pod = state.table.list().into_iter().find(|pod| pod.uid() == uid)?;
    let cgroups = &state.context.cgroups;
    cgroups.cgroups().used(&cgroups.path(&pod)).ok()
}

fn node_use(state: &ServerState) -> host::cgroups::Used {
    state.context.cgroups.cgroups().used("/").unwrap_or_default()
}

pub(super) async fn summary(State(state): State<ServerState>) -> Response {
    let used = match containers(&state).await {
        Ok(used) => used,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let pods: Vec<Value> = state
        .table
        .list()
        .iter()
        .map(|pod| {
            let own: Vec<&Used> = used.iter().filter(|used| used.record.pod_uid == pod.uid()).collect();
            let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0.to_string());
            let mut entry = json!({
                "podRef": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
                "startTime": start,
                "containers": own.iter().map(|used| container_summary(used, &now)).collect::<Vec<_>>(),
            });
            if let Some(total) = pod_use(&state, pod.uid()) {
                entry["cpu"] = json!({"time": now, "usageCoreNanoSeconds": total.cpu_nanoseconds});
                entry["memory"] = json!({
                    "time": now,
                    "usageBytes": total.memory_bytes,
                    "workingSetBytes": total.working_set_bytes,
                    "rssBytes": total.rss_bytes,
                });
            }
            entry
        })
        .collect();
    let node = node_use(&state);
    let disk = host::file_systems::usage(&state.context.volumes.root).unwrap_or_default();
    let fs = json!({
        "time": now,
        "availableBytes": disk.available,
        "capacityBytes": disk.capacity,
        "usedBytes": disk.capacity.saturating_sub(disk.available),
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.inodes_free),
    });
    let summary = json!({
        "node": {
            "nodeName": state.node_name,
            "startTime": now,
            "cpu": {"time": now, "usageCoreNanoSeconds": node.cpu_nanoseconds},
            "memory": {
                "time": now,
                "usageBytes": node.memory_bytes,
                "workingSetBytes": node.working_set_bytes,
                "rssBytes": node.rss_bytes,
                "availableBytes": u64::try_from(state.context.settings.memory_capacity).unwrap_or(0).saturating_sub(node.working_set_bytes),
            },
            "fs": fs,
        },
        "pods": pods,
    });
    ([(header::CONTENT_TYPE, "application/json")], summary.to_string()).into_response()
}

fn container_summary(used: &Used, now: &str) -> Value {
    let memory = used.stats.memory.clone().unwrap_or_default();
    let cpu = used.stats.cpu.clone().unwrap_or_default();
    json!({
        "name": used.record.name,
        "startTime": now,
        "cpu": {"time": now, "usageCoreNanoSeconds": used.cpu_nanoseconds, "usageNanoCores": value(&cpu.usage_nano_cores)},
        "memory": {
            "time": now,
            "workingSetBytes": used.working_set,
            "usageBytes": value(&memory.usage_bytes),
            "rssBytes": value(&memory.rss_bytes),
            "pageFaults": value(&memory.page_faults),
            "majorPageFaults": value(&memory.major_page_faults),
        },
        "rootfs": {"time": now, "usedBytes": used.stats.writable_layer.as_ref().and_then(|layer| value(&layer.used_bytes))},
    })
}

pub(super) async fn own_metrics(State(state): State<ServerState>) -> Response {
    match state.metrics.encode() {
        Ok(mut text) => {
            if let Some(end) = text.rfind("# EOF") {
                text.truncate(end);
            }
            let _ = writeln!(text, "# HELP kubelet_node_name [ALPHA] The node's name. The count is always 1.\n# TYPE kubelet_node_name gauge");
            let _ = writeln!(text, "kubelet_node_name{{node={:?}}} 1", state.node_name);
            let _ = writeln!(text, "# HELP kubelet_desired_pods [ALPHA] The number of pods the kubelet is being instructed to run.\n# TYPE kubelet_desired_pods gauge");
            let _ = writeln!(text, "kubelet_desired_pods {}", state.table.list().len());
            (TEXT, text).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

fn labels(record: &ContainerRecord) -> String {
    format!("container={:?},namespace={:?},pod={:?}", record.name, record.pod_namespace, record.pod_name)
}

pub(super) async fn cadvisor(State(state): State<ServerState>) -> Response {
    let used = match containers(&state).await {
        Ok(used) => used,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let mut text = String::new();
    let _ = writeln!(text, "# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.\n# TYPE container_cpu_usage_seconds_total counter");
    for used in &used {
        let _ = writeln!(text, "container_cpu_usage_seconds_total{{{}}} {}", labels(&used.record), used.cpu_nanoseconds as f64 / 1e9);
    }
    let _ = writeln!(text, "# HELP container_memory_working_set_bytes Current working set in bytes.\n# TYPE container_memory_working_set_bytes gauge");
    for used in &used {
        let _ = writeln!(text, "container_memory_working_set_bytes{{{}}} {}", labels(&used.record), used.working_set);
    }
    (TEXT, text).into_response()
}

/// What metrics-server reads.
pub(super) async fn resource(State(state): State<ServerState>) -> Response {
    let used = match containers(&state).await {
        Ok(used) => used,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let node = node_use(&state);
    let now = Timestamp::now().as_millisecond();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, rows: Vec<(String, f64)>| {
        let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        for (labels, value) in rows {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _ = writeln!(text, "{name}{labels} {value} {now}");
        }
    };
    let each = |of: fn(&Used) -> f64| used.iter().map(|used| (labels(&used.record), of(used))).collect::<Vec<_>>();
    let pods: Vec<_> = state
        .table
        .list()
        .iter()
        .filter_map(|pod| Some((format!("namespace={:?},pod={:?}", pod.namespace(), pod.name()), pod_use(&state, pod.uid())?)))
        .collect();
    let of_pods = |of: fn(&host::cgroups::Used) -> f64| pods.iter().map(|(labels, used)| (labels.clone(), of(used))).collect::<Vec<_>>();
    family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the container in core-seconds", each(|used| used.cpu_nanoseconds as f64 / 1e9));
    family("container_memory_working_set_bytes", "gauge", "Current working set of the container in bytes", each(|used| used.working_set as f64));
    family("node_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the node in core-seconds", vec![(String::new(), node.cpu_nanoseconds as f64 / 1e9)]);
    family("node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes", vec![(String::new(), node.working_set_bytes as f64)]);
    family("pod_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed by the pod in core-seconds", of_pods(|used| used.cpu_nanoseconds as f64 / 1e9));
    family("pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes", of_pods(|used| used.working_set_bytes as f64));
    family("resource_scrape_error", "gauge", "1 if there was an error while getting container metrics, 0 otherwise", vec![(String::new(), 0.0)]);
    (TEXT, text).into_response()
}

/// Probe results are not counted.
pub(super) async fn probes() -> Response {
    (TEXT, String::new()).into_response()
}
