//! Requests that an authenticating proxy forwards, with the user in headers.

use super::Rejected;
use crate::header;
use crate::identity::User;
use crate::serving::certificates::ClientAuthority;
use crate::serving::peer::Peer;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which proxies are believed and which headers they set.
#[derive(Debug)]
pub struct FrontProxy {
    pub authority: Arc<ClientAuthority>,
    /// Common names that may act as proxy; empty allows any that the authority signed.
    pub allowed_names: Vec<String>,
    pub username_headers: Vec<String>,
    pub uid_headers: Vec<String>,
    pub group_headers: Vec<String>,
    pub extra_prefixes: Vec<String>,
}

impl FrontProxy {
    /// The forwarded user, if the connection is a proxy's and names one.
    pub fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<Option<User>, Rejected> {
        let name = first(headers, &self.username_headers);
        if name.is_empty() || peer.chain.is_empty() {
            return Ok(None);
        }
        if self.authority.verify(peer).is_err() {
            // Not a proxy's certificate; the headers of anybody else mean nothing.
            return Ok(None);
        }
        let common_name = peer
            .certificate()
            .map(|identity| identity.common_name.clone())
            .unwrap_or_default();
        if !self.allowed_names.is_empty() && !self.allowed_names.contains(&common_name) {
            return Err(Rejected(format!(
                "x509: subject with cn={common_name} is not in the allowed list"
            )));
        }
        let groups = self
            .group_headers
            .iter()
            .flat_map(|header| headers.get_all(header.as_str()).iter())
            .map(|value| header::text(value).into_owned())
            .filter(|value| !value.is_empty())
            .collect();
        Ok(Some(User {
            name,
            uid: first(headers, &self.uid_headers),
            groups,
            extra: extra_headers(headers, &self.extra_prefixes),
        }))
    }
}

fn first(headers: &HeaderMap, names: &[String]) -> String {
    names
        .iter()
        .filter_map(|name| headers.get(name.as_str()))
        .map(header::text)
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .into_owned()
}

/// Extra data from headers with one of the prefixes. Names of headers are lower case here; what is encoded in a key
/// keeps its case.
pub(super) fn extra_headers(headers: &HeaderMap, prefixes: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let key = prefixes
            .iter()
            .find_map(|prefix| name.as_str().strip_prefix(prefix.to_ascii_lowercase().as_str()));
        if let Some(key) = key {
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            extra
                .entry(key)
                .or_default()
                .push(header::text(value).into_owned());
        }
    }
    extra
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_extra_data() {
        let prefixes = ["X-Remote-Extra-".to_owned()];
        for (name, expected) in [
            ("x-remote-extra-Scopes", Some("scopes")),
            ("x-remote-extra-acme.io%2Fproject", Some("acme.io/project")),
            ("x-remote-extra-%41bc", Some("Abc")),
            ("x-remote-group", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                "v".parse().unwrap(),
            );
            let found = extra_headers(&headers, &prefixes);
            assert_eq!(found.keys().next().map(String::as_str), expected, "{name}");
        }
    }
}
