//! Throw-away certificates and keys of a control plane.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// One authority for everything, its leaves, and service-account keys, as files in a directory.
pub struct ClusterPki {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterPki {
    /// Makes the authority, the serving certificate and the keys that an API server needs.
    pub fn write(directory: &Path) -> Result<Self> {
        let key = KeyPair::generate().context("key of the authority")?;
        let mut params = CertificateParams::new(Vec::new()).context("authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "test-ca");
        let pem = params.self_signed(&key).context("authority")?.pem();
        std::fs::write(directory.join("ca.crt"), pem).context("write ca.crt")?;
        std::fs::write(directory.join("ca.key"), key.serialize_pem()).context("write ca.key")?;
        let pki = Self {
            directory: directory.to_owned(),
            issuer: Issuer::new(params, key),
        };
        pki.serving("apiserver", &["kubernetes.default.svc", "aggregated.default.svc"])?;
        pki.leaf(
            "kubelet-client",
            "kube-apiserver-kubelet-client",
            &["system:masters"],
        )?;
        pki.leaf("front-proxy", "front-proxy-client", &[])?;
        let accounts = KeyPair::generate().context("service-account key")?;
        std::fs::write(directory.join("sa.key"), accounts.serialize_pem()).context("write sa.key")?;
        std::fs::write(directory.join("sa.pub"), accounts.public_key_pem()).context("write sa.pub")?;
        Ok(pki)
    }

    /// Path of a file by name, such as `ca.crt`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes `NAME.crt` and `NAME.key` for a user in groups, good for both ends of a connection on loopback.
    pub fn leaf(&self, name: &str, user: &str, groups: &[&str]) -> Result<()> {
        self.sign(name, user, groups, loopback()?)
    }

    /// Makes `NAME.crt` and `NAME.key` of a server on loopback that also has these DNS names.
    pub fn serving(&self, name: &str, names: &[&str]) -> Result<()> {
        let mut all = loopback()?;
        for name in names {
            all.push(SanType::DnsName((*name).try_into().context("name")?));
        }
        self.sign(name, name, &[], all)
    }

    /// Makes `NAME.crt` and `NAME.key` of a server that is named in the subject only, as before there were other names.
    pub fn nameless(&self, name: &str, subject: &str) -> Result<()> {
        self.sign(name, subject, &[], Vec::new())
    }

    /// A user's request for a certificate (PEM), and one for the same key that is good for a week of the year 2026 (PEM).
    pub fn week(&self, user: &str) -> Result<(String, String)> {
        let key = KeyPair::generate().context("key")?;
        let mut params = CertificateParams::new(Vec::new()).context("week")?;
        params.distinguished_name.push(DnType::CommonName, user);
        let request = params.serialize_request(&key).context("request")?;
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 8);
        let certificate = params.signed_by(&key, &self.issuer).context("week")?;
        Ok((request.pem().context("request")?, certificate.pem()))
    }

    fn sign(&self, name: &str, user: &str, groups: &[&str], names: Vec<SanType>) -> Result<()> {
        let key = KeyPair::generate().context("key")?;
        let mut params = CertificateParams::new(Vec::new()).context("leaf")?;
        params.distinguished_name.push(DnType::CommonName, user);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &self.issuer).context("leaf")?;
        std::fs::write(self.file(&format!("{name}.crt")), certificate.pem())
            .with_context(|| format!("write {name}.crt"))?;
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem())
            .with_context(|| format!("write {name}.key"))?;
        Ok(())
    }
}

fn loopback() -> Result<Vec<SanType>> {
    Ok(vec![
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::DnsName("localhost".try_into().context("name")?),
    ])
}
