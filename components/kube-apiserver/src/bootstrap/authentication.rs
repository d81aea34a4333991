//! `extension-apiserver-authentication`: by what authorities other servers of the cluster know their clients.

use super::config_map;
use crate::beat;
use crate::server::Server;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const PERIOD: Duration = Duration::from_secs(60);
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
            () = beat::next(PERIOD) => {}
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
    let differs = |data: &Value| (data.as_object() != Some(&wanted)).then(|| wanted.clone());
    config_map::keep(server, NAME, differs).await
}
