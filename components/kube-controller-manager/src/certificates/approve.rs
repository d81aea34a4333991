//! Approves the client certificates that kubelets ask for themselves, when RBAC lets them.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::informer::Key;
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, Client};

use super::request::{Asked, KUBELET_CLIENT};
use super::{has_condition, is_issued};
use crate::error::{Error, Result};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "certificate-controller";

struct Controller {
    requests: Informer<CertificateSigningRequest>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        requests: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.requests) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .requests
            .on_change(move |change| keys.add((String::new(), change.object().name().to_owned())));
        work(
            "csr-approving",
            &context,
            queue,
            1,
            controller,
            |controller, key| async move { controller.reconcile(&key.1).await },
        )
        .await;
    }
    .boxed()
}

impl Controller {
    async fn reconcile(&self, name: &str) -> Result<Requeue> {
        let Some(request) = self.requests.get("", name) else {
            return Ok(Requeue::No);
        };
        let decided =
            is_issued(&request) || has_condition(&request, "Approved") || has_condition(&request, "Denied");
        if decided || request.spec.signer_name != KUBELET_CLIENT {
            return Ok(Requeue::No);
        }
        // What cannot be read is refused by its signer, with the reason.
        let Ok(asked) = Asked::read(&request) else {
            return Ok(Requeue::No);
        };
        if asked
            .check_kubelet_client(request.spec.usages.as_deref().unwrap_or_default())
            .is_err()
        {
            return Ok(Requeue::No);
        }
        let own = request.spec.username.as_deref() == Some(asked.common_name.as_str());
        let ways = [
            (
                "selfnodeclient",
                own,
                "Auto approving self kubelet client certificate after SubjectAccessReview.",
            ),
            (
                "nodeclient",
                true,
                "Auto approving kubelet client certificate after SubjectAccessReview.",
            ),
        ];
        for (subresource, applies, message) in ways {
            if applies && self.may(&request, subresource).await? {
                self.approve(&request, message).await?;
                return Ok(Requeue::No);
            }
        }
        // Rights may be granted later; nothing would wake us then.
        Err(Error::invalid(
            "certificate signing request",
            name,
            "recognized, but its user may not have it approved",
        ))
    }

    async fn may(&self, request: &CertificateSigningRequest, subresource: &str) -> Result<bool> {
        let spec = &request.spec;
        let extra: Option<BTreeMap<String, Vec<String>>> = spec.extra.clone();
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: spec.username.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra,
                resource_attributes: Some(ResourceAttributes {
                    group: Some("certificates.k8s.io".to_owned()),
                    resource: Some("certificatesigningrequests".to_owned()),
                    verb: Some("create".to_owned()),
                    version: Some("*".to_owned()),
                    subresource: Some(subresource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn approve(&self, request: &CertificateSigningRequest, message: &str) -> Result<()> {
        let mut approved = request.clone();
        let now = Time(Timestamp::now());
        approved
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default()
            .push(CertificateSigningRequestCondition {
                type_: "Approved".to_owned(),
                status: "True".to_owned(),
                reason: Some("AutoApproved".to_owned()),
                message: Some(message.to_owned()),
                last_update_time: Some(now.clone()),
                last_transition_time: Some(now),
            });
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        api.replace_subresource("approval", request.name(), &PostParams::default(), &approved)
            .await?;
        Ok(())
    }
}
