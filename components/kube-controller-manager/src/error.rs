//! What a reconciliation can fail with.

use kube::core::Status;

/// A failed reconciliation; the key is tried again with back-off.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", describe(.0))]
    Api(#[from] kube::Error),
    #[error("{what} {name}: {reason}")]
    Invalid {
        what: &'static str,
        name: String,
        reason: String,
    },
    /// Several things were tried and some failed; the first failure speaks for them.
    #[error("{failed} of {tried} operations failed: {first}")]
    Several {
        failed: usize,
        tried: usize,
        first: Box<Error>,
    },
    #[error("{0}")]
    Other(String),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(what: &'static str, name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Error::Invalid {
            what,
            name: name.into(),
            reason: reason.to_string(),
        }
    }

    /// Folds the outcomes of several operations into one.
    pub fn collect(outcomes: impl IntoIterator<Item = Result<()>>) -> Result<()> {
        let (mut tried, mut failures) = (0, Vec::new());
        for outcome in outcomes {
            tried += 1;
            if let Err(error) = outcome {
                failures.push(error);
            }
        }
        let failed = failures.len();
        match failures.into_iter().next() {
            None => Ok(()),
            Some(only) if tried == 1 => Err(only),
            Some(first) => Err(Error::Several {
                failed,
                tried,
                first: Box::new(first),
            }),
        }
    }

    pub fn api_status(&self) -> Option<&Status> {
        match self {
            Error::Api(error) => status(error),
            _ => None,
        }
    }
}

fn describe(error: &kube::Error) -> String {
    match status(error) {
        Some(status) => status.message.clone(),
        None => error.to_string(),
    }
}

/// The API server's answer, when the error is one.
pub fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

pub fn has_reason(error: &kube::Error, reason: &str) -> bool {
    status(error).is_some_and(|status| status.reason == reason)
}

pub fn is_not_found(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| status.code == 404)
}

pub fn is_conflict(error: &kube::Error) -> bool {
    has_reason(error, "Conflict")
}

pub fn is_already_exists(error: &kube::Error) -> bool {
    has_reason(error, "AlreadyExists")
}

/// The namespace is being deleted, so that nothing can be created in it any more.
pub fn is_namespace_terminating(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| {
        status.details.as_ref().is_some_and(|details| {
            details
                .causes
                .iter()
                .any(|cause| cause.reason == "NamespaceTerminating")
        })
    })
}

/// Takes "it is not there (any more)" for success.
pub fn ignore_not_found<T>(outcome: std::result::Result<T, kube::Error>) -> Result<()> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
