//! Whether a certificate is a host's.

use crate::certificate::{Certificate, Names};
use crate::error::HostError;
use std::net::IpAddr;

/// Names that an error lists; beyond, it would only be long.
const MOST_LISTED: usize = 100;

impl Certificate {
    /// Checks that the certificate names `host`, a DNS name or an address (perhaps in brackets).
    pub(crate) fn check_host(&self, host: &str) -> Result<(), HostError> {
        let none = Names::default();
        let names = self.names.as_ref().unwrap_or(&none);
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            if names
                .addresses
                .iter()
                .any(|own| own.to_canonical() == address.to_canonical())
            {
                return Ok(());
            }
            return Err(self.other_host(
                host,
                names.addresses.iter().map(IpAddr::to_string).collect(),
                true,
            ));
        }
        if names.dns.iter().any(|pattern| matches(pattern, host)) {
            return Ok(());
        }
        Err(self.other_host(host, names.dns.clone(), false))
    }

    fn other_host(&self, host: &str, names: Vec<String>, is_address: bool) -> HostError {
        let host = host.to_owned();
        if self.names.is_none() && matches(&self.common_name, &host) {
            return HostError::CommonName;
        }
        if names.is_empty() {
            return if is_address {
                HostError::NoAddresses { host }
            } else {
                HostError::NoNames { host }
            };
        }
        let listed = names[..names.len().min(MOST_LISTED)].join(", ");
        HostError::Other { names: listed, host }
    }
}

/// RFC 6125, 6.4.3, as Go has it: the first label of a pattern may be `*`, for one label.
pub(crate) fn matches(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if !is_name(host, false) || !is_name(pattern, true) {
        return !host.is_empty() && pattern.eq_ignore_ascii_case(host);
    }
    let (mut wanted, mut given) = (pattern.split('.'), host.split('.'));
    let mut first = true;
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if first => {}
            (Some(one), Some(other)) if one.eq_ignore_ascii_case(other) => {}
            _ => return false,
        }
        first = false;
    }
}

/// Labels of letters, digits, underscores, and inside hyphens; patterns may begin with `*`.
fn is_name(name: &str, is_pattern: bool) -> bool {
    if name.is_empty() || (is_pattern && name == "*") {
        return false;
    }
    name.split('.').enumerate().all(|(position, label)| {
        if label == "*" {
            return is_pattern && position == 0;
        }
        let inside = |(at, byte): (usize, u8)| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (byte == b'-' && at > 0)
        };
        !label.is_empty() && label.bytes().enumerate().all(inside)
    })
}
