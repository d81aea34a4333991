//! Names of chains, as upstream makes them.

use std::net::SocketAddr;

use sha2::{Digest, Sha256};

use crate::model::Protocol;

/// Traffic to any endpoint.
pub const SERVICE: &str = "KUBE-SVC-";
/// Traffic to an endpoint on this node.
pub const SERVICE_LOCAL: &str = "KUBE-SVL-";
/// Traffic from outside.
pub const EXTERNAL: &str = "KUBE-EXT-";
/// Traffic to a load balancer address with source ranges.
pub const FIREWALL: &str = "KUBE-FW-";
/// One endpoint.
pub const ENDPOINT: &str = "KUBE-SEP-";

/// Chain of a Service's port.
pub fn service_chain(prefix: &str, name: &str, protocol: Protocol) -> String {
    format!("{prefix}{}", hash(&format!("{name}{}", protocol.as_str())))
}

/// Chain of an endpoint of a Service's port.
pub fn endpoint_chain(name: &str, protocol: Protocol, endpoint: &SocketAddr) -> String {
    format!(
        "{ENDPOINT}{}",
        hash(&format!("{name}{}{endpoint}", protocol.as_str()))
    )
}

/// Whether a chain belongs to one Service.
pub fn is_service_chain(chain: &str) -> bool {
    [SERVICE, SERVICE_LOCAL, EXTERNAL, FIREWALL, ENDPOINT]
        .iter()
        .any(|prefix| chain.starts_with(prefix))
}

/// The first 16 letters of the base32 form (RFC 4648) of the text's SHA-256.
fn hash(text: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let digest = Sha256::digest(text.as_bytes());
    let mut bits = 0u32;
    let mut available = 0;
    let mut encoded = String::with_capacity(16);
    // 10 bytes are 80 bits are 16 letters.
    for byte in &digest[..10] {
        bits = (bits << 8) | u32::from(*byte);
        available += 8;
        while available >= 5 {
            available -= 5;
            encoded.push(char::from(LETTERS[((bits >> available) & 31) as usize]));
        }
        bits &= (1 << available) - 1;
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        // Well known from every cluster with these services.
        assert_eq!(
            service_chain(SERVICE, "default/kubernetes:https", Protocol::Tcp),
            "KUBE-SVC-NPX46M4PTMTKRN6Y"
        );
        assert_eq!(
            service_chain(SERVICE, "kube-system/kube-dns:dns", Protocol::Udp),
            "KUBE-SVC-TCOU7JCQXEZGVUNU"
        );
        assert_eq!(
            service_chain(SERVICE, "kube-system/kube-dns:dns-tcp", Protocol::Tcp),
            "KUBE-SVC-ERIFXISQEP7F7OF4"
        );
    }
}
