use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use crate::{KeyMaterial, PkiError};

/// Hosts' clocks may differ by this much and a fresh certificate is still accepted everywhere.
pub const BACKDATED: Duration = Duration::from_secs(300);

/// What a leaf may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
    /// Peers of etcd, and etcd's own gateway, present one certificate in both directions.
    ClientAndServer,
}

impl Usage {
    pub fn client(self) -> bool {
        !matches!(self, Usage::Server)
    }

    pub fn server(self) -> bool {
        !matches!(self, Usage::Client)
    }
}

/// A leaf to be issued: everything that will stand in its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafRequest {
    pub common_name: String,
    pub organization: Option<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub usage: Usage,
    pub lifetime: Duration,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Issued {
    /// PEM certificate.
    pub certificate: String,
    pub key: KeyMaterial,
}

pub(crate) fn set_validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Whole seconds: X.509 times have no fraction.
    let since_epoch = Duration::from_secs(since_epoch.as_secs());
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_epoch.saturating_sub(BACKDATED);
    params.not_after = epoch + since_epoch + lifetime;
}

pub(crate) fn issue(
    issuer: &Issuer<'static, KeyPair>,
    request: &LeafRequest,
    now: SystemTime,
) -> Result<Issued, PkiError> {
    let (key, pair) = KeyMaterial::generate()?;
    let params = params(request, now)?;
    let certificate = params.signed_by(&pair, issuer).map_err(PkiError::during(format!(
        "issue a certificate for {}",
        request.common_name
    )))?;
    Ok(Issued {
        certificate: certificate.pem(),
        key,
    })
}

fn params(request: &LeafRequest, now: SystemTime) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = &request.organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization.as_str());
    }
    params
        .distinguished_name
        .push(DnType::CommonName, request.common_name.as_str());
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if request.usage.server() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if request.usage.client() {
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    for name in &request.dns_names {
        let dns = name
            .as_str()
            .try_into()
            .map_err(|_| PkiError::InvalidName(name.clone()))?;
        params.subject_alt_names.push(SanType::DnsName(dns));
    }
    params
        .subject_alt_names
        .extend(request.addresses.iter().copied().map(SanType::IpAddress));
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, request.lifetime);
    Ok(params)
}
