//! The node's heartbeat. A task of its own, so that nothing slow can keep it from being sent.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "kube-node-lease";
const RETRY: Duration = Duration::from_secs(1);

/// Renews the lease every quarter of its duration until `shutdown`.
pub async fn renew_lease(
    client: Client,
    node_name: String,
    duration_seconds: i32,
    shutdown: CancellationToken,
) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let nodes: Api<Node> = Api::all(client);
    let interval = Duration::from_secs(u64::try_from(duration_seconds).unwrap_or(40).max(4)) / 4;
    let mut held: Option<Lease> = None;
    loop {
        let pause = match renew(&leases, &nodes, &node_name, duration_seconds, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                interval
            }
            Err(error) => {
                tracing::warn!(%error, "node lease not renewed");
                RETRY
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn renew(
    leases: &Api<Lease>,
    nodes: &Api<Node>,
    name: &str,
    seconds: i32,
    held: Option<Lease>,
) -> Result<Lease, kube::Error> {
    let mut lease = match held {
        Some(lease) => lease,
        None => match leases.get_opt(name).await? {
            Some(lease) => lease,
            None => {
                let owner = nodes.get_opt(name).await?;
                let fresh = Lease {
                    metadata: ObjectMeta {
                        name: Some(name.to_owned()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(spec(name, seconds)),
                };
                return leases
                    .create(&PostParams::default(), &owned(fresh, owner.as_ref()))
                    .await;
            }
        },
    };
    if lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) {
        lease = owned(lease, nodes.get_opt(name).await?.as_ref());
    }
    lease.spec = Some(spec(name, seconds));
    leases.replace(name, &PostParams::default(), &lease).await
}

fn spec(name: &str, seconds: i32) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: Some(seconds),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    }
}

/// The lease goes with its node.
fn owned(mut lease: Lease, node: Option<&Node>) -> Lease {
    if let Some(uid) = node.and_then(|node| node.metadata.uid.clone()) {
        lease.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: lease.metadata.name.clone().unwrap_or_default(),
            uid,
            controller: None,
            block_owner_deletion: None,
        }]);
    }
    lease
}
