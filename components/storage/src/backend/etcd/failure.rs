//! What an error of etcd means: final, or worth another member.

use etcd_client::Error;
use tonic::Code;

use crate::backend::BackendError;
use crate::revision::Revision;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another try would bring the same.
    Final(BackendError),
    /// This member or the way to it; a write may have been applied.
    Member { message: String, maybe_applied: bool },
    /// No answer in time.
    Silent,
}

pub(super) fn classify(error: Error) -> Failure {
    match error {
        Error::GRpcStatus(status) => by_status(status.code(), status.message(), source(&status)),
        Error::TransportError(error) => Failure::Member {
            message: format!("connection to etcd: {}", chain(&error)),
            maybe_applied: true,
        },
        Error::IoError(error) => Failure::Member {
            message: error.to_string(),
            maybe_applied: true,
        },
        error => Failure::Final(BackendError::Unavailable {
            message: error.to_string(),
        }),
    }
}

fn source(error: &dyn std::error::Error) -> String {
    error.source().map(chain).unwrap_or_default()
}

fn chain(error: &dyn std::error::Error) -> String {
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

fn by_status(code: Code, message: &str, source: String) -> Failure {
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
        Code::InvalidArgument | Code::ResourceExhausted if message.contains("too large") => {
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
            let message = match source.is_empty() {
                true => message.to_owned(),
                false => format!("{message}: {source}"),
            };
            let connecting = message.contains("tcp connect error") || message.contains("Connection refused");
            Failure::Member {
                message,
                maybe_applied: !refused && !connecting,
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
            assert_eq!(by_status(code, message, String::new()), want);
        }
    }
}
