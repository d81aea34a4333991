//! ImagePolicyWebhook: somebody else says which images may run.
use super::containers;
use crate::admission::Attributes;
use crate::nulls;
use crate::webhook::{Clients, Endpoint, Kubeconfig, Place};
use ahash::AHashMap;
use anyhow::{Context, bail};
use apimachinery::ApiError;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Answers kept.
const CAPACITY: usize = 1024;
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
const EPHEMERAL: &str = "ephemeralcontainers";
/// Annotations of pods with this in their key are told.
const TOLD: &str = ".image-policy.k8s.io/";
const AUDITED: &str = "imagepolicywebhook.image-policy.k8s.io/";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    image_policy: Option<Told>,
}

/// Times of 0 are the usual ones, and of -1 none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    kube_config_file: PathBuf,
    /// Seconds.
    #[serde(rename = "allowTTL")]
    allow_ttl: i64,
    #[serde(rename = "denyTTL")]
    deny_ttl: i64,
    /// Milliseconds.
    retry_backoff: i64,
    default_allow: bool,
}

/// The webhook and what it answered lately.
pub struct ImagePolicy {
    endpoint: Endpoint,
    allowed_for: Duration,
    denied_for: Duration,
    pause: Duration,
    allows_unasked: bool,
    known: Mutex<AHashMap<String, (Instant, Answer)>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    allowed: bool,
    reason: String,
    audit_annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Review {
    status: Answer,
}

impl std::fmt::Debug for ImagePolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("ImagePolicy");
        shown
            .field("allows_unasked", &self.allows_unasked)
            .finish_non_exhaustive()
    }
}

impl ImagePolicy {
    /// Relative paths start at `folder`.
    pub fn read(told: Value, folder: &Path, clients: &Clients) -> anyhow::Result<Self> {
        let file: File = nulls::from_json(told)?;
        let told = file.image_policy.unwrap_or_default();
        if told.kube_config_file.as_os_str().is_empty() {
            bail!("imagePolicy.kubeConfigFile: Required value");
        }
        let config =
            Kubeconfig::load(&folder.join(&told.kube_config_file)).context("imagePolicy.kubeConfigFile")?;
        let endpoint = clients.endpoint(Place::at(&config.server)?, &config.bundle, config.credentials)?;
        const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
        Ok(Self {
            endpoint,
            allowed_for: time(
                "allowTTL",
                told.allow_ttl,
                1000,
                Duration::from_secs(300),
                Duration::from_secs(1),
                HALF_AN_HOUR,
            )?,
            denied_for: time(
                "denyTTL",
                told.deny_ttl,
                1000,
                Duration::from_secs(30),
                Duration::from_secs(1),
                HALF_AN_HOUR,
            )?,
            pause: time(
                "retryBackoff",
                told.retry_backoff,
                1,
                crate::webhook::PAUSE,
                Duration::ZERO,
                Duration::from_secs(300),
            )?,
            allows_unasked: told.default_allow,
            known: Mutex::default(),
        })
    }

    /// Asks about the images of a pod.
    pub async fn check(&self, attributes: &Attributes<'_>, pod: Option<&Value>) -> Result<(), ApiError> {
        let Some(pod) = pod else { return Ok(()) };
        let question = question(attributes.subresource == EPHEMERAL, &attributes.namespace, pod);
        let answer = match self.answer(&question).await {
            Ok(answer) => answer,
            Err(why) if self.allows_unasked => {
                tracing::warn!(
                    why,
                    "the webhook of ImagePolicyWebhook gave no answer; the pod is let pass"
                );
                let key = format!("{AUDITED}failed-open");
                attributes.request.annotate(key, "true".to_owned());
                return Ok(());
            }
            Err(why) => return Err(attributes.forbidden(&why)),
        };
        for (key, value) in answer.audit_annotations {
            attributes.annotate(format!("{AUDITED}{key}"), value);
        }
        if answer.allowed {
            return Ok(());
        }
        Err(attributes.forbidden(&match answer.reason.as_str() {
            "" => "one or more images rejected by webhook backend".to_owned(),
            reason => format!("image policy webhook backend denied one or more images: {reason}"),
        }))
    }

