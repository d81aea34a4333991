use std::collections::BTreeSet;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{Collected, Finding, Row};

/// Days until the end; negative when it has passed.
pub fn days(row: &Row, now: SystemTime) -> i64 {
    let whole = |seconds: u64| i64::try_from(seconds / 86_400).unwrap_or(i64::MAX);
    match row.certificate.not_after.duration_since(now) {
        Ok(left) => whole(left.as_secs()),
        Err(error) => -whole(error.duration().as_secs()) - 1,
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}

/// One line: how many different certificates there are, and which expires first.
pub fn summary(rows: &[Row], now: SystemTime) -> Option<String> {
    let different: BTreeSet<&str> = rows
        .iter()
        .map(|row| row.certificate.fingerprint.as_str())
        .collect();
    let first = rows.iter().min_by_key(|row| row.certificate.not_after)?;
    let ends = match days(first, now) {
        gone if gone < 0 => "has expired".to_owned(),
        days => format!("expires in {days} days"),
    };
    Some(format!(
        "{} certificates on the hosts and here; the first, {} of {} ({}), {ends}",
        different.len(),
        first.certificate.common_name,
        first.host,
        first.place,
    ))
}

fn names(row: &Row) -> Vec<String> {
    let addresses = row.certificate.addresses.iter().map(ToString::to_string);
    row.certificate
        .dns_names
        .iter()
        .cloned()
        .chain(addresses)
        .collect()
}

/// For people: a line per certificate, what is wrong below.
pub fn table(collected: &Collected, now: SystemTime) -> String {
    let mut cells: Vec<[String; 6]> =
        vec![["HOST", "PLACE", "SUBJECT", "ISSUER", "DAYS", "NAMES"].map(str::to_owned)];
    for row in &collected.rows {
        cells.push([
            row.host.clone(),
            row.place.to_string(),
            row.certificate.common_name.clone(),
            row.certificate.issuer.clone(),
            days(row, now).to_string(),
            names(row).join(" "),
        ]);
    }
    let widths: [usize; 5] = std::array::from_fn(|column| {
        cells
            .iter()
            .map(|row| row[column].len())
            .max()
            .unwrap_or_default()
    });
    let mut lines: Vec<String> = Vec::new();
    for row in &cells {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        line.push_str(&row[5]);
        lines.push(line.trim_end().to_owned());
    }
    for row in &collected.rows {
        for finding in &row.findings {
            lines.push(format!("{}: {}: {finding}", row.host, row.place));
        }
    }
    for failure in &collected.unreachable {
        lines.push(format!("{}: unreachable: {}", failure.host, failure.reason));
    }
    lines.join("\n") + "\n"
}

/// For programs.
pub fn json(collected: &Collected, now: SystemTime) -> Value {
    let rows: Vec<Value> = collected
        .rows
        .iter()
        .map(|row| {
            json!({
                "host": row.host,
                "kind": row.place.kind(),
                "place": row.place.to_string(),
                "commonName": row.certificate.common_name,
                "organizations": row.certificate.organizations,
                "issuer": row.certificate.issuer,
                "serial": row.certificate.serial,
                "fingerprint": row.certificate.fingerprint,
                "authority": row.certificate.authority,
                "names": names(row),
                "notBefore": timestamp(row.certificate.not_before),
                "notAfter": timestamp(row.certificate.not_after),
                "days": days(row, now),
                "findings": row.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let unreachable: Vec<Value> = collected
        .unreachable
        .iter()
        .map(|failure| json!({ "host": failure.host, "reason": failure.reason }))
        .collect();
    json!({ "certificates": rows, "unreachable": unreachable })
}

/// For Prometheus, as node_exporter's textfile collector takes it.
pub fn prometheus(collected: &Collected) -> String {
    let labels = |row: &Row| {
        let value = |text: &str| {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        format!(
            "host=\"{}\",kind=\"{}\",place=\"{}\",common_name=\"{}\",issuer=\"{}\",serial=\"{}\"",
            value(&row.host),
            row.place.kind(),
            value(&row.place.to_string()),
            value(&row.certificate.common_name),
            value(&row.certificate.issuer),
            row.certificate.serial,
        )
    };
    let mut text =
        "# HELP hardway_certificate_not_after_seconds When the certificate expires, in seconds since 1970.\n\
                    # TYPE hardway_certificate_not_after_seconds gauge\n"
            .to_owned();
    for row in &collected.rows {
        let value = seconds(row.certificate.not_after);
        text.push_str(&format!(
            "hardway_certificate_not_after_seconds{{{}}} {value}\n",
            labels(row)
        ));
    }
    text.push_str(
        "# HELP hardway_certificate_old_served 1 when a process shows a certificate that has been renewed on disk.\n\
         # TYPE hardway_certificate_old_served gauge\n",
    );
    for row in collected.rows.iter().filter(|row| row.place.kind() == "served") {
        let old = row
            .findings
            .iter()
            .any(|finding| matches!(finding, Finding::OldServed { .. }));
        text.push_str(&format!(
            "hardway_certificate_old_served{{{}}} {}\n",
            labels(row),
            u8::from(old)
        ));
    }
    text.push_str(
        "# HELP hardway_host_reachable 0 when the host could not be asked.\n# TYPE hardway_host_reachable gauge\n",
    );
    for failure in &collected.unreachable {
        text.push_str(&format!(
            "hardway_host_reachable{{host=\"{}\"}} 0\n",
            failure.host
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pki::{Authority, CertificateAuthority};

    use super::super::Place;
    use super::*;

    #[test]
    fn the_summary_is_of_what_there_is() {
        let now = SystemTime::now();
        let authority = CertificateAuthority::generate(Authority::Etcd, "lab", now).unwrap();
        let certificate = pki::inspect(authority.certificate()).unwrap();
        let end = certificate.not_after;
        let path = "/etc/hardway/current/pki/etcd-ca.crt".to_owned();
        // The same one in two places.
        let rows = ["cp-1", "cp-2"].map(|host| {
            let place = Place::File { path: path.clone() };
            Row::new(host, place, certificate.clone())
        });
        let said = |at: SystemTime| summary(&rows, at).unwrap();
        let first = "1 certificates on the hosts and here; the first, lab-etcd-ca of cp-1 \
                     (/etc/hardway/current/pki/etcd-ca.crt), ";
        let day = Duration::from_secs(86_400);
        assert_eq!(said(end - 5 * day), format!("{first}expires in 5 days"));
        assert_eq!(said(end + Duration::from_secs(1)), format!("{first}has expired"));
        assert_eq!(summary(&[], now), None);
    }
}
