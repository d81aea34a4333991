//! Where each API server is reached by the others: a key of its own in etcd, which runs out with it.

use super::FEATURE;
use crate::beat;
use crate::bootstrap::server_lease;
use crate::server::Server;
use crate::stores::StoredKind;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use storage::{StorageError, StoredDecoder};

/// Tells this server's address until it drains.
pub async fn run(server: Arc<Server>) {
    if !server.has_feature(FEATURE) {
        return;
    }
    let (ip, port) = own(&server);
    let object = |generation: i64| {
        json!({
            "kind": "Endpoints",
            "apiVersion": "v1",
            "metadata": { "generation": generation, "labels": { "apiserverIdentity": server.id } },
            "subsets": [{
                "addresses": [{ "ip": ip.to_string() }],
                "ports": [{ "name": "https", "port": port, "protocol": "TCP" }],
            }],
        })
    };
    let raw = server.stores.storage.raw();
    loop {
        if let Err(error) = server_lease::renew(&raw, &key(&server.id), object).await {
            tracing::warn!(%error, "other API servers could not be told this one's address");
        }
        tokio::select! {
            () = beat::next(server_lease::PERIOD) => {}
            () = server.lifecycle.drain.cancelled() => return,
        }
    }
}

/// Takes this server's address away.
pub async fn leave(server: &Server) {
    if !server.has_feature(FEATURE) {
        return;
    }
    if let Err(error) = server_lease::end(&server.stores.storage.raw(), &key(&server.id)).await {
        tracing::warn!(%error, "this server's address for other API servers stays until it runs out");
    }
}

/// `host:port` of another server, if it is alive.
pub async fn of(server: &Server, id: &str) -> Result<Option<String>, StorageError> {
    let Some(stored) = server.stores.storage.raw().get(&key(id)).await? else {
        return Ok(None);
    };
    let address = read(server, &stored.value);
    if address.is_none() {
        tracing::warn!(id, "what an API server tells as its address can't be read");
    }
    Ok(address)
}

fn read(server: &Server, stored: &[u8]) -> Option<String> {
    let value: Value = match serde_json::from_slice(stored) {
        Ok(value) => value,
        // Upstream stores it as protobuf.
        Err(_) => {
            let row = server.registry.load().resource("", "v1", "endpoints")?.clone();
            let decoded = StoredKind::new(row).decode(stored).ok()??;
            serde_json::from_slice(&decoded.json).ok()?
        }
    };
    told(&value)
}

fn told(endpoints: &Value) -> Option<String> {
    let subset = &endpoints["subsets"][0];
    let ip: IpAddr = subset["addresses"][0]["ip"].as_str()?.parse().ok()?;
    let port = u16::try_from(subset["ports"][0]["port"].as_u64()?).ok()?;
    Some(SocketAddr::new(ip, port).to_string())
}

fn own(server: &Server) -> (IpAddr, u16) {
    let peers = &server.flags.peers;
    match (peers.peer_advertise_ip, peers.peer_advertise_port) {
        (Some(ip), Some(port)) => (ip, port),
        _ => (server.advertise, server.port),
    }
}

fn key(id: &str) -> String {
    format!("peerserverleases/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let endpoints = |ip: &str, port: Value| json!({ "subsets": [{ "addresses": [{ "ip": ip }], "ports": [{ "port": port }] }] });
        for (endpoints, expected) in [
            (endpoints("192.0.2.1", json!(6443)), Some("192.0.2.1:6443")),
            (endpoints("fd00::1", json!(443)), Some("[fd00::1]:443")),
            (endpoints("elsewhere", json!(443)), None),
            (endpoints("192.0.2.1", json!(100_000)), None),
            (
                json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.1" }] }] }),
                None,
            ),
            (json!({}), None),
        ] {
            assert_eq!(told(&endpoints).as_deref(), expected, "{endpoints}");
        }
    }
}
