/// What can go wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot {operation}")]
    Certificate { operation: String, source: rcgen::Error },
    #[error("{what} is not a PEM certificate: {reason}")]
    NotACertificate { what: String, reason: String },
    #[error("{0:?} cannot stand in a certificate as a DNS name")]
    InvalidName(String),
}

impl PkiError {
    pub(crate) fn during(operation: impl Into<String>) -> impl FnOnce(rcgen::Error) -> PkiError {
        let operation = operation.into();
        move |source| PkiError::Certificate { operation, source }
    }
}
