//! Name constraints: which names an authority may sign for (RFC 5280, 4.2.1.10).

use crate::certificate::{Names, address};
use crate::error::VerifyError;
use std::fmt;
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints};

#[derive(Debug, Default)]
pub(crate) struct Constraints {
    permitted: Subtrees,
    excluded: Subtrees,
}

#[derive(Debug, Default)]
struct Subtrees {
    dns: Vec<String>,
    mailboxes: Vec<String>,
    uris: Vec<String>,
    addresses: Vec<Block>,
}

/// Addresses that begin alike.
#[derive(Debug)]
struct Block {
    address: IpAddr,
    mask: IpAddr,
}

impl Constraints {
    /// `None` if they are malformed; otherwise also whether all of them are understood.
    pub fn read(constraints: &NameConstraints<'_>) -> Option<(Self, bool)> {
        let mut whole = true;
        let mut read = |subtrees: &Option<Vec<GeneralSubtree<'_>>>| {
            Subtrees::read(subtrees.as_deref().unwrap_or_default(), &mut whole)
        };
        let (permitted, excluded) = (
            read(&constraints.permitted_subtrees)?,
            read(&constraints.excluded_subtrees)?,
        );
        Some((Self { permitted, excluded }, whole))
    }

    /// Checks the names of a certificate below.
    pub fn check(&self, names: &Names) -> Result<(), VerifyError> {
        let (permitted, excluded) = (&self.permitted, &self.excluded);
        for name in &names.dns {
            check("DNS name", name, &permitted.dns, &excluded.dns, |rule| {
                in_domain(name, rule)
            })?;
        }
        for name in &names.mailboxes {
            check(
                "email address",
                name,
                &permitted.mailboxes,
                &excluded.mailboxes,
                |rule| in_mailboxes(name, rule),
            )?;
        }
        for name in &names.uris {
            let constrained = !permitted.uris.is_empty() || !excluded.uris.is_empty();
            let host = host_of(name);
            if constrained && host.is_none_or(|host| host.parse::<IpAddr>().is_ok()) {
                return Err(VerifyError::NotAuthorizedForName(format!(
                    "URI {name:?} cannot be matched against constraints"
                )));
            }
            check("URI", name, &permitted.uris, &excluded.uris, |rule| {
                host.is_some_and(|host| in_domain(host, rule))
            })?;
        }
        for address in &names.addresses {
            check(
                "IP address",
                &address.to_string(),
                &permitted.addresses,
                &excluded.addresses,
                |rule| rule.contains(*address),
            )?;
        }
        Ok(())
    }
}

fn check<R: fmt::Display>(
    what: &str,
    name: &str,
    permitted: &[R],
    excluded: &[R],
    matches: impl Fn(&R) -> bool,
) -> Result<(), VerifyError> {
    if let Some(rule) = excluded.iter().find(|rule| matches(rule)) {
        return Err(VerifyError::NotAuthorizedForName(format!(
            "{what} {name:?} is excluded by constraint {:?}",
            rule.to_string()
        )));
    }
    if permitted.is_empty() || permitted.iter().any(matches) {
        return Ok(());
    }
    Err(VerifyError::NotAuthorizedForName(format!(
        "{what} {name:?} is not permitted by any constraint"
    )))
}

impl Subtrees {
    fn read(subtrees: &[GeneralSubtree<'_>], whole: &mut bool) -> Option<Self> {
        let mut read = Self::default();
        for subtree in subtrees {
            match &subtree.base {
                GeneralName::DNSName(name) => read.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(name) => read.mailboxes.push((*name).to_owned()),
                GeneralName::URI(name) => read.uris.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    let (own, mask) = bytes.split_at_checked(bytes.len() / 2)?;
                    read.addresses.push(Block {
                        address: address(own)?,
                        mask: address(mask)?,
                    });
                }
                _ => *whole = false,
            }
        }
        Some(read)
    }
}

impl Block {
    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, self.mask, other) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(other)) => own & mask == other & mask,
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(other)) => own & mask == other & mask,
            _ => false,
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ones = match self.mask {
            IpAddr::V4(mask) => mask.to_bits().count_ones(),
            IpAddr::V6(mask) => mask.to_bits().count_ones(),
        };
        write!(out, "{}/{ones}", self.address)
    }
}

/// Whether a DNS name is the rule's domain or below it; below only, if the rule begins with a dot.
fn in_domain(name: &str, rule: &str) -> bool {
    let below = rule.starts_with('.');
    let rule = rule.trim_start_matches('.');
    if rule.is_empty() {
        return true;
    }
    let (name, rule) = (name.to_ascii_lowercase(), rule.to_ascii_lowercase());
    match name.strip_suffix(&rule) {
        Some("") => !below,
        Some(rest) => rest.ends_with('.'),
        None => false,
    }
}

/// A rule with an `@` is a mailbox, without one the host of mailboxes.
fn in_mailboxes(mailbox: &str, rule: &str) -> bool {
    let Some((local, host)) = mailbox.rsplit_once('@') else {
        return false;
    };
    match rule.rsplit_once('@') {
        Some((wanted, at)) => local == wanted && host.eq_ignore_ascii_case(at),
        None => in_domain(host, rule),
    }
}

fn host_of(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(inside) => inside.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(host).filter(|host| !host.is_empty())
}
