//! Deletes finished jobs when their time to live is over.

use std::sync::Arc;
use std::time::Duration;

use client::informer::{Change, Key, key_of};
use client::workqueue::Requeue;
use client::{Informer, Queue};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, Client};

use crate::error::{Result, ignore_not_found};
use crate::owner::Meta as _;
use crate::runtime::{Context, work};

const ACCOUNT: &str = "ttl-after-finished-controller";

struct Controller {
    jobs: Informer<Job>,
    client: Client,
}

pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let controller = Arc::new(Controller {
        jobs: context.informer(),
        client: context.client(ACCOUNT),
    });
    async move {
        if !crate::synced!(controller.jobs) {
            return;
        }
        let queue: Queue<Key> = Queue::new();
        let keys = queue.clone();
        controller
            .jobs
            .on_change(move |change: &Change<Job>| keys.add(key_of(change.object().as_ref())));
        let workers = context.flags.concurrent_ttl_after_finished_syncs;
        work(
            "ttl-after-finished",
            &context,
            queue,
            workers,
            controller,
            |controller, key| async move { controller.reconcile(&key).await },
        )
        .await;
    }
    .boxed()
}

/// How long the job still has; none for one that is not finished or has no limit.
fn time_left(job: &Job, now: Timestamp) -> Option<Duration> {
    let allowed = u64::try_from(job.spec.as_ref()?.ttl_seconds_after_finished?).unwrap_or(0);
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let finished = conditions.iter().find(|condition| {
        ["Complete", "Failed"].contains(&condition.type_.as_str()) && condition.status == "True"
    })?;
    let since = now.duration_since(finished.last_transition_time.as_ref()?.0);
    let spent = Duration::try_from(since).unwrap_or(Duration::ZERO);
    Some(Duration::from_secs(allowed).saturating_sub(spent))
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<Requeue> {
        let Some(left) = self
            .jobs
            .get(&key.0, &key.1)
            .filter(|job| !job.is_deleting())
            .and_then(|job| time_left(&job, Timestamp::now()))
        else {
            return Ok(Requeue::No);
        };
        if !left.is_zero() {
            return Ok(Requeue::After(left));
        }
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.0);
        // Its time may have been prolonged; the server knows.
        let Some(fresh) = api.get_opt(&key.1).await? else {
            return Ok(Requeue::No);
        };
        match time_left(&fresh, Timestamp::now()) {
            Some(left) if left.is_zero() => {}
            Some(left) => return Ok(Requeue::After(left)),
            None => return Ok(Requeue::No),
        }
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Foreground),
            preconditions: Some(Preconditions {
                uid: Some(fresh.uid().to_owned()),
                resource_version: fresh.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        ignore_not_found(api.delete(&key.1, &parameters).await)?;
        Ok(Requeue::No)
    }
}
