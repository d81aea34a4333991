//! Tries again what could not be read: its key may be back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::event::EventKind;
use super::hub::{Hub, panic_message};
use super::resource::ResourceCache;
use crate::backend::RangeRequest;
use crate::object::ObjectRef;

/// Pause before what can't be read is read again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between attempts that mend nothing.
const LONGEST: Duration = Duration::from_secs(10);
/// Values that are read in one attempt; without success the others are not tried.
const ATTEMPT: usize = 100;

/// Never ends.
pub(super) async fn run(hub: Arc<Hub>) {
    let mut pause = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        let (mut tried, mut mended) = (false, false);
        for cache in hub.caches() {
            if cache.unreadable().is_empty() {
                continue;
            }
            tried = true;
            // The others must not stay unread because of one.
            match AssertUnwindSafe(mend(&hub, &cache)).catch_unwind().await {
                Ok(any) => mended |= any,
                Err(panic) => {
                    let panic = panic_message(&*panic);
                    tracing::error!(resource = cache.spec().name, panic, "reading again panicked");
                }
            }
        }
        if !tried {
            // Looking every second would be much of what an idle server does.
            hub.unreadable.notified().await;
        }
        pause = match tried && !mended {
            true => (pause * 2).min(LONGEST),
            false => PAUSE,
        };
    }
}

/// Whether anything of the resource can be read again.
async fn mend(hub: &Hub, cache: &ResourceCache) -> bool {
    let mut objects: Vec<ObjectRef> = Vec::new();
    for (tried, key) in cache.unreadable().keys().into_iter().enumerate() {
        if tried >= ATTEMPT && objects.is_empty() {
            break;
        }
        let request = RangeRequest {
            start: key.clone(),
            end: format!("{key}\0"),
            ..RangeRequest::default()
        };
        // A store that can't be reached is the feed's business, and so is a key that is gone.
        let Ok(mut found) = hub.backend().range(request).await else {
            break;
        };
        let Some(kv) = found.kvs.pop() else { continue };
        if let Ok(object) = cache.decode(&kv.key, kv.value, kv.mod_revision, EventKind::Added) {
            objects.push(object);
        }
    }
    let any = !objects.is_empty();
    if any {
        cache.mend(objects);
    }
    any
}
