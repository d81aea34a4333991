//! Removes requests that are settled or forgotten.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::DeleteParams;

use super::is_issued;
use crate::error::ignore_not_found;
use crate::owner::Meta as _;
use crate::runtime::{Context, every};

const ACCOUNT: &str = "certificate-controller";
const PERIOD: Duration = Duration::from_secs(3600);
const HOUR: i64 = 3600;
const PENDING: i64 = 24 * HOUR;

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let requests = context.informer::<CertificateSigningRequest>();
    let api: Api<CertificateSigningRequest> = Api::all(context.client(ACCOUNT));
    async move {
        if !requests.synced().await {
            return;
        }
        every(&context, PERIOD, || async {
            let now = Timestamp::now();
            for request in requests.list().iter().filter(|request| is_over(request, now)) {
                if let Err(error) = ignore_not_found(api.delete(request.name(), &DeleteParams::default()).await) {
                    tracing::warn!(request = request.name(), %error, "cannot remove the old certificate signing request");
                }
            }
        })
        .await;
    }
    .boxed()
}

/// Decided and taken an hour ago, or undecided for a day, or the certificate has run out.
fn is_over(request: &CertificateSigningRequest, now: Timestamp) -> bool {
    let older = |time: Option<Timestamp>, seconds: i64| {
        time.is_some_and(|time| now.duration_since(time).as_secs() > seconds)
    };
    let status = request.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let decided = conditions
        .iter()
        .find(|condition| ["Approved", "Denied", "Failed"].contains(&condition.type_.as_str()));
    let updated = decided
        .and_then(|condition| condition.last_update_time.as_ref())
        .map(|time| time.0);
    let created = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let expired = status
        .certificate
        .as_ref()
        .and_then(|certificate| pki::inspect(&String::from_utf8_lossy(&certificate.0)).ok())
        .is_some_and(|inspected| inspected.remaining(std::time::SystemTime::from(now)).is_zero());
    match decided {
        None => older(created, PENDING),
        Some(condition) if condition.type_ == "Approved" && !is_issued(request) => {
            older(updated, PENDING) || expired
        }
        Some(_) => older(updated, HOUR) || expired,
    }
}
