//! An IPv4 address for a name, asked from the servers of /etc/resolv.conf. (A static program cannot use the C
//! library's resolver, which loads its parts at run time.)

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);
const TRIES: usize = 2;

struct Configuration {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

fn configuration(text: &str) -> Configuration {
    let mut found = Configuration {
        servers: Vec::new(),
        search: Vec::new(),
        ndots: 1,
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["nameserver", server] => found.servers.extend(server.parse::<IpAddr>()),
            ["search", domains @ ..] => {
                found.search = domains.iter().map(|domain| (*domain).to_owned()).collect()
            }
            ["options", options @ ..] => {
                let ndots = options
                    .iter()
                    .find_map(|option| option.strip_prefix("ndots:")?.parse().ok());
                found.ndots = ndots.unwrap_or(found.ndots);
            }
            _ => {}
        }
    }
    found
}

/// The names to ask for, in order.
fn candidates(name: &str, configuration: &Configuration) -> Vec<String> {
    if let Some(absolute) = name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    let searched = configuration
        .search
        .iter()
        .map(|domain| format!("{name}.{domain}"));
    if name.matches('.').count() >= configuration.ndots {
        std::iter::once(name.to_owned()).chain(searched).collect()
    } else {
        searched.chain(std::iter::once(name.to_owned())).collect()
    }
}

/// The first IPv4 address of a name; an address is its own.
pub(crate) fn resolve(name: &str) -> Result<Ipv4Addr, String> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let text =
        std::fs::read_to_string("/etc/resolv.conf").map_err(|error| format!("/etc/resolv.conf: {error}"))?;
    let configuration = configuration(&text);
    let mut last = "/etc/resolv.conf names no server".to_owned();
    for candidate in candidates(name, &configuration) {
        for server in configuration
            .servers
            .iter()
            .cycle()
            .take(configuration.servers.len() * TRIES)
        {
            match ask(&candidate, SocketAddr::from((*server, 53))) {
                Ok(Some(address)) => return Ok(address),
                Ok(None) => {
                    last = format!("{candidate} has no address");
                    break;
                }
                Err(error) => last = format!("{server}: {error}"),
            }
        }
    }
    Err(format!("{name}: {last}"))
}

fn ask(name: &str, server: SocketAddr) -> std::io::Result<Option<Ipv4Addr>> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.connect(server)?;
    let id = (std::process::id() as u16) ^ 0x5a5a;
    socket.send(&question(id, name))?;
    let mut answer = [0u8; 1500];
    let length = socket.recv(&mut answer)?;
    Ok(address(&answer[..length]))
}

fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = Vec::from(id.to_be_bytes());
    // Recursion desired, one question.
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let label = &label.as_bytes()[..label.len().min(63)];
        message.push(label.len() as u8);
        message.extend(label);
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// The first A record of an answer.
fn address(message: &[u8]) -> Option<Ipv4Addr> {
    let number = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let answers = number(6)?;
    let mut at = skip_name(message, 12)? + 4;
    for _ in 0..answers {
        at = skip_name(message, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = message.get(at + 10..at + 10 + length)?;
        if kind == 1
            && let Ok(octets) = <[u8; 4]>::try_from(data)
        {
            return Some(Ipv4Addr::from(octets));
        }
        at += 10 + length;
    }
    None
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_as_resolv_conf_says() {
        let configuration = configuration("search a.b b\nnameserver 10.32.0.10\noptions ndots:2 timeout:1\n");
        assert_eq!(configuration.servers, [IpAddr::from([10, 32, 0, 10])]);
        assert_eq!(candidates("web", &configuration), ["web.a.b", "web.b", "web"]);
        assert_eq!(candidates("web.x.y", &configuration)[0], "web.x.y");
        assert_eq!(candidates("web.", &configuration), ["web"]);
    }

    #[test]
    fn answers_are_read_and_broken_ones_survived() {
        let mut message = question(7, "web.local");
        message[7] = 2;
        // An alias, then the address.
        message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 7]);
        assert_eq!(address(&message), Some(Ipv4Addr::new(10, 0, 0, 7)));
        for length in 0..message.len() {
            assert_eq!(address(&message[..length]), None);
        }
    }
}
