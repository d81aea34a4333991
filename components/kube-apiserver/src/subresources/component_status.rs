//! componentstatuses, which clients still ask for: etcd, scheduler and controller manager.

use crate::answer;
use crate::media::{self, Answer, Shape};
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::verbs::target::Target;
use crate::verbs::write;
use apimachinery::ApiError;
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Health ports on loopback; upstream asks there as well.
const LOCAL: [(&str, u16); 2] = [("controller-manager", 10257), ("scheduler", 10259)];

async fn statuses(server: &Server) -> Vec<Value> {
    let mut all = Vec::new();
    for (name, port) in LOCAL {
        let reached = tokio::time::timeout(TIMEOUT, TcpStream::connect(("127.0.0.1", port))).await;
        all.push(match reached {
            Ok(Ok(_)) => status(name, Ok("ok".to_owned())),
            Ok(Err(error)) => status(name, Err(format!("dial tcp 127.0.0.1:{port}: {error}"))),
            Err(_) => status(name, Err(format!("dial tcp 127.0.0.1:{port}: timed out"))),
        });
    }
    let etcd = server.stores.storage.check(TIMEOUT).await;
    all.push(status(
        "etcd-0",
        etcd.map(|()| "ok".to_owned()).map_err(|error| error.to_string()),
    ));
    all
}

fn status(name: &str, health: Result<String, String>) -> Value {
    let condition = match health {
        Ok(message) => json!({ "type": "Healthy", "status": "True", "message": message }),
        Err(error) => json!({ "type": "Healthy", "status": "False", "message": error }),
    };
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
