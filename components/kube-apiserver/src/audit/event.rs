//! Audit events: what is known of a request at one of its stages, as audit.k8s.io/v1 has it.

use super::policy::{Level, Rules};
use super::record::Record;
use crate::identity::User;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A moment in a request's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    /// Of requests that stay open: the headers are sent, the body goes on.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub const ALL: [Self; 4] = [
        Self::RequestReceived,
        Self::ResponseStarted,
        Self::ResponseComplete,
        Self::Panic,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A latency above this is told in the event.
const SLOW: Duration = Duration::from_millis(500);

fn user_json(user: &User) -> Value {
    let mut value = json!({ "username": user.name });
    if !user.uid.is_empty() {
        value["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        value["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        value["extra"] = json!(user.extra);
    }
    value
}

/// The event of a record at a stage. `rules` are those of the policy for this request.
pub fn event(record: &Record, rules: &Rules, stage: Stage) -> Value {
    let info = &record.info;
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": rules.level.name(),
        "auditID": record.id,
        "stage": stage.name(),
        "requestURI": record.uri,
        "verb": info.verb,
        "user": record.user.as_deref().map_or_else(|| json!({}), user_json),
        "sourceIPs": record.sources,
        "requestReceivedTimestamp": micro(record.received),
        "stageTimestamp": micro(match stage {
            Stage::RequestReceived => record.received,
            _ => jiff::Timestamp::now(),
        }),
    });
    if !record.user_agent.is_empty() {
        event["userAgent"] = json!(record.user_agent);
    }
    if let Some(user) = &record.impersonated {
        event["impersonatedUser"] = user_json(user);
    }
    if let Some(constraint) = record.impersonation_constraint {
        event["authenticationMetadata"] = json!({ "impersonationConstraint": constraint });
    }
    if info.is_resource {
        event["objectRef"] = object_reference(record);
    }
    if stage == Stage::RequestReceived {
        return event;
    }
    event["responseStatus"] = match stage {
        Stage::Panic => panicked(),
        _ => record.status.clone(),
    };
    if rules.level >= Level::Request
        && let Some(object) = &record.request_object
    {
        event["requestObject"] = shown(object, rules);
    }
    if rules.level >= Level::RequestResponse
        && let Some(object) = &record.response_object
    {
        event["responseObject"] = shown(object, rules);
    }
    let mut annotations = record.annotations.clone();
    if rules.level >= Level::Request {
        annotations.extend(record.request_annotations.clone());
    }
    if stage == Stage::ResponseComplete && !info.is_long_running() {
        let total = record.began.elapsed();
        if total > SLOW {
            let key = "apiserver.latency.k8s.io/total".to_owned();
            annotations.insert(key, json!(format!("{total:?}")));
        }
    }
    if !annotations.is_empty() {
        event["annotations"] = Value::Object(annotations);
    }
    event
}

fn object_reference(record: &Record) -> Value {
    let info = &record.info;
    let of_object = |field: &str| {
        // A patch is no object: what it says of the metadata is a change.
        let object = record.request_object.as_ref().filter(|_| info.verb != "patch")?;
        object["metadata"][field].as_str()
    };
    let or = |own: &str, field: &str| match own {
        "" => of_object(field).unwrap_or("").to_owned(),
        own => own.to_owned(),
    };
    let mut reference = Map::new();
    for (key, text) in [
        ("resource", info.resource.clone()),
        ("namespace", or(&info.namespace, "namespace")),
        ("name", or(&info.name, "name")),
        ("uid", or("", "uid")),
        ("apiGroup", info.group.clone()),
        ("apiVersion", info.version.clone()),
        ("resourceVersion", or("", "resourceVersion")),
        ("subresource", info.subresource.clone()),
    ] {
        if !text.is_empty() {
            reference.insert(key.to_owned(), json!(text));
        }
    }
    Value::Object(reference)
}

fn shown(object: &Value, rules: &Rules) -> Value {
    let mut object = object.clone();
    if rules.omit_managed_fields {
        let omit = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        omit(&mut object);
        if let Some(rows) = object.get_mut("rows").and_then(Value::as_array_mut) {
            rows.iter_mut()
                .filter_map(|row| row.get_mut("object"))
                .for_each(omit);
        }
        if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
            items.iter_mut().for_each(omit);
        }
    }
    object
}

fn panicked() -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": "APIServer panic'd",
        "reason": "InternalError",
        "code": 500,
    })
}

fn micro(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// `responseStatus` of an answer: what a Status object says, or only the code.
pub fn status_of(code: u16, body: Option<&Value>) -> Value {
    let mut status = json!({ "metadata": {}, "code": code });
    if let Some(told) = body.filter(|body| body["kind"] == "Status") {
        for field in ["status", "message", "reason", "details"] {
            if !told[field].is_null() {
                status[field] = told[field].clone();
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::RequestInfo;
    use std::sync::Arc;

    fn rules(level: Level, omit_managed_fields: bool) -> Rules {
        Rules {
            level,
            omit_managed_fields,
            omitted: Vec::new(),
        }
    }

    fn record() -> Record {
        Record {
            info: Arc::new(RequestInfo {
                is_resource: true,
                verb: "create".into(),
                resource: "pods".into(),
                version: "v1".into(),
                ..RequestInfo::default()
            }),
            status: status_of(201, None),
            request_object: Some(json!({"metadata": {"name": "p", "managedFields": [1]}, "spec": {}})),
            response_object: Some(json!({"items": [{"metadata": {"managedFields": [1], "uid": "u"}}]})),
            ..Record::for_tests()
        }
    }

    #[test]
    fn levels_say_how_much_is_told() {
        let record = record();
        for (level, stage, request, response) in [
            (Level::Metadata, Stage::ResponseComplete, false, false),
            (Level::Request, Stage::ResponseComplete, true, false),
            (Level::RequestResponse, Stage::ResponseComplete, true, true),
            (Level::RequestResponse, Stage::RequestReceived, false, false),
            (Level::RequestResponse, Stage::Panic, true, true),
        ] {
            let event = event(&record, &rules(level, false), stage);
            assert_eq!(
                event.get("requestObject").is_some(),
                request,
                "{level:?} {stage:?}"
            );
            assert_eq!(
                event.get("responseObject").is_some(),
                response,
                "{level:?} {stage:?}"
            );
            assert_eq!(event["objectRef"]["name"], "p");
            assert_eq!(
                event.get("responseStatus").is_some(),
                stage != Stage::RequestReceived
            );
        }
        let event = event(
            &record,
            &rules(Level::RequestResponse, true),
            Stage::ResponseComplete,
        );
        assert_eq!(
            event["requestObject"],
            json!({"metadata": {"name": "p"}, "spec": {}})
        );
        assert_eq!(
            event["responseObject"]["items"][0]["metadata"],
            json!({"uid": "u"})
        );
    }
}
