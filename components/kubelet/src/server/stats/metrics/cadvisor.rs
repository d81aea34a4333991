//! `/metrics/cadvisor`: what containers use.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use k8s_cri::v1 as cri;

use super::{TEXT, each, family};
use crate::server::stats::collect::{containers, value};
use crate::server::{ServerState, refuse};

pub(in crate::server) async fn cadvisor(State(state): State<ServerState>) -> Response {
    let used = match containers(&state).await {
        Ok(used) => used,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let mut text = String::new();
    let memory = |of: fn(&cri::MemoryUsage) -> &Option<cri::UInt64Value>| {
        each(&used, |used| {
            used.stats
                .memory
                .as_ref()
                .and_then(|memory| value(of(memory)))
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
    network(&state, &mut text).await;
    let machine = state.machine;
    for (name, help, value) in [
        (
            "machine_cpu_cores",
            "Number of logical CPU cores.",
            machine.cpus as f64,
        ),
        (
            "machine_memory_bytes",
            "Amount of memory installed on the machine.",
            machine.memory as f64,
        ),
    ] {
        family(&mut text, name, "gauge", help, None, vec![(String::new(), value)]);
    }
    (TEXT, text).into_response()
}

/// What pods have sent and received, by interface.
async fn network(state: &ServerState, text: &mut String) {
    let sandboxes = match state.context.runtime.sandbox_stats().await {
        Ok(sandboxes) => sandboxes,
        Err(error) => return tracing::warn!(%error, "the runtime cannot be asked for the pods' traffic"),
    };
    let mut interfaces = Vec::new();
    for sandbox in &sandboxes {
        let known = sandbox
            .attributes
            .as_ref()
            .and_then(|attributes| attributes.metadata.as_ref())
            .filter(|metadata| state.table.contains(&metadata.uid));
        let used = sandbox.linux.as_ref().and_then(|linux| linux.network.as_ref());
        let (Some(metadata), Some(used)) = (known, used) else {
            continue;
        };
        for interface in used.default_interface.iter().chain(&used.interfaces) {
            let labels = format!(
                "interface={:?},namespace={:?},pod={:?}",
                interface.name, metadata.namespace, metadata.name
            );
            interfaces.push((labels, interface));
        }
    }
    let mut add =
        |name: &str, help: &str, of: fn(&cri::NetworkInterfaceUsage) -> &Option<cri::UInt64Value>| {
            let rows = interfaces
                .iter()
                .filter_map(|(labels, interface)| Some((labels.clone(), value(of(interface))? as f64)));
            family(text, name, "counter", help, None, rows.collect());
        };
    add(
        "container_network_receive_bytes_total",
        "Cumulative count of bytes received",
        |used| &used.rx_bytes,
    );
    add(
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |used| &used.rx_errors,
    );
    add(
        "container_network_transmit_bytes_total",
        "Cumulative count of bytes transmitted",
        |used| &used.tx_bytes,
    );
    add(
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |used| &used.tx_errors,
    );
}
