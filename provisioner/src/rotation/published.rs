//! The authorities that API servers tell other servers of the cluster to trust.

use std::collections::BTreeSet;

use pki::Authority;

use super::gates::Seen;

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
const KEYS: [(&str, Authority); 2] = [
    ("client-ca-file", Authority::Kubernetes),
    ("requestheader-client-ca-file", Authority::FrontProxy),
];

/// What is told beyond what is trusted, or not told. API servers only add to the object, since each can have files of its
/// own, so it is deleted when it has more, and they make it anew.
pub fn authorities(seen: &Seen<'_>) -> anyhow::Result<Vec<String>> {
    let api = seen.api()?;
    let object = api.get(PATH)?;
    let mut missing = Vec::new();
    let mut outdated = false;
    for (key, authority) in KEYS {
        let told = certificates(object["data"][key].as_str().unwrap_or_default());
        let trusted = certificates(seen.survey.secrets.trusted(authority));
        if told != trusted {
            missing.push(format!(
                "{key} of extension-apiserver-authentication has other authorities"
            ));
        }
        outdated |= told.difference(&trusted).next().is_some();
    }
    if outdated {
        api.delete(PATH)?;
    }
    Ok(missing)
}

/// The certificates of a PEM text, without line breaks.
fn certificates(pem: &str) -> BTreeSet<String> {
    pem.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|block| block.split_once("-----END"))
        .map(|(body, _)| body.split_whitespace().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::certificates;

    #[test]
    fn line_breaks_and_order_make_no_difference() {
        let text = |bodies: &[&str]| -> String {
            bodies
                .iter()
                .map(|body| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
                .collect()
        };
        assert_eq!(
            certificates(&text(&["AAAA\r\nBB==", "CC"])),
            certificates(&text(&["CC", "AAAABB=="]))
        );
        assert_ne!(certificates(&text(&["AA"])), certificates(&text(&["AA", "CC"])));
        assert!(certificates("").is_empty());
    }
}
