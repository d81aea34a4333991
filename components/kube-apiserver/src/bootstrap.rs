//! What a cluster needs before anybody can use it, made and kept right at start.

pub mod authentication;
mod config_map;
pub mod identity_lease;
pub mod kubernetes_service;
pub mod objects;
pub mod server_lease;
mod service_range;
pub mod token_tracking;

use crate::server::Server;
use std::sync::Arc;
use std::time::Duration;

/// Steps of the start, as health checks name them.
pub const STEPS: [&str; 4] = [
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "poststarthook/priority-and-fairness-config-producer",
    "poststarthook/start-system-namespaces-controller",
];

/// Done when the stored flow-control objects are in use.
pub const FLOW_CONTROL_STEP: &str = "poststarthook/priority-and-fairness-config-consumer";

const RETRY: Duration = Duration::from_secs(1);

/// Makes everything, trying until it is there.
pub async fn run(server: Arc<Server>) {
    loop {
        let made = async {
            objects::reconcile(&server).await?;
            authentication::reconcile(&server).await?;
            kubernetes_service::reconcile(&server).await
        };
        match made.await {
            Ok(()) => break,
            Err(error) => {
                tracing::warn!(%error, "bootstrap objects are not complete yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    for step in STEPS {
        server.lifecycle.finished(step);
    }
}
