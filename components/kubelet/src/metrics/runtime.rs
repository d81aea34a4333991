//! Calls to the container runtime, counted and timed on their way.

use std::task::{Context, Poll};
use std::time::Instant;

use futures::future::BoxFuture;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tonic::body::Body;
use tonic::transport::Channel;
use tower::Service;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation_type: &'static str,
}

/// Handles to the metrics; clones share them.
#[derive(Clone)]
pub struct RuntimeMetrics {
    total: Family<Operation, Counter>,
    errors: Family<Operation, Counter>,
    seconds: Family<Operation, Histogram, fn() -> Histogram>,
}

impl Default for RuntimeMetrics {
    fn default() -> Self {
        Self {
            total: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.005, 2.5, 14))),
        }
    }
}

impl RuntimeMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kubelet_runtime_operations",
            "Cumulative number of runtime operations by operation type",
            self.total.clone(),
        );
        registry.register(
            "kubelet_runtime_operations_errors",
            "Cumulative number of runtime operation errors by operation type",
            self.errors.clone(),
        );
        registry.register(
            "kubelet_runtime_operations_duration_seconds",
            "Duration in seconds of runtime operations, by operation type",
            self.seconds.clone(),
        );
    }
}

/// Upstream's name of a call, by the method in its path.
fn operation_of(path: &str) -> &'static str {
    match path.rsplit('/').next().unwrap_or_default() {
        "Version" => "version",
        "Status" => "status",
        "UpdateRuntimeConfig" => "update_runtime_config",
        "RunPodSandbox" => "run_podsandbox",
        "StopPodSandbox" => "stop_podsandbox",
        "RemovePodSandbox" => "remove_podsandbox",
        "PodSandboxStatus" => "podsandbox_status",
        "ListPodSandbox" => "list_podsandbox",
        "ListPodSandboxStats" => "list_podsandbox_stats",
        "CreateContainer" => "create_container",
        "StartContainer" => "start_container",
        "StopContainer" => "stop_container",
        "RemoveContainer" => "remove_container",
        "ListContainers" => "list_containers",
        "ListContainerStats" => "list_container_stats",
        "ContainerStatus" => "container_status",
        "UpdateContainerResources" => "update_container",
        "ReopenContainerLog" => "reopen_container_log",
        "ExecSync" => "exec_sync",
        "Exec" => "exec",
        "Attach" => "attach",
        "PortForward" => "port_forward",
        "GetContainerEvents" => "get_container_events",
        "ListImages" => "list_images",
        "ImageStatus" => "image_status",
        "PullImage" => "pull_image",
        "RemoveImage" => "remove_image",
        "ImageFsInfo" => "image_fs_info",
        _ => "other",
    }
}

/// A connection whose calls are counted.
#[derive(Clone)]
pub struct Measured {
    channel: Channel,
    metrics: RuntimeMetrics,
}

impl Measured {
    pub fn new(channel: Channel, metrics: RuntimeMetrics) -> Self {
        Self { channel, metrics }
    }
}

impl Service<http::Request<Body>> for Measured {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let operation = Operation {
            operation_type: operation_of(request.uri().path()),
        };
        let metrics = self.metrics.clone();
        let begun = Instant::now();
        let answer = self.channel.call(request);
        Box::pin(async move {
            let answer = answer.await;
            metrics.total.get_or_create(&operation).inc();
            metrics
                .seconds
                .get_or_create(&operation)
                .observe(begun.elapsed().as_secs_f64());
            // A call that fails has nothing but a status, which then is in the headers.
            let failed = answer.as_ref().map_or(true, |answer| {
                answer
                    .headers()
                    .get("grpc-status")
                    .is_some_and(|status| status != "0")
            });
            if failed {
                metrics.errors.get_or_create(&operation).inc();
            }
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_upstreams_names() {
        assert_eq!(
            operation_of("/runtime.v1.RuntimeService/RunPodSandbox"),
            "run_podsandbox"
        );
        assert_eq!(operation_of("/runtime.v1.ImageService/PullImage"), "pull_image");
        assert_eq!(operation_of("/runtime.v1.RuntimeService/New"), "other");
    }
}
