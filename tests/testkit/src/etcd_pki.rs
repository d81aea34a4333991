//! Throw-away certificates for etcd in tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A CA with a server and a client leaf, as files and as PEM.
pub struct EtcdPki {
    pub ca: String,
    pub client_certificate: String,
    pub client_key: String,
    directory: PathBuf,
}

impl EtcdPki {
    /// Makes the certificates and writes them to `directory`.
    pub fn write(directory: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate().context("key of the etcd CA")?;
        let mut ca = CertificateParams::new(Vec::new()).context("etcd CA")?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name.push(DnType::CommonName, "etcd-test-ca");
        let ca_pem = ca.self_signed(&ca_key).context("etcd CA")?.pem();
        let issuer = Issuer::new(ca, ca_key);
        let (server, server_key) = leaf(&issuer, "etcd", ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client_certificate, client_key) = leaf(&issuer, "client", ExtendedKeyUsagePurpose::ClientAuth)?;
        for (name, pem) in [
            ("ca.crt", &ca_pem),
            ("server.crt", &server),
            ("server.key", &server_key),
            ("client.crt", &client_certificate),
            ("client.key", &client_key),
        ] {
            std::fs::write(directory.join(name), pem).with_context(|| format!("write {name}"))?;
        }
        Ok(EtcdPki {
            ca: ca_pem,
            client_certificate,
            client_key,
            directory: directory.to_owned(),
        })
    }

    /// Path of `ca.crt`, `client.crt` or `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(crate) fn add_arguments(&self, command: &mut Command) {
        command
            .arg("--client-cert-auth")
            .arg("--trusted-ca-file")
            .arg(self.file("ca.crt"))
            .arg("--cert-file")
            .arg(self.file("server.crt"))
            .arg("--key-file")
            .arg(self.file("server.key"));
    }

    pub(crate) fn client_tls(&self) -> etcd_client::TlsOptions {
        etcd_client::TlsOptions::new()
            .ca_certificate(etcd_client::Certificate::from_pem(&self.ca))
            .identity(etcd_client::Identity::from_pem(
                &self.client_certificate,
                &self.client_key,
            ))
    }
}

fn leaf(
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(String, String)> {
    let key = KeyPair::generate().context("key of an etcd leaf")?;
    let mut params =
        CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).context("etcd leaf")?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // The gateway inside etcd is a client of its own server.
    params.extended_key_usages = vec![usage, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, issuer).context("etcd leaf")?;
    Ok((certificate.pem(), key.serialize_pem()))
}
