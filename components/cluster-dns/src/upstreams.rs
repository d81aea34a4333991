//! Which resolvers other names are asked of. Pure.

use std::net::{IpAddr, SocketAddr};

/// Parses `IP` or `IP:port`.
pub fn parse(text: &str) -> Option<SocketAddr> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    address.or_else(|_| text.parse()).ok()
}

/// The `nameserver` lines of resolv.conf(5). Addresses with a zone are left out: they mean nothing in a pod.
pub fn of_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver")
            && let Some(address) = words.next().and_then(parse)
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read() {
        let text = "# x\nsearch a b\nnameserver 10.0.0.1\nnameserver fd00::1 # comment\nnameserver fe80::1%eth0\nnameserver 10.0.0.1\nnameserver\n";
        let found: Vec<String> = of_resolv_conf(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fd00::1]:53"]);
        assert_eq!(parse("127.0.0.1:5353").map(|a| a.port()), Some(5353));
        assert_eq!(parse("dns.example"), None);
    }
}
