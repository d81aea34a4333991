//! `/metrics` and `/metrics/probes`: what the kubelet does itself.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use k8s_cri::v1 as cri;

use super::{Rows, TEXT, family};
use crate::server::{ServerState, refuse};

pub(in crate::server) async fn own_metrics(State(state): State<ServerState>) -> Response {
    let metrics = &state.context.metrics;
    let mut text = match metrics.page.encode() {
        Ok(text) => without_end(text),
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let plain = |value: f64| vec![(String::new(), value)];
    let labelled = |label: &str, value: &str, count: f64| (format!("{label}={value:?}"), count);
    let desired = plain(state.table.list().len() as f64);
    let runtime = &state.context.runtime;
    let (mut pods, mut containers) = (Rows::new(), Rows::new());
    match tokio::try_join!(runtime.list_sandboxes(None), runtime.list_containers(None)) {
        Ok((sandboxes, listed)) => {
            let mut ready: Vec<&str> = sandboxes
                .iter()
                .filter(|sandbox| sandbox.state() == cri::PodSandboxState::SandboxReady)
                .filter_map(|sandbox| Some(sandbox.metadata.as_ref()?.uid.as_str()))
                .collect();
            ready.sort_unstable();
            ready.dedup();
            pods = plain(ready.len() as f64);
            let mut by_state = BTreeMap::<&str, usize>::new();
            for container in &listed {
                let state = match container.state() {
                    cri::ContainerState::ContainerCreated => "created",
                    cri::ContainerState::ContainerRunning => "running",
                    cri::ContainerState::ContainerExited => "exited",
                    cri::ContainerState::ContainerUnknown => "unknown",
                };
                *by_state.entry(state).or_default() += 1;
            }
            let rows = by_state.into_iter();
            containers = rows
                .map(|(state, count)| labelled("container_state", state, count as f64))
                .collect();
        }
        // A page without these two is better than none.
        Err(error) => tracing::warn!(%error, "the runtime cannot be asked for pods and containers"),
    }
    let evictions = metrics.evictions().into_iter();
    let evictions = evictions
        .map(|(signal, count)| labelled("eviction_signal", signal, count as f64))
        .collect();
    let families: [(&str, &str, &str, Rows); 5] = [
        (
            "kubelet_node_name",
            "gauge",
            "[ALPHA] The node's name. The count is always 1.",
            vec![labelled("node", &state.node_name, 1.0)],
        ),
        (
            "kubelet_desired_pods",
            "gauge",
            "[ALPHA] The number of pods the kubelet is being instructed to run.",
            desired,
        ),
        (
            "kubelet_running_pods",
            "gauge",
            "[ALPHA] Number of pods that have a running pod sandbox",
            pods,
        ),
        (
            "kubelet_running_containers",
            "gauge",
            "[ALPHA] Number of containers currently running",
            containers,
        ),
        (
            "kubelet_evictions",
            "counter",
            "[ALPHA] Cumulative number of pod evictions by eviction signal",
            evictions,
        ),
    ];
    for (name, kind, help, rows) in families {
        family(&mut text, name, kind, help, None, rows);
    }
    (TEXT, text).into_response()
}

/// More may follow in the older of the two formats.
fn without_end(mut text: String) -> String {
    if let Some(end) = text.rfind("# EOF") {
        text.truncate(end);
    }
    text
}

pub(in crate::server) async fn probes(State(state): State<ServerState>) -> Response {
    match state.context.metrics.probes.encode() {
        Ok(text) => (TEXT, text).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}
