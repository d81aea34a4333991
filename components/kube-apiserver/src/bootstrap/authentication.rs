//! `extension-apiserver-authentication`: by what authorities other servers of the cluster know their clients.

use crate::server::Server;
use crate::stores;
use apimachinery::{meta, time};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use storage::{Change, ObjectRef, Preconditions, StorageError};

const PERIOD: Duration = Duration::from_secs(60);
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

fn data(server: &Server) -> Map<String, Value> {
    let mut data = Map::new();
    if let Some(authority) = &server.authenticator.client_authority {
        data.insert("client-ca-file".to_owned(), json!(authority.pem()));
    }
    if let Some(proxy) = &server.authenticator.front_proxy {
        let list = |items: &[String]| json!(json!(items).to_string());
        data.insert(
            "requestheader-client-ca-file".to_owned(),
            json!(proxy.authority.pem()),
        );
        data.insert(
            "requestheader-allowed-names".to_owned(),
            list(&proxy.allowed_names),
        );
        data.insert(
            "requestheader-username-headers".to_owned(),
            list(&proxy.username_headers),
        );
        data.insert("requestheader-uid-headers".to_owned(), list(&proxy.uid_headers));
        data.insert(
            "requestheader-group-headers".to_owned(),
            list(&proxy.group_headers),
        );
        data.insert(
            "requestheader-extra-headers-prefix".to_owned(),
            list(&proxy.extra_prefixes),
        );
    }
    data
}

/// Repairs the object when somebody changed it, and follows renewed authorities.
pub async fn run(server: Arc<Server>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = server.lifecycle.drain.cancelled() => return,
        }
        if let Err(error) = reconcile(&server).await {
            tracing::warn!(%error, name = NAME, "the client authorities could not be published");
        }
    }
}

/// Writes the configuration, unless it is there already.
pub async fn reconcile(server: &Server) -> anyhow::Result<()> {
    let wanted = data(server);
    let Some(store) = server.stores.named("", "configmaps") else {
        return Ok(());
    };
    let wanted = &wanted;
    let decide = |current: Option<ObjectRef>| async move {
        let existing = current.as_ref().map(stores::parse).transpose()?;
        if existing
            .as_ref()
            .is_some_and(|existing| existing["data"].as_object() == Some(wanted))
        {
            return Ok::<Change, StorageError>(Change::Nothing);
        }
        let mut object = existing.unwrap_or_else(|| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": NAME,
                    "namespace": NAMESPACE,
                    "uid": crate::metadata::new_uid(),
                    "creationTimestamp": time::format_time(jiff::Timestamp::now()),
                },
            })
        });
        object["data"] = Value::Object(wanted.clone());
        meta::remove(&mut object, "resourceVersion");
        Ok(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    store
        .update::<_, _, StorageError>(NAMESPACE, NAME, &Preconditions::default(), decide)
        .await?;
    Ok(())
}
