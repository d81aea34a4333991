//! Limit ranges and quotas of a namespace. That it has none according to the cache is asked anew, since one may have
//! just been made, but not for every request: most namespaces have none.

use crate::server::Server;
use ahash::AHashMap;
use apimachinery::ApiError;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Upstream's too: so long the cache is believed after the server was asked.
const BELIEVED: Duration = Duration::from_secs(30);
/// Namespaces that are remembered; one more, and all are forgotten, which costs no look at each of them.
const REMEMBERED: usize = 10_000;

/// When it was asked for what.
#[derive(Default)]
pub struct Bounds(Mutex<AHashMap<(&'static str, String), Instant>>);

impl Bounds {
    /// `plural` is of the core group.
    pub async fn of(
        &self,
        server: &Server,
        plural: &'static str,
        namespace: &str,
    ) -> Result<Vec<Arc<Value>>, ApiError> {
        let cached = server.stores.known_list("", plural, Some(namespace)).await;
        if !cached.is_empty() || !self.is_due(plural, namespace, Instant::now()) {
            return Ok(cached);
        }
        let newest = server.stores.newest_list("", plural, namespace).await;
        newest.map_err(ApiError::internal)
    }

    fn is_due(&self, plural: &'static str, namespace: &str, now: Instant) -> bool {
        let mut asked = self.0.lock();
        if asked.len() >= REMEMBERED {
            asked.clear();
        }
        let key = (plural, namespace.to_owned());
        let due = asked
            .get(&key)
            .is_none_or(|at| now.duration_since(*at) >= BELIEVED);
        if due {
            asked.insert(key, now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_asked_about_now_and_then() {
        let bounds = Bounds::default();
        let start = Instant::now();
        for (seconds, plural, namespace, due) in [
            (0, "limitranges", "a", true),
            (1, "limitranges", "a", false),
            (1, "resourcequotas", "a", true),
            (2, "limitranges", "b", true),
            (29, "limitranges", "a", false),
            (30, "limitranges", "a", true),
            (31, "limitranges", "a", false),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(
                bounds.is_due(plural, namespace, now),
                due,
                "{seconds} {plural} {namespace}"
            );
        }
    }
}
