//! The runtime's event stream, so that nothing has to be polled.

use std::time::Duration;

use k8s_cri::v1 as cri;
use tokio_util::sync::CancellationToken;

use super::{Runtime, label};

const RECONNECT: Duration = Duration::from_secs(1);

impl Runtime {
    async fn events(&self) -> Result<tonic::Streaming<cri::ContainerEventResponse>, tonic::Status> {
        Ok(self
            .services
            .clone()
            .get_container_events(cri::GetEventsRequest {})
            .await?
            .into_inner())
    }
}

/// Calls `changed` with the UID of each pod whose sandbox or containers changed, and with None when events
/// may have been missed. Ends with the token.
pub async fn follow_events(runtime: Runtime, shutdown: CancellationToken, changed: impl Fn(Option<&str>)) {
    loop {
        let stream = tokio::select! {
            () = shutdown.cancelled() => return,
            stream = runtime.events() => stream,
        };
        match stream {
            Ok(mut stream) => {
                changed(None);
                loop {
                    let message = tokio::select! {
                        () = shutdown.cancelled() => return,
                        message = stream.message() => message,
                    };
                    match message {
                        Ok(Some(event)) => {
                            let labels = event
                                .pod_sandbox_status
                                .map(|status| status.labels)
                                .unwrap_or_default();
                            match labels.get(label::POD_UID) {
                                Some(uid) => changed(Some(uid)),
                                None => changed(None),
                            }
                        }
                        Ok(None) => break,
                        Err(status) => {
                            tracing::warn!(message = status.message(), "runtime events ended");
                            break;
                        }
                    }
                }
            }
            Err(status) => tracing::warn!(message = status.message(), "runtime events cannot be followed"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RECONNECT) => {}
        }
    }
}