    async fn answer(&self, spec: &Value) -> Result<Answer, String> {
        let key = spec.to_string();
        let now = Instant::now();
        if let Some((until, answer)) = self.known.lock().get(&key)
            && now < *until
        {
            return Ok(answer.clone());
        }
        let review = json!({
            "kind": "ImageReview",
            "apiVersion": "imagepolicy.k8s.io/v1alpha1",
            "metadata": {},
            "spec": spec,
            "status": { "allowed": false },
        });
        let body = review.to_string().into();
        let answer = self.endpoint.post_patiently(body, TIMEOUT, self.pause).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let review: Review = nulls::from_slice(&answer).map_err(|error| error.to_string())?;
        self.keep(key, &review.status, now);
        Ok(review.status)
    }

    fn keep(&self, key: String, answer: &Answer, now: Instant) {
        let time = if answer.allowed {
            self.allowed_for
        } else {
            self.denied_for
        };
        let mut known = self.known.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= CAPACITY {
                known.clear();
            }
        }
        known.insert(key, (now + time, answer.clone()));
    }
}

/// A time that a file gives in thousandths of `scale` seconds; the bounds are upstream's.
fn time(
    field: &str,
    given: i64,
    scale: u64,
    usual: Duration,
    above: Duration,
    most: Duration,
) -> anyhow::Result<Duration> {
    let time = match given {
        -1 => return Ok(Duration::ZERO),
        0 => return Ok(usual),
        given => u64::try_from(given)
            .ok()
            .map(|given| Duration::from_millis(given.saturating_mul(scale))),
    };
    match time {
        Some(time) if time > above && time <= most => Ok(time),
        _ => bail!("imagePolicy.{field}: valid value is between {above:?} and {most:?}, got {given}"),
    }
}

/// The images of new containers, and what the pod tells the webhook.
fn question(ephemeral: bool, namespace: &str, pod: &Value) -> Value {
    let kinds: &[&str] = if ephemeral {
        &["ephemeralContainers"]
    } else {
        &["containers", "initContainers"]
    };
    let images: Vec<Value> = kinds
        .iter()
        .flat_map(|kind| containers(pod, kind))
        .map(|container| json!({ "image": container["image"] }))
        .collect();
    let mut spec = json!({ "containers": images, "namespace": namespace });
    let all = pod["metadata"]["annotations"].as_object().into_iter().flatten();
    let told: Map<String, Value> = all
        .filter(|(key, _)| key.contains(TOLD))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !told.is_empty() {
        spec["annotations"] = Value::Object(told);
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webhook_is_told_of_images() {
        let pod = json!({
            "metadata": {"annotations": {"a": "b", "x.image-policy.k8s.io/ticket": "1"}},
            "spec": {
                "containers": [{"name": "c", "image": "one"}],
                "initContainers": [{"name": "i", "image": "two"}],
                "ephemeralContainers": [{"name": "e", "image": "three"}],
            },
        });
        let want = |images: &[&str]| {
            let images: Vec<Value> = images.iter().map(|image| json!({"image": image})).collect();
            json!({"containers": images, "namespace": "n", "annotations": {"x.image-policy.k8s.io/ticket": "1"}})
        };
        assert_eq!(question(false, "n", &pod), want(&["one", "two"]));
        assert_eq!(question(true, "n", &pod), want(&["three"]));
    }

    #[test]
    fn times() {
        let ttl = |given| {
            time(
                "allowTTL",
                given,
                1000,
                Duration::from_secs(300),
                Duration::from_secs(1),
                Duration::from_secs(1800),
            )
        };
        for (given, want) in [
            (-1, Some(0)),
            (0, Some(300)),
            (50, Some(50)),
            (1800, Some(1800)),
            (1, None),
            (1801, None),
            (-2, None),
        ] {
            assert_eq!(ttl(given).ok().map(|time| time.as_secs()), want, "{given}");
        }
    }
}
