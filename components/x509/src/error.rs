//! Why a certificate is not believed, in Go's words.

use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;

/// A certificate is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("x509: malformed certificate")]
    Malformed,
    #[error("x509: unhandled critical extension")]
    UnhandledCriticalExtension,
    #[error("x509: certificate has expired or is not yet valid: current time {} is after {}", time(*now), time(*until))]
    Expired { now: i64, until: i64 },
    #[error("x509: certificate has expired or is not yet valid: current time {} is before {}", time(*now), time(*from))]
    NotYetValid { now: i64, from: i64 },
    #[error("x509: a root or intermediate certificate is not authorized to sign for this name: {0}")]
    NotAuthorizedForName(String),
    #[error("x509: certificate is not authorized to sign other certificates")]
    NotAuthorizedToSign,
    #[error("x509: too many intermediates for path length constraint")]
    TooManyIntermediates,
    #[error("x509: certificate specifies an incompatible key usage")]
    IncompatibleUsage,
    #[error("x509: invalid signature: parent certificate cannot sign this kind of certificate")]
    ParentCannotSign,
    #[error("x509: cannot verify signature: algorithm unimplemented")]
    UnknownAlgorithm,
    #[error(
        "x509: signature algorithm specifies an {signature} public key, but have public key of type {key}"
    )]
    OtherKey {
        signature: &'static str,
        key: &'static str,
    },
    #[error("x509: cannot verify signature: insecure algorithm {0}")]
    Insecure(Insecure),
    #[error("crypto/rsa: {0}-bit keys are insecure (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)")]
    ShortRsa(usize),
    #[error("{0}")]
    Signature(&'static str),
    #[error("x509: signature check attempts limit reached while verifying certificate chain")]
    TooManySignatures,
    #[error("x509: certificate signed by unknown authority{}", Hint(hint.as_deref()))]
    UnknownAuthority {
        /// What was wrong with the first authority of the right name, and which it was.
        hint: Option<Arc<(VerifyError, String)>>,
    },
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Digests that are no longer believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insecure {
    Md5Rsa,
    Sha1Rsa,
    EcdsaSha1,
}

impl fmt::Display for Insecure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Md5Rsa => "MD5-RSA",
            Self::Sha1Rsa => "SHA1-RSA",
            Self::EcdsaSha1 => "ECDSA-SHA1",
        })
    }
}

/// The certificate is of another host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It has the host in its subject only.
    #[error("x509: certificate relies on legacy Common Name field, use SANs instead")]
    CommonName,
    #[error("x509: cannot validate certificate for {host} because it doesn't contain any IP SANs")]
    NoAddresses { host: String },
    #[error("x509: certificate is not valid for any names, but wanted to match {host}")]
    NoNames { host: String },
    #[error("x509: certificate is valid for {names}, not {host}")]
    Other { names: String, host: String },
}

impl VerifyError {
    /// Whether it is that an authority, or what it signed, is signed over SHA-1.
    pub fn is_sha1(&self) -> bool {
        match self {
            Self::UnknownAuthority { hint: Some(hint) } => hint.0.is_sha1(),
            Self::Insecure(digest) => matches!(digest, Insecure::Sha1Rsa | Insecure::EcdsaSha1),
            _ => false,
        }
    }

    /// As TLS carries it.
    pub fn into_tls(self) -> rustls::Error {
        rustls::CertificateError::Other(rustls::OtherError(Arc::new(self))).into()
    }

    /// What [`Self::into_tls`] carried.
    pub fn of_tls(error: &rustls::Error) -> Option<&Self> {
        match error {
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
                other.0.downcast_ref()
            }
            _ => None,
        }
    }
}

struct Hint<'h>(Option<&'h (VerifyError, String)>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some((error, authority)) => write!(
                out,
                " (possibly because of {:?} while trying to verify candidate authority certificate {authority:?})",
                error.to_string()
            ),
        }
    }
}

/// Seconds since 1970 as RFC 3339 has them.
fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string())
}
