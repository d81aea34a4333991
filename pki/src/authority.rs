use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::{Issued, KeyMaterial, LeafRequest, PkiError, leaf};

/// Ten years: rotating an authority is a project, rotating a leaf is routine.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The three authorities of a cluster, apart so that none can issue identities for another's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    Kubernetes,
    Etcd,
    FrontProxy,
}

impl Authority {
    pub const ALL: [Authority; 3] = [Authority::Kubernetes, Authority::Etcd, Authority::FrontProxy];

    /// File stem and common-name stem.
    pub fn name(self) -> &'static str {
        match self {
            Authority::Kubernetes => "kubernetes-ca",
            Authority::Etcd => "etcd-ca",
            Authority::FrontProxy => "front-proxy-ca",
        }
    }
}

/// A certificate authority that can sign: its certificate and its key.
pub struct CertificateAuthority {
    certificate: String,
    key: KeyMaterial,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// A new self-signed authority; `cluster` tells the authorities of two clusters apart.
    pub fn generate(authority: Authority, cluster: &str, now: SystemTime) -> Result<Self, PkiError> {
        Self::named(authority, format!("{cluster}-{}", authority.name()), now)
    }

    /// An authority that takes over from this one, under a name that tells the two apart: `lab-etcd-ca`, then
    /// `lab-etcd-ca-2`.
    pub fn successor(&self, authority: Authority, cluster: &str, now: SystemTime) -> Result<Self, PkiError> {
        let first = format!("{cluster}-{}", authority.name());
        let present = crate::inspect(&self.certificate)?.common_name;
        let number: u32 = present
            .strip_prefix(&format!("{first}-"))
            .and_then(|number| number.parse().ok())
            .unwrap_or(1);
        Self::named(authority, format!("{first}-{}", number.saturating_add(1)), now)
    }

    fn named(authority: Authority, name: String, now: SystemTime) -> Result<Self, PkiError> {
        let (key, pair) = KeyMaterial::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        leaf::set_validity(&mut params, now, AUTHORITY_LIFETIME);
        let certificate = params
            .self_signed(&pair)
            .map_err(PkiError::during(format!("sign {}", authority.name())))?;
        let certificate = certificate.pem();
        Ok(Self {
            certificate,
            key,
            issuer: Issuer::new(params, pair),
        })
    }

    /// An authority read back from its files.
    pub fn load(certificate: &str, key: KeyMaterial) -> Result<Self, PkiError> {
        let issuer = Issuer::from_ca_cert_pem(certificate, key.pair()?)
            .map_err(PkiError::during("read a certificate authority"))?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key,
            issuer,
        })
    }

    /// PEM certificate.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    pub fn key(&self) -> &KeyMaterial {
        &self.key
    }

    /// A new key and its certificate.
    pub fn issue(&self, request: &LeafRequest, now: SystemTime) -> Result<Issued, PkiError> {
        leaf::issue(&self.issuer, request, now)
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

impl std::fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
