//! ConfigMaps in `kube-system` that the server keeps.

use crate::metadata;
use crate::server::Server;
use crate::stores;
use apimachinery::managed_fields::Writer;
use apimachinery::{meta, time};
use serde_json::{Map, Value, json};
use storage::{Change, ObjectRef, Preconditions, StorageError};

pub const NAMESPACE: &str = "kube-system";

/// Writes the data that `wanted` gives for those that there are, null without the ConfigMap; nothing for `None`.
pub async fn keep(
    server: &Server,
    name: &str,
    wanted: impl Fn(&Value) -> Option<Map<String, Value>> + Send + Sync,
) -> anyhow::Result<()> {
    let Some(store) = server.stores.named("", "configmaps") else {
        return Ok(());
    };
    let wanted = &wanted;
    let decide = |current: Option<ObjectRef>| async move {
        let existing = current.as_ref().map(stores::parse).transpose()?;
        let before = existing.as_ref().map_or(&Value::Null, |object| &object["data"]);
        let Some(data) = wanted(before) else {
            return Ok::<Change, StorageError>(Change::Nothing);
        };
        let mut object = match existing {
            Some(mut object) => {
                object["data"] = Value::Object(data);
                object
            }
            None => fresh(server, name, data),
        };
        meta::remove(&mut object, "resourceVersion");
        Ok(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    store
        .update::<_, _, StorageError>(NAMESPACE, name, &Preconditions::default(), decide)
        .await?;
    Ok(())
}

fn fresh(server: &Server, name: &str, data: Map<String, Value>) -> Value {
    let now = time::format_time(jiff::Timestamp::now());
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": metadata::new_uid(),
            "creationTimestamp": now,
        },
        "data": data,
    });
    if let Some(row) = server.registry.load().resource("", "v1", "configmaps") {
        let writer = Writer {
            manager: "kube-apiserver",
            subresource: "",
            now: &now,
        };
        api::managed::track_whole(row, None, &mut object, writer);
    }
    object
}
