use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyUsagePurpose,
};

use crate::{CertificateAuthority, KeyMaterial, PkiError, leaf};

/// What the signer grants to a certificate signing request, whatever the request itself asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTerms {
    pub client: bool,
    pub server: bool,
    pub digital_signature: bool,
    pub key_encipherment: bool,
    pub lifetime: Duration,
}

impl CertificateAuthority {
    /// Signs a PKCS #10 request in DER: subject, names and key are the request's, all else is `terms`.
    /// The lifetime never exceeds the authority's own. Returns the PEM certificate.
    pub fn sign_request(
        &self,
        request: &[u8],
        terms: &RequestTerms,
        now: SystemTime,
    ) -> Result<String, PkiError> {
        let mut request = CertificateSigningRequestParams::from_der(&request.into())
            .map_err(PkiError::during("read a certificate signing request"))?;
        let params = &mut request.params;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages.clear();
        if terms.digital_signature {
            params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        }
        if terms.key_encipherment {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages.clear();
        if terms.server {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if terms.client {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        params.use_authority_key_identifier_extension = true;
        let remaining = crate::inspect(self.certificate())?.remaining(now);
        leaf::set_validity(params, now, terms.lifetime.min(remaining));
        let certificate = request
            .signed_by(self.issuer())
            .map_err(PkiError::during("sign a certificate signing request"))?;
        Ok(certificate.pem())
    }
}

/// A new key and a PEM PKCS #10 request for a client certificate that its signer may grant.
pub fn client_request(
    common_name: &str,
    organization: Option<&str>,
) -> Result<(KeyMaterial, String), PkiError> {
    let (key, pair) = KeyMaterial::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    let request = params
        .serialize_request(&pair)
        .and_then(|request| request.pem())
        .map_err(PkiError::during("write a certificate signing request"))?;
    Ok((key, request))
}
