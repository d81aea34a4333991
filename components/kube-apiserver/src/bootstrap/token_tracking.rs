//! `kube-apiserver-legacy-service-account-token-tracking`: since when secrets are labelled with the last use of their
//! tokens, so that who cleans up knows from when on a missing label means something.

use super::config_map::{self, NAMESPACE};
use crate::beat;
use crate::server::Server;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const NAME: &str = "kube-apiserver-legacy-service-account-token-tracking";
const SINCE: &str = "since";
const PERIOD: Duration = Duration::from_secs(60);
/// It is not made again sooner: servers that don't track, beside this one, would delete it each time.
const PAUSE: Duration = Duration::from_secs(30 * 60);

/// Makes it, and puts it right when its date can't be read, until the server drains.
pub async fn run(server: Arc<Server>) {
    let mut made: Option<Instant> = None;
    loop {
        let there = match server.stores.read("", "configmaps", NAMESPACE, NAME).await {
            Ok(there) => there,
            Err(error) => {
                tracing::warn!(%error, name = NAME, "whether the use of old tokens is told of can't be read");
                if pause(&server).await {
                    continue;
                }
                return;
            }
        };
        let data = there.as_ref().map_or(&Value::Null, |object| &object["data"]);
        let rests = there.is_none() && made.is_some_and(|made| made.elapsed() < PAUSE);
        if !rests && tracked(data, Timestamp::now()).is_some() {
            let outcome = config_map::keep(&server, NAME, |data| tracked(data, Timestamp::now())).await;
            match outcome {
                Ok(()) if there.is_none() => made = Some(Instant::now()),
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, name = NAME, "the use of old tokens is not told of yet"),
            }
        }
        if !pause(&server).await {
            return;
        }
    }
}

/// Until the next round; false when the server drains.
async fn pause(server: &Server) -> bool {
    tokio::select! {
        () = beat::next(PERIOD) => true,
        () = server.lifecycle.drain.cancelled() => false,
    }
}

/// The data with today's date; `None` if they have one.
fn tracked(data: &Value, now: Timestamp) -> Option<Map<String, Value>> {
    let since = data[SINCE].as_str().unwrap_or_default();
    if Date::strptime("%Y-%m-%d", since).is_ok() {
        return None;
    }
    let mut data = data.as_object().cloned().unwrap_or_default();
    data.insert(SINCE.to_owned(), json!(now.strftime("%Y-%m-%d").to_string()));
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_can_be_read_stays() {
        let now = "2026-02-28T23:59:00Z".parse().unwrap();
        for (data, want) in [
            (Value::Null, Some(json!({ "since": "2026-02-28" }))),
            (json!({ "since": "2020-01-31" }), None),
            (
                json!({ "since": "yesterday", "other": "x" }),
                Some(json!({ "since": "2026-02-28", "other": "x" })),
            ),
        ] {
            assert_eq!(tracked(&data, now).map(Value::Object), want, "{data}");
        }
    }
}
