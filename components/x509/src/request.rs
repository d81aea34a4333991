//! Requests for certificates (PKCS #10), as Go reads them.

use crate::algorithms::Signed;
use crate::certificate::Names;
use crate::der;
use crate::error::VerifyError;
use crate::name::Name;
use crate::pem;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::der_parser::asn1_rs::FromDer as _;
use x509_parser::extensions::ParsedExtension;

/// A request that was read.
#[derive(Clone, Debug)]
pub struct SigningRequest {
    /// The whole of it.
    pub der: Vec<u8>,
    pub common_name: String,
    pub organizations: Vec<String>,
    /// Subject alternative names.
    pub names: Names,
    /// SubjectPublicKeyInfo.
    key: Vec<u8>,
    signed: Vec<u8>,
    /// The inside of the AlgorithmIdentifier.
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// It is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    NoBlock,
    #[error("asn1: structure error")]
    Malformed,
    #[error("asn1: syntax error: trailing data")]
    TrailingData,
}

impl SigningRequest {
    /// Reads the first block of a PEM text.
    ///
    /// # Errors
    ///
    /// It is of something else, or no request.
    pub fn from_pem(text: &[u8]) -> Result<Self, RequestError> {
        let block = pem::blocks(text)
            .next()
            .filter(|block| block.label == "CERTIFICATE REQUEST");
        Self::read(&block.ok_or(RequestError::NoBlock)?.contents)
    }

    fn read(bytes: &[u8]) -> Result<Self, RequestError> {
        let (rest, parsed) =
            X509CertificationRequest::from_der(bytes).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::TrailingData);
        }
        Self::parse(bytes, &parsed).ok_or(RequestError::Malformed)
    }

    fn parse(bytes: &[u8], parsed: &X509CertificationRequest<'_>) -> Option<Self> {
        let info = &parsed.certification_request_info;
        let (outer, _) = der::sequence(bytes)?;
        let (algorithm, rest) = der::sequence(outer.get(info.raw.len()..)?)?;
        let (signature, _) = der::whole_bits(rest)?;
        let subject = Name::read(info.subject.as_raw())?;
        let mut names = Names::default();
        for attribute in info.iter_attributes() {
            let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
                continue;
            };
            for extension in &requested.extensions {
                match extension.parsed_extension() {
                    ParsedExtension::SubjectAlternativeName(found) => {
                        names.extend(Names::read(&found.general_names)?);
                    }
                    ParsedExtension::ParseError { .. } => return None,
                    _ => {}
                }
            }
        }
        Some(Self {
            der: bytes.to_vec(),
            common_name: subject.common_name().to_owned(),
            organizations: subject.organizations().map(str::to_owned).collect(),
            names,
            key: info.subject_pki.raw.to_vec(),
            signed: info.raw.to_vec(),
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Checks that who asks has the key. Signatures over SHA-1 are looked at as well, which requests may still have.
    ///
    /// # Errors
    ///
    /// Go's, in Go's words, also when it can't be told.
    pub fn check_signature(&self) -> Result<(), VerifyError> {
        let signed = Signed {
            algorithm: &self.algorithm,
            message: &self.signed,
            signature: &self.signature,
        };
        signed.check_of_request(&self.key)
    }
}

#[cfg(test)]
mod tests;
