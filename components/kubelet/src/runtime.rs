//! The container runtime over CRI v1.

mod events;
mod labels;
mod observed;

use std::path::PathBuf;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use k8s_cri::v1 as cri;
use k8s_cri::v1::image_service_client::ImageServiceClient;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use tonic::transport::{Channel, Endpoint, Uri};

pub use events::follow_events;
pub use labels::{ContainerRecord, annotation, label};
pub(crate) use observed::run_state;
pub use observed::{Observed, ObservedContainer, ObservedSandbox, RunState};

use crate::metrics::{Measured, RuntimeMetrics};

/// Large enough for the list of all containers of a full node.
const MAX_MESSAGE: usize = 16 << 20;

/// A failed call to the runtime, in the words that upstream shows in events and statuses.
#[derive(Clone, Debug, thiserror::Error)]
#[error("rpc error: code = {code:?} desc = {message}")]
pub struct RuntimeError {
    pub code: tonic::Code,
    pub message: String,
}

impl From<tonic::Status> for RuntimeError {
    fn from(status: tonic::Status) -> Self {
        Self {
            code: status.code(),
            message: status.message().to_owned(),
        }
    }
}

impl RuntimeError {
    /// Whether what was asked about does not exist (any more).
    pub fn is_not_found(&self) -> bool {
        self.code == tonic::Code::NotFound
    }
}

type Result<T> = std::result::Result<T, RuntimeError>;

/// Handle to the runtime and image services; clones share the connection, which is made when first used
/// and made again when it breaks.
#[derive(Clone)]
pub struct Runtime {
    services: RuntimeServiceClient<Measured>,
    images: ImageServiceClient<Measured>,
    timeout: Duration,
}

/// An endpoint that is not a unix socket.
#[derive(Debug, thiserror::Error)]
#[error(
    "containerRuntimeEndpoint {0:?}: must be a unix socket, such as unix:///run/containerd/containerd.sock"
)]
pub struct EndpointError(String);

fn channel(endpoint: &str) -> std::result::Result<Channel, EndpointError> {
    let path = endpoint
        .strip_prefix("unix://")
        .or_else(|| endpoint.starts_with('/').then_some(endpoint));
    let path = PathBuf::from(path.ok_or_else(|| EndpointError(endpoint.to_owned()))?);
    // The URI is only a place holder: the connector knows the socket.
    let endpoint = Endpoint::from_static("http://runtime").connect_timeout(Duration::from_secs(5));
    Ok(
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(tokio::net::UnixStream::connect(path).await?)) }
        })),
    )
}

impl Runtime {
    /// `image_endpoint` is empty when one socket serves both. Must be called within a tokio runtime.
    pub fn new(
        endpoint: &str,
        image_endpoint: &str,
        timeout: Duration,
        metrics: &RuntimeMetrics,
    ) -> std::result::Result<Self, EndpointError> {
        let services = Measured::new(channel(endpoint)?, metrics.clone());
        let images = if image_endpoint.is_empty() {
            services.clone()
        } else {
            Measured::new(channel(image_endpoint)?, metrics.clone())
        };
        Ok(Self {
            services: RuntimeServiceClient::new(services).max_decoding_message_size(MAX_MESSAGE),
            images: ImageServiceClient::new(images).max_decoding_message_size(MAX_MESSAGE),
            timeout,
        })
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        self.request_within(message, self.timeout)
    }

