//! Which certificate a client is shown: by the name that it asks for, else by the address that it has connected to.

use super::certificates::ServingCertificate;
use anyhow::Context;
use arc_swap::ArcSwap;
use component_config::kube_apiserver::SniCertificate;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

tokio::task_local! {
    /// Where the client of this handshake has connected to.
    pub static LOCAL_ADDRESS: IpAddr;
}

/// The server's certificate and those for certain names, re-read when their files change.
#[derive(Debug)]
pub struct Certificates {
    usual: ServingCertificate,
    named: Vec<(ServingCertificate, Vec<String>)>,
    by_name: ArcSwap<HashMap<String, Arc<CertifiedKey>>>,
}

impl Certificates {
    pub fn load(usual: ServingCertificate, named: &[SniCertificate]) -> anyhow::Result<Self> {
        let named = named
            .iter()
            .map(|one| {
                let loaded = ServingCertificate::load(&one.certificate, &one.key)?;
                Ok((loaded, one.names.clone()))
            })
            .collect::<anyhow::Result<Vec<_>>>()
            .context("--tls-sni-cert-key")?;
        let by_name = ArcSwap::from_pointee(index(&named));
        Ok(Self {
            usual,
            named,
            by_name,
        })
    }

    /// Re-reads all files; what can't be used is told, and the old certificate kept.
    pub fn reload(&self) -> anyhow::Result<()> {
        let named = self.named.iter().map(|(certificate, _)| certificate);
        let outcomes: Vec<_> = std::iter::once(&self.usual)
            .chain(named)
            .map(ServingCertificate::reload)
            .collect();
        self.by_name.store(Arc::new(index(&self.named)));
        outcomes.into_iter().collect()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let by_name = self.by_name.load();
        let found = if by_name.is_empty() {
            None
        } else if let Some(name) = hello.server_name() {
            lookup(&by_name, name)
        } else {
            let address = LOCAL_ADDRESS.try_with(|address| address.to_canonical().to_string());
            address.ok().and_then(|address| by_name.get(&address))
        };
        Some(found.map_or_else(|| self.usual.current(), Arc::clone))
    }
}

/// A name itself goes before a wildcard for its first label.
fn lookup<'a, T>(by_name: &'a HashMap<String, T>, name: &str) -> Option<&'a T> {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    by_name.get(&name).or_else(|| {
        let (_, domain) = name.split_once('.')?;
        by_name.get(&format!("*.{domain}"))
    })
}

/// Names that were given go before those found in certificates, and earlier certificates before later ones.
fn index(named: &[(ServingCertificate, Vec<String>)]) -> HashMap<String, Arc<CertifiedKey>> {
    let mut by_name = HashMap::new();
    let (found, given): (Vec<_>, Vec<_>) = named.iter().partition(|(_, names)| names.is_empty());
    for (certificate, names) in given.into_iter().chain(found) {
        let current = certificate.current();
        let own = match (names.is_empty(), current.cert.first()) {
            (true, Some(leaf)) => names_of(leaf),
            _ => names.clone(),
        };
        for name in own {
            by_name.entry(name).or_insert_with(|| Arc::clone(&current));
        }
    }
    by_name
}

/// The names of a certificate. Addresses aren't: who asks for no name is shown the usual certificate, unless the flag names
/// the address. A common name that is an address is none, either.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let common = certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok())
        .filter(|name| name.parse::<IpAddr>().is_err() && is_domain(name))
        .map(str::to_ascii_lowercase);
    let mut names: Vec<String> = common.collect();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        names.extend(
            extension
                .value
                .general_names
                .iter()
                .filter_map(|name| match name {
                    GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                    _ => None,
                }),
        );
    }
    names
}

fn is_domain(name: &str) -> bool {
    name.strip_prefix("*.").unwrap_or(name).split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_wildcard_of_one_label() {
        let by_name: HashMap<String, u8> = [("api.example.com", 1), ("*.example.com", 2)]
            .map(|(name, which)| (name.to_owned(), which))
            .into();
        for (name, expected) in [
            ("api.example.com", Some(1)),
            ("API.example.com.", Some(1)),
            ("www.example.com", Some(2)),
            ("a.www.example.com", None),
            ("example.com", None),
            ("other.org", None),
        ] {
            assert_eq!(lookup(&by_name, name).copied(), expected, "{name}");
        }
    }

    #[test]
    fn given_names_go_before_found_ones_and_earlier_certificates_before_later_ones() {
        let folder = tempfile::tempdir().unwrap();
        let pki = testkit::cluster_pki::ClusterPki::write(folder.path()).unwrap();
        let load = |name: &str, names: &[&str]| {
            pki.serving(name, &["Shared.example.com", "found.example.com"])
                .unwrap();
            let file = |kind: &str| pki.file(&format!("{name}.{kind}"));
            let loaded = ServingCertificate::load(&file("crt"), &file("key")).unwrap();
            (loaded, names.iter().map(|name| (*name).to_owned()).collect())
        };
        let named = [
            load("first", &[]),
            load("second", &[]),
            load("given", &["shared.example.com"]),
            load("late", &["shared.example.com"]),
        ];
        let by_name = index(&named);
        for (name, which) in [
            ("shared.example.com", 2),
            ("found.example.com", 0),
            ("localhost", 0),
            ("second", 1),
        ] {
            assert!(by_name[name].cert == named[which].0.current().cert, "{name}");
        }
        assert!(!by_name.contains_key("given"), "names were given");
        assert!(!by_name.contains_key("127.0.0.1"), "addresses have to be given");
    }
}
