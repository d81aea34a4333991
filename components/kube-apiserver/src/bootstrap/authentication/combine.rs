//! What this server publishes beside what others have: API servers whose files differ, as while authorities are renewed
//! one server after the other, must not take away each other's.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use x509::Certificate;

const CLIENTS: &str = "client-ca-file";
const PROXIES: &str = "requestheader-client-ca-file";
/// What says how to take users from a front proxy, each a list of texts.
const LISTS: [&str; 5] = [
    "requestheader-allowed-names",
    "requestheader-extra-headers-prefix",
    "requestheader-group-headers",
    "requestheader-uid-headers",
    "requestheader-username-headers",
];
/// Seconds for which an expired authority is kept, clocks being what they are.
const SLACK: i64 = 300;

/// The data of both, without authorities that have expired. The rule is that of upstream's
/// `pkg/controlplane/controller/clusterauthenticationtrust`.
pub fn combined(there: &Map<String, Value>, own: &Map<String, Value>, now: i64) -> Map<String, Value> {
    let mut out = Map::new();
    let of = |key: &str| [there.get(key), own.get(key)].into_iter().flatten();
    for key in [CLIENTS, PROXIES] {
        let certificates = of(key).flat_map(|value| certificates(value.as_str().unwrap_or_default()));
        let pem: String = distinct(certificates.filter(|certificate| !has_expired(certificate, now)))
            .iter()
            .map(pem)
            .collect();
        if !pem.is_empty() {
            out.insert(key.to_owned(), json!(pem));
        }
    }
    if out.contains_key(PROXIES) {
        for key in LISTS {
            let texts = distinct(of(key).flat_map(texts));
            out.insert(key.to_owned(), json!(json!(texts).to_string()));
        }
    }
    out
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .filter_map(Result::ok)
        .collect()
}

fn has_expired(certificate: &CertificateDer<'_>, now: i64) -> bool {
    Certificate::read(certificate).is_ok_and(|read| read.until() <= now - SLACK)
}

/// A list as it stands in the object; what is none is as good as nothing.
fn texts(value: &Value) -> Vec<String> {
    value
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    const LINE: usize = 64;
    let text = STANDARD.encode(certificate);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = more;
    }
    out.push_str("-----END CERTIFICATE-----\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn authority(until: i32) -> String {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
            .replace('\r', "")
    }

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn authorities_of_others_stay_until_they_expire() {
        let (own, other, old) = (authority(2100), authority(2101), authority(2010));
        let now = 1_800_000_000;
        let there = map(json!({CLIENTS: format!("# other\n{other}{old}"), "more": "x"}));
        let wanted = map(json!({CLIENTS: own}));
        let both = combined(&there, &wanted, now);
        assert_eq!(both, map(json!({CLIENTS: format!("{other}{own}")})));
        assert_eq!(combined(&both, &wanted, now), both, "nothing more to do");
        assert_eq!(combined(&Map::new(), &wanted, now), wanted);
    }

    #[test]
    fn what_proxies_may_is_added_up() {
        let ca = authority(2100);
        let of = |names: &str, groups: &str| {
            map(json!({
                PROXIES: ca,
                "requestheader-allowed-names": names,
                "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
                "requestheader-group-headers": groups,
                "requestheader-uid-headers": "[]",
                "requestheader-username-headers": r#"["X-Remote-User"]"#,
            }))
        };
        assert_eq!(
            combined(&of(r#"["b"]"#, "broken"), &of(r#"["a","b"]"#, r#"["G"]"#), 0),
            of(r#"["b","a"]"#, r#"["G"]"#)
        );
        // Without a proxy here, what another server says of its own stays.
        assert_eq!(combined(&of("[]", "[]"), &Map::new(), 0), of("[]", "[]"));
        let lost = map(json!({"requestheader-allowed-names": "[]"}));
        assert_eq!(combined(&lost, &Map::new(), 0), Map::new());
    }
}
