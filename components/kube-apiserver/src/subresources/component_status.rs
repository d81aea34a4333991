//! componentstatuses, which clients still ask for: etcd, scheduler and controller manager.

use crate::answer;
use crate::connect::destination::Destination;
use crate::connect::egress::Way;
use crate::connect::relay::{self, Failure, Outgoing};
use crate::media::{self, Answer, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::target::Target;
use crate::verbs::write;
use apimachinery::ApiError;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Health ports on loopback; upstream asks there as well.
const LOCAL: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];

/// Bytes of a health answer that are shown at most.
const LONGEST: usize = 10 << 10;

async fn statuses(server: &Server) -> Vec<Value> {
    let asked = futures::future::join_all(LOCAL.map(|(name, port)| async move {
        let health = tokio::time::timeout(TIMEOUT, ask(server, port)).await;
        let health = health.unwrap_or_else(|_| Err(told(port, "context deadline exceeded")));
        status(name, health, String::new())
    }));
    let storage = &server.stores.storage;
    let backends = (0..storage.backends()).map(|backend| storage.check(backend, TIMEOUT));
    let (mut all, etcd) = tokio::join!(asked, futures::future::try_join_all(backends));
    all.push(match etcd {
        Ok(_) => status("etcd-0", Ok("ok".to_owned()), String::new()),
        Err(error) => status("etcd-0", Err(String::new()), error.to_string()),
    });
    all
}

fn told(port: u16, why: &str) -> String {
    format!("Get \"https://127.0.0.1:{port}/healthz\": {why}")
}

/// What a component says of its health, or why it can't be asked. It is asked without checking who answers, as by upstream.
async fn ask(server: &Server, port: u16) -> Result<String, String> {
    let destination = Destination {
        host: "127.0.0.1".to_owned(),
        port,
        tls: Some(Arc::clone(&server.backends.anonymous)),
        way: Way::Direct,
    };
    let question = Outgoing {
        method: Method::GET,
        uri: "/healthz".to_owned(),
        headers: HeaderMap::new(),
        body: relay::empty(),
        host: None,
        bytes_per_second: 0,
    };
    let answer = match relay::send(&destination, question, None).await {
        Ok(answer) => answer,
        Err(Failure::Dial(why)) => return Err(told(port, &why)),
        Err(failure) => return Err(told(port, &failure.to_string())),
    };
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    match code {
        200..=399 => Ok(body.unwrap_or_default()),
        code => Err(format!("HTTP probe failed with statuscode: {code}")),
    }
}

fn status(name: &str, health: Result<String, String>, error: String) -> Value {
    let (healthy, message) = match health {
        Ok(message) => ("True", message),
        Err(message) => ("False", message),
    };
    let mut condition = json!({ "type": "Healthy", "status": healthy });
    for (field, text) in [("message", message), ("error", error)] {
        if !text.is_empty() {
            condition[field] = json!(text);
        }
    }
    json!({ "kind": "ComponentStatus", "apiVersion": "v1", "metadata": { "name": name }, "conditions": [condition] })
}

pub async fn handle(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let answer = match request.info.verb.as_str() {
        "get" => Answer::Object,
        _ => Answer::List,
    };
    let accepted = media::negotiate(request, &target.row, answer)?;
    let all = statuses(server).await;
    let registry = server.registry.load();
    if request.info.verb == "get" {
        let found = all
            .into_iter()
            .find(|status| status["metadata"]["name"] == target.name.as_str())
            .ok_or_else(|| write::missing(target))?;
        let shaped = present::shape_one(&registry, &target.row, found, &accepted.shape, request)?;
        return Ok(answer::value(StatusCode::OK, &shaped, &accepted));
    }
    let value = match &accepted.shape {
        Shape::Table(version) => present::table(
            &registry,
            &target.row,
            &all,
            json!({ "resourceVersion": "" }),
            version,
            request,
        )?,
        _ => {
            json!({ "kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": all.into_iter().map(present::without_type).collect::<Vec<_>>() })
        }
    };
    Ok(answer::value(StatusCode::OK, &value, &accepted))
}
