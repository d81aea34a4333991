//! What an error of etcd means: final, or worth another member.

use std::error::Error;
use std::fmt::Display;

use tonic::Code;

use crate::backend::BackendError;
use crate::revision::Revision;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another try would bring the same.
    Final(BackendError),
    /// This member or the way to it; a write may have been applied.
    Member { message: String, maybe_applied: bool },
    /// No answer in time; a write may have been applied unless not even a connection was made.
    Silent { maybe_applied: bool },
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The member's own answer.
    Status(Code, String),
    /// The way to it.
    Connection { message: String, sent: bool },
    /// It didn't take a connection in time.
    NoConnection,
}

impl CallError {
    pub(super) fn new(code: Code, message: &str) -> Self {
        Self::Status(code, message.to_owned())
    }

    /// What a caller of gRPC would be told.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Status(code, _) => *code,
            Self::Connection { .. } | Self::NoConnection => Code::Unavailable,
        }
    }

    pub(super) fn connecting(error: impl Display) -> Self {
        Self::Connection {
            message: format!("cannot connect to etcd: {error}"),
            sent: false,
        }
    }

    pub(super) fn before_sending(error: impl Error + 'static) -> Self {
        Self::Connection {
            message: format!("connection to etcd: {}", chain(&error)),
            sent: false,
        }
    }

    pub(super) fn under_way(error: h2::Error) -> Self {
        Self::Connection {
            // A stream that was refused was not looked at.
            sent: error.reason() != Some(h2::Reason::REFUSED_STREAM),
            message: format!("connection to etcd: {}", chain(&error)),
        }
    }
}

pub(super) fn classify(error: CallError) -> Failure {
    match error {
        CallError::Status(code, message) => by_status(code, &message),
        CallError::Connection { message, sent } => Failure::Member {
            message,
            maybe_applied: sent,
        },
        CallError::NoConnection => Failure::Silent { maybe_applied: false },
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

fn by_status(code: Code, message: &str) -> Failure {
    // Numbers that the message lacks are filled in by the caller, who knows what was asked.
    let unknown = Revision::ZERO;
    match code {
        Code::OutOfRange if message.contains("compacted") => Failure::Final(BackendError::Compacted {
            requested: unknown,
            oldest: unknown,
        }),
        Code::OutOfRange if message.contains("future") => Failure::Final(BackendError::FutureRevision {
            requested: unknown,
            current: unknown,
        }),
        Code::InvalidArgument | Code::ResourceExhausted
            if message.contains("too large") || message.contains("larger than max") =>
        {
            Failure::Final(BackendError::TooLarge)
        }
        Code::ResourceExhausted if message.contains("too many requests") => Failure::Member {
            message: message.to_owned(),
            maybe_applied: false,
        },
        Code::Unavailable
        | Code::Cancelled
        | Code::Unknown
        | Code::Internal
        | Code::DeadlineExceeded
        | Code::Aborted => {
            let refused = ["no leader", "not started", "is stopping"]
                .iter()
                .any(|text| message.contains(text));
            Failure::Member {
                message: message.to_owned(),
                maybe_applied: !refused,
            }
        }
        _ => Failure::Final(BackendError::Unavailable {
            message: message.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let zero = Revision::ZERO;
        for (code, message, want) in [
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
                Failure::Final(BackendError::Compacted {
                    requested: zero,
                    oldest: zero,
                }),
            ),
            (
                Code::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
                Failure::Final(BackendError::FutureRevision {
                    requested: zero,
                    current: zero,
                }),
            ),
            (
                Code::InvalidArgument,
                "etcdserver: request is too large",
                Failure::Final(BackendError::TooLarge),
            ),
            (
                Code::ResourceExhausted,
                "grpc: received message larger than max (3145728 vs. 2097152)",
                Failure::Final(BackendError::TooLarge),
            ),
            (
                Code::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
                Failure::Final(BackendError::Unavailable {
                    message: "etcdserver: mvcc: database space exceeded".to_owned(),
                }),
            ),
            (
                Code::Unavailable,
                "etcdserver: no leader",
                Failure::Member {
                    message: "etcdserver: no leader".to_owned(),
                    maybe_applied: false,
                },
            ),
            (
                Code::Unavailable,
                "etcdserver: request timed out",
                Failure::Member {
                    message: "etcdserver: request timed out".to_owned(),
                    maybe_applied: true,
                },
            ),
        ] {
            assert_eq!(by_status(code, message), want);
        }
    }
}