    fn request_within<T>(&self, message: T, timeout: Duration) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(timeout);
        request
    }

    pub async fn version(&self) -> Result<cri::VersionResponse> {
        let request = self.request(cri::VersionRequest {
            version: "0.1.0".to_owned(),
        });
        Ok(self.services.clone().version(request).await?.into_inner())
    }

    pub async fn status(&self, verbose: bool) -> Result<cri::StatusResponse> {
        let request = self.request_within(cri::StatusRequest { verbose }, Duration::from_secs(10));
        Ok(self.services.clone().status(request).await?.into_inner())
    }

    /// The cgroup driver that the runtime wants, when it can say so (containerd from 2.0).
    pub async fn cgroup_driver(&self) -> Option<&'static str> {
        let response = self
            .services
            .clone()
            .runtime_config(self.request(cri::RuntimeConfigRequest {}))
            .await
            .ok()?
            .into_inner();
        let driver = response.linux?.cgroup_driver;
        Some(if driver == cri::CgroupDriver::Systemd as i32 {
            "systemd"
        } else {
            "cgroupfs"
        })
    }

    pub async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<()> {
        let network_config = Some(cri::NetworkConfig {
            pod_cidr: pod_cidr.to_owned(),
        });
        let message = cri::UpdateRuntimeConfigRequest {
            runtime_config: Some(cri::RuntimeConfig { network_config }),
        };
        self.services
            .clone()
            .update_runtime_config(self.request(message))
            .await?;
        Ok(())
    }

    /// Twice the usual time: sandboxes may wait for the network plugin.
    pub async fn run_sandbox(&self, config: cri::PodSandboxConfig, handler: &str) -> Result<String> {
        let message = cri::RunPodSandboxRequest {
            config: Some(config),
            runtime_handler: handler.to_owned(),
        };
        let request = self.request_within(message, self.timeout * 2);
        Ok(self
            .services
            .clone()
            .run_pod_sandbox(request)
            .await?
            .into_inner()
            .pod_sandbox_id)
    }

    pub async fn stop_sandbox(&self, id: &str) -> Result<()> {
        let request = self.request(cri::StopPodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        });
        self.services.clone().stop_pod_sandbox(request).await?;
        Ok(())
    }

    pub async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let request = self.request(cri::RemovePodSandboxRequest {
            pod_sandbox_id: id.to_owned(),
        });
        self.services.clone().remove_pod_sandbox(request).await?;
        Ok(())
    }

    pub async fn list_sandboxes(&self, pod_uid: Option<&str>) -> Result<Vec<cri::PodSandbox>> {
        let filter = pod_uid.map(|uid| cri::PodSandboxFilter {
            label_selector: labels::of_pod(uid),
            ..Default::default()
        });
        let request = self.request(cri::ListPodSandboxRequest { filter });
        Ok(self
            .services
            .clone()
            .list_pod_sandbox(request)
            .await?
            .into_inner()
            .items)
    }

    pub async fn sandbox_status(&self, id: &str, verbose: bool) -> Result<cri::PodSandboxStatusResponse> {
        let request = self.request(cri::PodSandboxStatusRequest {
            pod_sandbox_id: id.to_owned(),
            verbose,
        });
        Ok(self
            .services
            .clone()
            .pod_sandbox_status(request)
            .await?
            .into_inner())
    }

    pub async fn list_containers(&self, pod_uid: Option<&str>) -> Result<Vec<cri::Container>> {
        let filter = pod_uid.map(|uid| cri::ContainerFilter {
            label_selector: labels::of_pod(uid),
            ..Default::default()
        });
        let request = self.request(cri::ListContainersRequest { filter });
        Ok(self
            .services
            .clone()
            .list_containers(request)
            .await?
            .into_inner()
            .containers)
    }

    pub async fn container_status(&self, id: &str) -> Result<cri::ContainerStatus> {
        let request = self.request(cri::ContainerStatusRequest {
            container_id: id.to_owned(),
            verbose: false,
        });
        let status = self
            .services
            .clone()
            .container_status(request)
            .await?
            .into_inner()
            .status;
        status.ok_or_else(|| RuntimeError {
            code: tonic::Code::Internal,
            message: "container status is missing".to_owned(),
        })
    }

    pub async fn create_container(
        &self,
        sandbox: &str,
        config: cri::ContainerConfig,
        sandbox_config: cri::PodSandboxConfig,
    ) -> Result<String> {
        let message = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        Ok(self
            .services
            .clone()
            .create_container(self.request(message))
            .await?
            .into_inner()
            .container_id)
    }

    pub async fn start_container(&self, id: &str) -> Result<()> {
        let request = self.request(cri::StartContainerRequest {
            container_id: id.to_owned(),
        });
        self.services.clone().start_container(request).await?;
        Ok(())
    }

    /// Sends the stop signal and, after `grace` seconds, kills. Returns when the container has stopped.
    pub async fn stop_container(&self, id: &str, grace: u64) -> Result<()> {
        let message = cri::StopContainerRequest {
            container_id: id.to_owned(),
            timeout: i64::try_from(grace).unwrap_or(i64::MAX),
        };
        let request = self.request_within(message, self.timeout + Duration::from_secs(grace));
        self.services.clone().stop_container(request).await?;
        Ok(())
    }

    pub async fn remove_container(&self, id: &str) -> Result<()> {
        let request = self.request(cri::RemoveContainerRequest {
            container_id: id.to_owned(),
        });
        self.services.clone().remove_container(request).await?;
        Ok(())
    }

    pub async fn reopen_log(&self, id: &str) -> Result<()> {
        let request = self.request(cri::ReopenContainerLogRequest {
            container_id: id.to_owned(),
        });
        self.services.clone().reopen_container_log(request).await?;
        Ok(())
    }

    /// Runs a command to its end; `timeout` zero means without limit.
    pub async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<cri::ExecSyncResponse> {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let message = cri::ExecSyncRequest {
            container_id: id.to_owned(),
            cmd: command,
            timeout: seconds,
        };
        let request = if timeout.is_zero() {
            tonic::Request::new(message)
        } else {
            self.request_within(message, timeout + self.timeout)
        };
        Ok(self.services.clone().exec_sync(request).await?.into_inner())
    }

    pub async fn exec(&self, message: cri::ExecRequest) -> Result<String> {
        Ok(self
            .services
            .clone()
            .exec(self.request(message))
            .await?
            .into_inner()
            .url)
    }

    pub async fn attach(&self, message: cri::AttachRequest) -> Result<String> {
        Ok(self
            .services
            .clone()
            .attach(self.request(message))
            .await?
            .into_inner()
            .url)
    }

    pub async fn port_forward(&self, sandbox: &str, port: Vec<i32>) -> Result<String> {
        let message = cri::PortForwardRequest {
            pod_sandbox_id: sandbox.to_owned(),
            port,
        };
        Ok(self
            .services
            .clone()
            .port_forward(self.request(message))
            .await?
            .into_inner()
            .url)
    }

    pub async fn update_resources(&self, id: &str, resources: cri::LinuxContainerResources) -> Result<()> {
        let message = cri::UpdateContainerResourcesRequest {
            container_id: id.to_owned(),
            linux: Some(resources),
            ..Default::default()
        };
        self.services
            .clone()
            .update_container_resources(self.request(message))
            .await?;
        Ok(())
    }

    pub async fn container_stats(&self) -> Result<Vec<cri::ContainerStats>> {
        let request = self.request(cri::ListContainerStatsRequest { filter: None });
        Ok(self
            .services
            .clone()
            .list_container_stats(request)
            .await?
            .into_inner()
            .stats)
    }

    pub async fn sandbox_stats(&self) -> Result<Vec<cri::PodSandboxStats>> {
        let request = self.request(cri::ListPodSandboxStatsRequest { filter: None });
        Ok(self
            .services
            .clone()
            .list_pod_sandbox_stats(request)
            .await?
            .into_inner()
            .stats)
    }

    pub async fn list_images(&self) -> Result<Vec<cri::Image>> {
        let request = self.request(cri::ListImagesRequest { filter: None });
        Ok(self
            .images
            .clone()
            .list_images(request)
            .await?
            .into_inner()
            .images)
    }

    pub async fn image_status(&self, image: &str) -> Result<Option<cri::Image>> {
        let message = cri::ImageStatusRequest {
            image: Some(image_spec(image)),
            verbose: false,
        };
        Ok(self
            .images
            .clone()
            .image_status(self.request(message))
            .await?
            .into_inner()
            .image)
    }

    /// Pulls without a time limit: the runtime gives up when no progress is made.
    pub async fn pull_image(
        &self,
        image: &str,
        auth: Option<cri::AuthConfig>,
        sandbox_config: cri::PodSandboxConfig,
    ) -> Result<String> {
        let message = cri::PullImageRequest {
            image: Some(image_spec(image)),
            auth,
            sandbox_config: Some(sandbox_config),
        };
        Ok(self
            .images
            .clone()
            .pull_image(tonic::Request::new(message))
            .await?
            .into_inner()
            .image_ref)
    }

    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let message = cri::RemoveImageRequest {
            image: Some(image_spec(image)),
        };
        self.images.clone().remove_image(self.request(message)).await?;
        Ok(())
    }

    pub async fn image_file_systems(&self) -> Result<cri::ImageFsInfoResponse> {
        Ok(self
            .images
            .clone()
            .image_fs_info(self.request(cri::ImageFsInfoRequest {}))
            .await?
            .into_inner())
    }
}

fn image_spec(image: &str) -> cri::ImageSpec {
    cri::ImageSpec {
        image: image.to_owned(),
        ..Default::default()
    }
}
