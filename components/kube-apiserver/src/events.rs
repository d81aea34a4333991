//! Events that the server itself writes: what it found wrong with somebody's object.

use crate::server::Server;
use crate::{metadata, stores};
use apimachinery::managed_fields::Writer;
use apimachinery::{meta, time};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storage::{Change, ObjectRef, Preconditions, StorageError};

/// Who tells of something. Upstream's older loops have no word for what they do about it, and count repetitions; the newer
/// ones have, and make repetitions a series.
#[derive(Clone, Copy, Debug)]
pub enum Reporter {
    Counting(&'static str),
    Series {
        controller: &'static str,
        action: &'static str,
    },
}

/// Warns of an object. Repetitions are one event with a number, of all servers together: its name says what it is about.
/// An event that can't be written is only logged.
pub async fn warn(server: &Server, reporter: Reporter, about: &Value, reason: &str, message: &str) {
    let Some(store) = server.stores.named("", "events") else {
        return;
    };
    let namespace = match meta::namespace(about) {
        "" => "default",
        own => own,
    };
    let digest = Sha256::digest(format!("{}/{reason}/{message}", meta::uid(about)));
    let name = format!("{}.{}", meta::name(about), hex::encode(&digest[..8]));
    let now = Timestamp::now();
    let decide = |current: Option<ObjectRef>| {
        let (name, reporter) = (&name, &reporter);
        async move {
            let mut event = match current {
                Some(current) => again(&stores::parse(&current)?, reporter, now),
                None => first(server, reporter, about, (namespace, name), reason, message, now),
            };
            meta::remove(&mut event, "resourceVersion");
            track(server, &mut event, now);
            Ok::<Change, StorageError>(Change::Write {
                json: event.to_string().into_bytes().into(),
                ttl: server.flags.event_life(),
            })
        }
    };
    let written = store
        .update::<_, _, StorageError>(namespace, &name, &Preconditions::default(), decide)
        .await;
    if let Err(error) = written {
        tracing::warn!(reason, about = meta::name(about), %error, "an event could not be written");
    }
}

fn first(
    server: &Server,
    reporter: &Reporter,
    about: &Value,
    (namespace, name): (&str, &str),
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let seconds = time::format_time(now);
    let mut event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": metadata::new_uid(),
            "creationTimestamp": seconds,
        },
        "involvedObject": {
            "kind": meta::kind(about),
            "apiVersion": meta::api_version(about),
            "name": meta::name(about),
            "uid": meta::uid(about),
            "resourceVersion": meta::resource_version(about),
        },
        "reason": reason,
        "message": message,
        "type": "Warning",
    });
    if !meta::namespace(about).is_empty() {
        event["involvedObject"]["namespace"] = json!(namespace);
    }
    match *reporter {
        Reporter::Counting(component) => {
            event["source"] = json!({ "component": component });
            event["firstTimestamp"] = json!(seconds);
            event["lastTimestamp"] = json!(seconds);
            event["eventTime"] = Value::Null;
            event["count"] = json!(1);
            event["reportingComponent"] = json!(component);
            event["reportingInstance"] = json!("");
        }
        Reporter::Series { controller, action } => {
            event["source"] = json!({});
            event["firstTimestamp"] = Value::Null;
            event["lastTimestamp"] = Value::Null;
            event["eventTime"] = json!(time::format_micro_time(now));
            event["action"] = json!(action);
            event["reportingComponent"] = json!(controller);
            event["reportingInstance"] = json!(format!("{controller}-{}", server.id));
        }
    }
    event
}

/// The event of something that was told before.
fn again(before: &Value, reporter: &Reporter, now: Timestamp) -> Value {
    let mut event = before.clone();
    match reporter {
        Reporter::Counting(_) => {
            event["count"] = json!(before["count"].as_i64().unwrap_or(1).saturating_add(1));
            event["lastTimestamp"] = json!(time::format_time(now));
        }
        Reporter::Series { .. } => {
            let count = before["series"]["count"].as_i64().unwrap_or(1).saturating_add(1);
            event["series"] = json!({ "count": count, "lastObservedTime": time::format_micro_time(now) });
        }
    }
    event
}

fn track(server: &Server, event: &mut Value, now: Timestamp) {
    if let Some(row) = server.registry.load().resource("", "v1", "events") {
        let now = time::format_time(now);
        let writer = Writer {
            manager: "kube-apiserver",
            subresource: "",
            now: &now,
        };
        api::managed::track_whole(row, None, event, writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_counted() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let counting = Reporter::Counting("c");
        let told = again(&json!({"count": 1, "firstTimestamp": "f"}), &counting, now);
        assert_eq!(
            told,
            json!({"count": 2, "firstTimestamp": "f", "lastTimestamp": "2026-01-01T00:00:00Z"})
        );
        let series = Reporter::Series {
            controller: "c",
            action: "a",
        };
        let told = again(&again(&json!({}), &series, now), &series, now);
        assert_eq!(told["series"]["count"], 3);
    }
}
