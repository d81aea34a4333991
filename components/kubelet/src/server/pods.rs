//! `/pods` and `/runningpods`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::json;

use super::{ServerState, refuse};
use crate::pod::members::PodView;
use crate::runtime::{ContainerRecord, RunState};

pub(super) async fn list(State(state): State<ServerState>) -> Response {
    let pods: Vec<Pod> = state
        .table
        .list()
        .iter()
        .map(|pod| {
            let mut pod = (**pod).clone();
            // Newer than what the API server may have.
            if let Some(status) = state.context.status.get(pod.uid()) {
                pod.status = Some(status);
            }
            pod
        })
        .collect();
    answer(&pods)
}

pub(super) async fn running(State(state): State<ServerState>) -> Response {
    let containers = match state.context.runtime.list_containers(None).await {
        Ok(containers) => containers,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let mut pods: BTreeMap<String, Pod> = BTreeMap::new();
    for container in containers
        .into_iter()
        .filter(|container| RunState::Running == crate::runtime::run_state(container.state))
    {
        let record = ContainerRecord::read(&container.labels, &container.annotations);
        let pod = pods.entry(record.pod_uid.clone()).or_insert_with(|| {
            let mut pod = Pod {
                spec: Some(PodSpec::default()),
                ..Pod::default()
            };
            pod.metadata.name = Some(record.pod_name.clone());
            pod.metadata.namespace = Some(record.pod_namespace.clone());
            pod.metadata.uid = Some(record.pod_uid.clone());
            pod
        });
        if let Some(spec) = &mut pod.spec {
            let image = container.image.map(|image| image.image);
            spec.containers.push(Container {
                name: record.name,
                image,
                ..Container::default()
            });
        }
    }
    answer(&pods.into_values().collect::<Vec<_>>())
}

fn answer(pods: &[Pod]) -> Response {
    let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
    ([(header::CONTENT_TYPE, "application/json")], list.to_string()).into_response()
}
