//! What was found, as rows, and what is wrong with each. No I/O.

use std::time::{Duration, SystemTime};

use pki::Inspected;

use super::scan::Found;

/// One certificate in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub host: String,
    pub place: Place,
    pub certificate: Inspected,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    File {
        path: String,
    },
    /// In a kubeconfig.
    Embedded {
        path: String,
        field: String,
    },
    /// Shown by a running process.
    Process {
        process: String,
        address: String,
    },
}

impl Place {
    pub fn kind(&self) -> &'static str {
        match self {
            Place::File { .. } => "file",
            Place::Embedded { .. } => "embedded",
            Place::Process { .. } => "served",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File { path } => f.write_str(path),
            Place::Embedded { path, field } => write!(f, "{path} {field}"),
            Place::Process { process, address } => write!(f, "{process} {address}"),
        }
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    Expired,
    ExpiresSoon,
    NotYetValid,
    /// The process shows one, and the file at this path already holds its successor.
    OldServed {
        renewed: String,
    },
    /// The authority that signed it is trusted nowhere on the host any more.
    AuthorityGone,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Expired => f.write_str("expired"),
            Finding::ExpiresSoon => f.write_str("expires soon"),
            Finding::NotYetValid => f.write_str("not valid yet"),
            Finding::OldServed { renewed } => {
                write!(f, "renewed on disk, old one still served ({renewed})")
            }
            Finding::AuthorityGone => f.write_str("its authority is not trusted any more"),
        }
    }
}

impl Row {
    pub fn new(host: &str, place: Place, certificate: Inspected) -> Row {
        Row {
            host: host.to_owned(),
            place,
            certificate,
            findings: Vec::new(),
        }
    }

    fn is_served(&self) -> bool {
        matches!(self.place, Place::Process { .. })
    }
}

/// A row per certificate; a bundle has several. Unreadable ones are left out: what cannot be read is not used.
pub fn of_files(host: &str, files: &[Found]) -> Vec<Row> {
    let mut rows = Vec::new();
    for found in files {
        let place = match &found.embedded {
            None => Place::File {
                path: found.path.clone(),
            },
            Some(field) => Place::Embedded {
                path: found.path.clone(),
                field: field.clone(),
            },
        };
        for certificate in pki::inspect_all(&found.pem).unwrap_or_default() {
            rows.push(Row::new(host, place.clone(), certificate));
        }
    }
    rows
}

/// Fills the findings of all rows. `warn` is how long before its end a certificate is a finding.
pub fn judge(rows: &mut [Row], now: SystemTime, warn: Duration) {
    let findings: Vec<Vec<Finding>> = rows.iter().map(|row| findings(row, rows, now, warn)).collect();
    for (row, findings) in rows.iter_mut().zip(findings) {
        row.findings = findings;
    }
    rows.sort_by(|a, b| (&a.host, &a.place).cmp(&(&b.host, &b.place)));
}

fn findings(row: &Row, rows: &[Row], now: SystemTime, warn: Duration) -> Vec<Finding> {
    let certificate = &row.certificate;
    let mut findings = Vec::new();
    let remaining = certificate.remaining(now);
    if remaining.is_zero() {
        findings.push(Finding::Expired);
    } else if remaining < warn {
        findings.push(Finding::ExpiresSoon);
    }
    if certificate.not_before > now {
        findings.push(Finding::NotYetValid);
    }
    let here: Vec<&Row> = rows.iter().filter(|other| other.host == row.host).collect();
    if row.is_served() {
        findings.extend(old_served(row, &here));
    }
    let authorities: Vec<&&Row> = here.iter().filter(|other| other.certificate.authority).collect();
    // One that vouches for itself, such as a storage's, has no authority that could go.
    let own = certificate.issuer == certificate.common_name;
    let known = certificate.authority_key_id.as_ref().is_none_or(|id| {
        own || authorities.is_empty()
            || authorities
                .iter()
                .any(|authority| authority.certificate.key_id.as_ref() == Some(id))
    });
    if !certificate.authority && !known {
        findings.push(Finding::AuthorityGone);
    }
    findings
}

/// True for a served certificate that no file holds while one for the same subject and names does.
fn old_served(row: &Row, here: &[&Row]) -> Option<Finding> {
    let files = || here.iter().filter(|other| !other.is_served());
    if files().any(|other| other.certificate.fingerprint == row.certificate.fingerprint) {
        return None;
    }
    let successor = files().find(|other| {
        let (new, old) = (&other.certificate, &row.certificate);
        !new.authority
            && new.common_name == old.common_name
            && new.dns_names == old.dns_names
            && new.addresses == old.addresses
            && new.server == old.server
            && new.client == old.client
            && new.not_before >= old.not_before
    })?;
    Some(Finding::OldServed {
        renewed: successor.place.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * u32::try_from(days).unwrap()
    }

    fn row(place: Place, name: &str, serial: &str, from: u64, until: u64) -> Row {
        let certificate = Inspected {
            common_name: name.to_owned(),
            organizations: Vec::new(),
            issuer: "ca".to_owned(),
            dns_names: vec![name.to_owned()],
            addresses: Vec::new(),
            client: false,
            server: true,
            authority: name == "ca",
            not_before: at(from),
            not_after: at(until),
            public_key: Vec::new(),
            serial: serial.to_owned(),
            fingerprint: serial.to_owned(),
            key_id: (name == "ca").then(|| "k".to_owned()),
            authority_key_id: Some("k".to_owned()),
        };
        Row::new("cp-1", place, certificate)
    }

    fn file(path: &str) -> Place {
        Place::File {
            path: path.to_owned(),
        }
    }

    fn process() -> Place {
        Place::Process {
            process: "etcd".to_owned(),
            address: "0.0.0.0:2379".to_owned(),
        }
    }

    #[test]
    fn findings_of_a_host() {
        let old_served = Finding::OldServed {
            renewed: "/etcd.crt".to_owned(),
        };
        type Case = (Row, Vec<Finding>);
        let table: Vec<Case> = vec![
            (row(process(), "etcd", "2", 10, 400), vec![]),
            (row(process(), "etcd", "1", 0, 400), vec![old_served.clone()]),
            (
                row(process(), "etcd", "1", 0, 101),
                vec![Finding::ExpiresSoon, old_served],
            ),
            (row(process(), "other", "9", 0, 90), vec![Finding::Expired]),
            (
                row(file("/x.crt"), "x", "3", 101, 400),
                vec![Finding::NotYetValid],
            ),
        ];
        for (subject, want) in table {
            let mut rows = vec![
                row(file("/ca.crt"), "ca", "0", 0, 4000),
                row(file("/etcd.crt"), "etcd", "2", 10, 400),
                subject.clone(),
            ];
            judge(&mut rows, at(100), DAY * 30);
            let found = rows
                .iter()
                .rev()
                .find(|row| row.place == subject.place && row.certificate == subject.certificate)
                .unwrap();
            assert_eq!(found.findings, want, "{subject:?}");
        }
    }

    #[test]
    fn a_leaf_of_an_authority_that_is_gone() {
        let mut leaf = row(file("/x.crt"), "x", "3", 0, 400);
        leaf.certificate.authority_key_id = Some("gone".to_owned());
        let mut rows = vec![row(file("/ca.crt"), "ca", "0", 0, 4000), leaf];
        judge(&mut rows, at(100), DAY);
        assert_eq!(rows[1].findings, [Finding::AuthorityGone]);
        assert!(rows[0].findings.is_empty());
    }
}
