//! Getting a container's image: policy, pull, credentials, back-off.

mod collect;
mod credentials;
mod name;

use std::sync::Arc;
use std::time::Duration;

use client::events::Type;
use jiff::Timestamp;
use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::context::{Context, Shared};
use crate::pod::back_off::BackOff;
use crate::pod::members::{PodView, Role};
use crate::pod::security::ImageUser;
use crate::runtime::Runtime;

pub use collect::{Thresholds, collect_garbage, remove_unused};
pub use name::{NameError, normalize};

/// Why an image is not there: a reason as in container statuses, and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageError {
    pub reason: &'static str,
    pub message: String,
    /// When to try again.
    pub retry_at: Option<Timestamp>,
}

/// An image that is present.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub id: String,
    pub user: ImageUser,
}

/// Pulls images; clones share the back-off.
#[derive(Clone)]
pub struct Images {
    runtime: Runtime,
    back_off: Arc<Mutex<BackOff>>,
    last_error: Arc<Mutex<std::collections::HashMap<String, String>>>,
    pulls: Arc<Semaphore>,
}

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const NOTICE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

fn found(image: cri::Image) -> Found {
    Found {
        id: image.id,
        user: ImageUser {
            uid: image.uid.map(|uid| uid.value),
            name: image.username,
        },
    }
}

impl Images {
    /// `parallel` pulls at once.
    pub fn new(runtime: Runtime, parallel: usize) -> Self {
        Self {
            runtime,
            back_off: Arc::new(Mutex::new(BackOff::new(FIRST_PAUSE, LONGEST_PAUSE))),
            last_error: Arc::default(),
            pulls: Arc::new(Semaphore::new(parallel.max(1))),
        }
    }

    /// Makes sure that the container's image is there, as its pull policy says.
    pub async fn ensure(
        &self,
        context: &Shared,
        pod: &Arc<Pod>,
        role: Role,
        container: &Container,
        sandbox_config: cri::PodSandboxConfig,
    ) -> Result<Found, ImageError> {
        let who = Some((role, container.name.as_str()));
        let image = container.image.as_deref().unwrap_or_default();
        let reference = normalize(image).map_err(|error| {
            let message = format!("Failed to apply default image tag \"{image}\": {error}");
            context.event(pod, who, Type::Warning, "InspectFailed", message.clone());
            ImageError {
                reason: "InvalidImageName",
                message,
                retry_at: None,
            }
        })?;
        let present = self.runtime.image_status(&reference).await.map_err(|error| {
            let message = format!("Failed to inspect image \"{image}\": {error}");
            context.event(pod, who, Type::Warning, "InspectFailed", message.clone());
            ImageError {
                reason: "ImageInspectError",
                message,
                retry_at: None,
            }
        })?;
        let policy = policy(container, &reference);
        match (policy, present) {
            (Policy::IfNotPresent | Policy::Never, Some(present)) => {
                context.event(pod, who, Type::Normal, "Pulled", format!("Container image \"{image}\" already present on machine and can be accessed by the pod"));
                Ok(found(present))
            }
            (Policy::Never, None) => {
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                context.event(pod, who, Type::Warning, "ErrImageNeverPull", message.clone());
                Err(ImageError {
                    reason: "ErrImageNeverPull",
                    message,
                    retry_at: None,
                })
            }
            (_, _) => {
                self.pull(context, pod, role, container, image, &reference, sandbox_config)
                    .await
            }
        }
    }

    async fn pull(
        &self,
        context: &Context,
        pod: &Arc<Pod>,
        role: Role,
        container: &Container,
        image: &str,
        reference: &str,
        sandbox_config: cri::PodSandboxConfig,
    ) -> Result<Found, ImageError> {
        let who = Some((role, container.name.as_str()));
        let key = format!("{}_{image}", pod.uid());
        let now = Timestamp::now();
        let waits = self
            .back_off
            .lock()
            .waits_until(&key, self.failed_at(&key, now), now);
        if let Some((until, _)) = waits {
            let mut message = format!("Back-off pulling image \"{image}\"");
            context.event(pod, who, Type::Normal, "BackOff", message.clone());
            if let Some(last) = self.last_error.lock().get(&key) {
                message.push_str(": ErrImagePull: ");
                message.push_str(last.split_once('\n').map_or(last.as_str(), |(_, text)| text));
            }
            return Err(ImageError {
                reason: "ImagePullBackOff",
                message,
                retry_at: Some(until),
            });
        }
        let _permit = self.pulls.acquire().await;
        context.event(
            pod,
            who,
            Type::Normal,
            "Pulling",
            format!("Pulling image \"{image}\""),
        );
        let started = std::time::Instant::now();
        let mut result = Err(None);
        for auth in credentials::candidates(context, pod, reference).await {
            match self
                .runtime
                .pull_image(reference, auth, sandbox_config.clone())
                .await
            {
                Ok(id) => {
                    result = Ok(id);
                    break;
                }
                Err(error) => result = Err(Some(error)),
            }
        }
        match result {
            Ok(id) => {
                self.back_off.lock().forget(&key);
                self.last_error.lock().remove(&key);
                let image_found = self.runtime.image_status(&id).await.ok().flatten();
                let size = image_found.as_ref().map_or(0, |image| image.size);
                let took = format!("{:.3}s", started.elapsed().as_secs_f64());
                let message = format!(
                    "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {size} bytes."
                );
                context.event(pod, who, Type::Normal, "Pulled", message);
                Ok(image_found.map(found).unwrap_or(Found {
                    id,
                    user: ImageUser::default(),
                }))
            }
            Err(error) => {
                let text =
                    error.map_or_else(|| "no credentials to try".to_owned(), |error| error.to_string());
                let message = format!("failed to pull image \"{image}\": {text}");
                context.event(
                    pod,
                    who,
                    Type::Warning,
                    "Failed",
                    format!("Failed to pull image \"{image}\": {text}"),
                );
                let failed = Timestamp::now();
                self.back_off.lock().next(&key, failed, failed);
                // Soon, to find that it has to wait: that is when ErrImagePull becomes ImagePullBackOff.
                let retry_at = failed.checked_add(NOTICE).ok();
                self.last_error
                    .lock()
                    .insert(key, format!("{}\n{message}", failed.as_millisecond()));
                Err(ImageError {
                    reason: "ErrImagePull",
                    message,
                    retry_at,
                })
            }
        }
    }

    fn failed_at(&self, key: &str, now: Timestamp) -> Timestamp {
        let errors = self.last_error.lock();
        let stamp = errors
            .get(key)
            .and_then(|text| text.split_once('\n'))
            .and_then(|(stamp, _)| stamp.parse().ok());
        stamp
            .and_then(|millis| Timestamp::from_millisecond(millis).ok())
            .unwrap_or(now)
    }

    /// Forgets what a pod waited for.
    pub fn forget(&self, uid: &str) {
        self.last_error.lock().retain(|key, _| !key.starts_with(uid));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Always,
    IfNotPresent,
    Never,
}

/// The policy; without one, images tagged `latest` are always pulled.
fn policy(container: &Container, reference: &str) -> Policy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => Policy::Always,
        Some("IfNotPresent") => Policy::IfNotPresent,
        Some("Never") => Policy::Never,
        _ if reference.ends_with(":latest") => Policy::Always,
        _ => Policy::IfNotPresent,
    }
}
