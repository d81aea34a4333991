//! `--tls-min-version`, `--tls-cipher-suites` and `--tls-curve-preferences`: what a server agrees to in a handshake.

use anyhow::bail;
use component_config::tls::TlsFlags;
use rustls::crypto::CryptoProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// What a server agrees to. The default is TLS 1.2 and 1.3 with all suites and groups that are there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Agreement<'a> {
    /// The lowest version, `VersionTLS12` or `VersionTLS13`; empty is the first.
    pub min_version: &'a str,
    /// The suites of TLS 1.2 by their names; none is all. Those of TLS 1.3 are always there, as in Go.
    pub cipher_suites: &'a [String],
    /// Groups in which keys are exchanged, by their numbers among IANA's TLS Supported Groups; none is all.
    pub curves: &'a [u16],
}

/// Suites of TLS 1.2 that Go has and nothing here: without forward secrecy, or with CBC, RC4 or 3DES. A list may name
/// them, since other components read the same list; they are never offered.
const GO_ONLY: &[&str] = &[
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_RC4_128_SHA",
];

impl<'a> From<&'a TlsFlags> for Agreement<'a> {
    fn from(flags: &'a TlsFlags) -> Self {
        Self {
            min_version: &flags.tls_min_version,
            cipher_suites: &flags.tls_cipher_suites,
            curves: &flags.tls_curve_preferences,
        }
    }
}

impl Agreement<'_> {
    /// The cryptography with the chosen suites and groups only.
    ///
    /// # Errors
    ///
    /// A suite or a group isn't there or is named in a way that means nothing, or no suite of the lowest version is left.
    pub fn provider(&self) -> anyhow::Result<CryptoProvider> {
        let mut provider = super::provider(self.curves)?;
        if self.cipher_suites.is_empty() {
            return Ok(provider);
        }
        let there: Vec<String> = provider.cipher_suites.iter().map(name_of).collect();
        for given in self.cipher_suites {
            let known = there.iter().any(|name| same(name, given)) || GO_ONLY.contains(&given.as_str());
            if !known {
                bail!(
                    "--tls-cipher-suites: {given:?} is not supported; use {}",
                    there.join(", ")
                );
            }
        }
        provider.cipher_suites.retain(|suite| {
            let name = name_of(suite);
            suite.tls13().is_some() || self.cipher_suites.iter().any(|given| same(&name, given))
        });
        let none_by_name = provider.cipher_suites.iter().all(|suite| suite.tls13().is_some());
        let only_go_only = self
            .cipher_suites
            .iter()
            .all(|given| GO_ONLY.contains(&given.as_str()));
        if none_by_name && only_go_only {
            bail!(
                "--tls-cipher-suites: none of the suites is supported; use {}",
                there.join(", ")
            );
        }
        Ok(provider)
    }

    /// # Errors
    ///
    /// The lowest version is none that there is.
    pub fn versions(&self) -> anyhow::Result<Vec<&'static SupportedProtocolVersion>> {
        match self.min_version {
            "" | "VersionTLS12" => Ok(vec![&TLS13, &TLS12]),
            "VersionTLS13" => Ok(vec![&TLS13]),
            other => bail!("--tls-min-version: {other:?} is not supported; use VersionTLS12 or VersionTLS13"),
        }
    }
}

/// The name of IANA's list, which is also Go's.
fn name_of(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1)
}

/// Whether a suite is meant. Go once called those with ChaCha20 without their hash, and takes both names.
fn same(name: &str, given: &str) -> bool {
    name == given
        || name
            .strip_suffix("_SHA256")
            .is_some_and(|short| short.ends_with("POLY1305") && short == given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio_rustls::{TlsAcceptor, TlsConnector};
    use x509::AnyServer;

    fn left(given: &[&str]) -> anyhow::Result<Vec<String>> {
        let cipher_suites: Vec<String> = given.iter().map(|name| (*name).to_owned()).collect();
        let agreement = Agreement {
            cipher_suites: &cipher_suites,
            ..Agreement::default()
        };
        let suites = agreement.provider()?.cipher_suites;
        Ok(suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(name_of)
            .collect())
    }

    #[test]
    fn the_chosen_suites_are_left() {
        assert_eq!(left(&[]).unwrap().len(), 6);
        for (given, want) in [
            (
                &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"][..],
                &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"][..],
            ),
            (
                &["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"],
                &["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"],
            ),
            (
                &[
                    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                    "TLS_RSA_WITH_AES_256_GCM_SHA384",
                ],
                &["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"],
            ),
            (&["TLS_AES_128_GCM_SHA256"], &[]),
        ] {
            assert_eq!(left(given).unwrap(), want, "{given:?}");
        }
    }

    #[test]
    fn suites_that_nobody_has_are_refused() {
        for (given, said) in [
            (
                "TLS_NO_SUCH",
                "\"TLS_NO_SUCH\" is not supported; use TLS_AES_256_GCM_SHA384",
            ),
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM", "is not supported"),
            (
                "TLS_RSA_WITH_AES_128_CBC_SHA",
                "none of the suites is supported; use TLS_AES_256",
            ),
        ] {
            let error = left(&[given]).unwrap_err().to_string();
            assert!(error.contains(said), "{given}: {error}");
        }
    }

    #[test]
    fn the_lowest_version_is_one_that_there_is() {
        let versions = |min_version| {
            let agreement = Agreement {
                min_version,
                ..Agreement::default()
            };
            agreement.versions().map(|versions| versions.len())
        };
        assert_eq!(versions("").unwrap(), 2);
        assert_eq!(versions("VersionTLS12").unwrap(), 2);
        assert_eq!(versions("VersionTLS13").unwrap(), 1);
        for wrong in ["VersionTLS11", "1.3"] {
            let error = versions(wrong).unwrap_err().to_string();
            assert!(error.contains("use VersionTLS12 or VersionTLS13"), "{error}");
        }
    }

    /// The suite that a client of one version comes to with a server, if they agree.
    async fn handshake(
        agreement: Agreement<'_>,
        client: &'static SupportedProtocolVersion,
    ) -> Option<String> {
        let certificate =
            super::super::ServingCertificate::self_signed(vec!["localhost".to_owned()]).unwrap();
        let server = super::super::server_config(certificate, agreement).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[client])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
            .with_no_client_auth();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
        let (served, asked) = tokio::join!(
            TlsAcceptor::from(Arc::new(server)).accept(near),
            TlsConnector::from(Arc::new(client)).connect(name, far),
        );
        assert_eq!(served.is_ok(), asked.is_ok());
        let asked = asked.ok()?;
        asked
            .get_ref()
            .1
            .negotiated_cipher_suite()
            .map(|suite| name_of(&suite))
    }

    #[tokio::test]
    async fn clients_get_what_the_server_agrees_to() {
        let suites = ["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256".to_owned()];
        let usual = Agreement::default();
        let newest = Agreement {
            min_version: "VersionTLS13",
            ..usual
        };
        let chosen = Agreement {
            cipher_suites: &suites,
            ..usual
        };
        assert!(handshake(usual, &TLS12).await.is_some());
        assert!(handshake(usual, &TLS13).await.is_some());
        assert_eq!(handshake(newest, &TLS12).await, None);
        assert!(handshake(newest, &TLS13).await.is_some());
        assert_eq!(handshake(chosen, &TLS12).await.as_ref(), suites.first());
        assert!(handshake(chosen, &TLS13).await.is_some());
    }
}
