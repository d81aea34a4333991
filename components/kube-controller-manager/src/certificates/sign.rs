//! Signs approved requests for the signers of kubernetes.io.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use client::informer::Key;
use client::workqueue::Requeue;
use client::{Informer, Queue};
use component_config::kube_controller_manager::SigningFlags;
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, Client};
use pki::{CertificateAuthority, KeyMaterial, RequestTerms};

use super::request::{API_CLIENT, Asked, KUBELET_CLIENT, KUBELET_SERVING, LEGACY, check};
use super::{has_condition, is_issued};
use crate::error::{Error, Result};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "certificate-controller";
/// The shortest lifetime that can be asked for.
const SHORTEST: Duration = Duration::from_secs(600);

/// A signer's files; read for every signature, so that a renewed authority is used at once.
#[derive(Clone)]
pub struct Signer {
    pub name: &'static str,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Signer {
    pub fn load(&self) -> anyhow::Result<CertificateAuthority> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        let key = KeyMaterial::from_pem(read(&self.key)?);
        Ok(CertificateAuthority::load(&read(&self.certificate)?, key)?)
    }
}

struct Controller {
    requests: Informer<CertificateSigningRequest>,
    client: Client,
    signers: Vec<Signer>,
    longest: Duration,
}

/// The signers that have files: each its own, or all the common ones.
pub fn signers(flags: &SigningFlags) -> anyhow::Result<Vec<Signer>> {
    let table: [(&'static str, &str, &Option<PathBuf>, &Option<PathBuf>); 4] = [
        (
            API_CLIENT,
            "kube-apiserver-client",
            &flags.cluster_signing_kube_apiserver_client_cert_file,
            &flags.cluster_signing_kube_apiserver_client_key_file,
        ),
        (
            KUBELET_CLIENT,
            "kubelet-client",
            &flags.cluster_signing_kubelet_client_cert_file,
            &flags.cluster_signing_kubelet_client_key_file,
        ),
        (
            KUBELET_SERVING,
            "kubelet-serving",
            &flags.cluster_signing_kubelet_serving_cert_file,
            &flags.cluster_signing_kubelet_serving_key_file,
        ),
        (
            LEGACY,
            "legacy-unknown",
            &flags.cluster_signing_legacy_unknown_cert_file,
            &flags.cluster_signing_legacy_unknown_key_file,
        ),
    ];
    let pair = |infix: &str, certificate: &Option<PathBuf>, key: &Option<PathBuf>| match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
        (None, None) => Ok(None),
        _ => anyhow::bail!(
            "--cluster-signing-{infix}cert-file and --cluster-signing-{infix}key-file must be given together"
        ),
    };
    let common = pair(
        "",
        &flags.cluster_signing_cert_file,
        &flags.cluster_signing_key_file,
    )?;
    let mut signers = Vec::new();
    for (name, flag, certificate, key) in table {
        let own = pair(&format!("{flag}-"), certificate, key)?;
        anyhow::ensure!(
            own.is_none() || common.is_none(),
            "--cluster-signing-cert-file excludes --cluster-signing-{flag}-cert-file: give the common files or each signer's own"
        );
        if let Some((certificate, key)) = own.or_else(|| common.clone()) {
            signers.push(Signer {
                name,
                certificate,
                key,
            });
        }
    }
    Ok(signers)
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let signers = context.files.signers.clone();
    if signers.is_empty() {
        tracing::info!("no signing authority is given, requests are not signed");
        return futures::future::ready(()).boxed();
    }
    let controller = Arc::new(Controller {
        requests: context.informer(),
        client: context.client(ACCOUNT),
        signers,
        longest: context.flags.signing.cluster_signing_duration,
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
            "csr-signing",
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
        let waiting = has_condition(&request, "Approved")
            && !has_condition(&request, "Denied")
            && !has_condition(&request, "Failed");
        let signer = self
            .signers
            .iter()
            .find(|signer| signer.name == request.spec.signer_name);
        let Some(signer) = signer.filter(|_| waiting && !is_issued(&request)) else {
            return Ok(Requeue::No);
        };
        let usages = request.spec.usages.clone().unwrap_or_default();
        let mut signed = request.as_ref().clone();
        let status = signed.status.get_or_insert_default();
        let asked =
            Asked::read(&request).and_then(|asked| check(signer.name, &asked, &usages).map(|()| asked));
        match asked {
            Ok(asked) => {
                let certificate = self.sign(signer, &request, &asked, &usages)?;
                status.certificate = Some(ByteString(certificate.into_bytes()));
            }
            Err(reason) => {
                let now = Time(Timestamp::now());
                status
                    .conditions
                    .get_or_insert_default()
                    .push(CertificateSigningRequestCondition {
                        type_: "Failed".to_owned(),
                        status: "True".to_owned(),
                        reason: Some("SignerValidationFailure".to_owned()),
                        message: Some(reason),
                        last_update_time: Some(now.clone()),
                        last_transition_time: Some(now),
                    });
            }
        }
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        api.replace_status(name, &PostParams::default(), &signed).await?;
        Ok(Requeue::No)
    }

    fn sign(
        &self,
        signer: &Signer,
        request: &CertificateSigningRequest,
        asked: &Asked,
        usages: &[String],
    ) -> Result<String> {
        let authority = signer
            .load()
            .map_err(|error| Error::invalid("signer", signer.name, format!("{error:#}")))?;
        let asks = |usage: &str| usages.iter().any(|own| own == usage);
        let terms = RequestTerms {
            client: asks("client auth"),
            server: asks("server auth"),
            digital_signature: asks("digital signature"),
            key_encipherment: asks("key encipherment"),
            lifetime: lifetime(request.spec.expiration_seconds, self.longest),
        };
        authority
            .sign_request(&asked.der, &terms, SystemTime::now())
            .map_err(|error| Error::invalid("signer", signer.name, error))
    }
}

/// What was asked for, within bounds.
fn lifetime(asked: Option<i32>, longest: Duration) -> Duration {
    match asked
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map(Duration::from_secs)
    {
        Some(asked) if asked > longest => longest,
        Some(asked) if asked < SHORTEST => SHORTEST,
        Some(asked) => asked,
        None => longest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_stay_within_bounds() {
        let day = Duration::from_secs(86_400);
        for (asked, want) in [
            (None, day),
            (Some(3600), Duration::from_secs(3600)),
            (Some(1), SHORTEST),
            (Some(i32::MAX), day),
        ] {
            assert_eq!(lifetime(asked, day), want);
        }
    }
}
