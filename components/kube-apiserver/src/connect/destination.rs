//! Where a connection goes.

use super::egress::Way;
use crate::server::Server;
use apimachinery::{ApiError, GroupResource, Reason};
use rustls::ClientConfig;
use serde_json::Value;
use std::sync::Arc;

const KUBELET_PORT: u16 = 10250;
/// The feature, and its gate, of a kubelet that translates WebSockets itself.
pub const WEBSOCKETS: &str = "ExtendWebSocketsToKubelet";

/// The other end of an outgoing connection.
#[derive(Clone, Debug)]
pub struct Destination {
    pub host: String,
    pub port: u16,
    /// `None` is plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    pub way: Way,
}

impl Destination {
    /// `host:port`, IPv6 in brackets.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A node's kubelet.
#[derive(Clone, Debug)]
pub struct Kubelet {
    pub destination: Destination,
    /// Its node declares that it takes WebSockets with closing channels, and tunnels.
    pub takes_websockets: bool,
}

/// The kubelet of a node.
pub async fn kubelet(server: &Server, node_name: &str) -> Result<Kubelet, ApiError> {
    let node = server
        .stores
        .newest("", "nodes", "", node_name)
        .await
        .map_err(ApiError::internal)?;
    let node = node.ok_or_else(|| ApiError::not_found(&GroupResource::new("", "nodes"), node_name))?;
    let host = address(&node, &server.flags.kubelet_preferred_address_types).ok_or_else(|| {
        let known = node["status"]["addresses"].as_array().into_iter().flatten();
        let known = known.map(|one| {
            format!(
                "{{{} {}}}",
                one["type"].as_str().unwrap_or(""),
                one["address"].as_str().unwrap_or("")
            )
        });
        let known = known.collect::<Vec<_>>().join(" ");
        let message = format!("no preferred addresses found; known addresses: [{known}]");
        ApiError::new(500, Reason::Unknown, message, None)
    })?;
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    let destination = Destination {
        host,
        port: port.unwrap_or(KUBELET_PORT),
        tls: Some(server.backends.kubelet()),
        way: server.egress.cluster.clone(),
    };
    Ok(Kubelet {
        destination,
        takes_websockets: declares(&node, WEBSOCKETS),
    })
}

/// Whether a node says that it has a feature.
fn declares(node: &Value, feature: &str) -> bool {
    let declared = node["status"]["declaredFeatures"].as_array();
    declared.is_some_and(|declared| declared.iter().any(|own| own == feature))
}

/// The node's address of the type that comes first in `preferred`.
pub fn address(node: &Value, preferred: &[String]) -> Option<String> {
    let addresses = node["status"]["addresses"].as_array()?;
    preferred.iter().find_map(|wanted| {
        let found = addresses
            .iter()
            .find(|address| address["type"] == wanted.as_str())?;
        found["address"]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    })
}

/// `[scheme:]name[:port]`, as proxy URLs name their target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyName {
    pub scheme: String,
    pub name: String,
    pub port: String,
}

impl ProxyName {
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme @ ("http" | "https" | ""), name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        (!name.is_empty()).then(|| Self {
            scheme: scheme.to_owned(),
            name: name.to_owned(),
            port: port.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn proxy_names() {
        let name = |scheme: &str, name: &str, port: &str| {
            Some(ProxyName {
                scheme: scheme.into(),
                name: name.into(),
                port: port.into(),
            })
        };
        for (text, expected) in [
            ("a", name("", "a", "")),
            ("a:80", name("", "a", "80")),
            ("https:a:http", name("https", "a", "http")),
            ("https:a:", name("https", "a", "")),
            ("ftp:a:1", None),
            ("", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(ProxyName::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn features_are_declared_in_a_nodes_status() {
        for (status, expected) in [
            (json!({"declaredFeatures": ["Another", WEBSOCKETS]}), true),
            (json!({"declaredFeatures": ["Another"]}), false),
            (json!({"declaredFeatures": []}), false),
            (json!({}), false),
        ] {
            let node = json!({ "status": status });
            assert_eq!(declares(&node, WEBSOCKETS), expected, "{node}");
        }
    }

    #[test]
    fn preferred_addresses() {
        let node = json!({"status": {"addresses": [{"type": "Hostname", "address": "h"}, {"type": "InternalIP", "address": "10.0.0.1"}]}});
        assert_eq!(
            address(&node, &["InternalIP".into(), "Hostname".into()]).as_deref(),
            Some("10.0.0.1")
        );
        assert_eq!(address(&node, &["ExternalIP".into()]), None);
    }
}
