//! Upstream's flags that this API server does not implement.

use crate::flags::Kind::{Bool, Duration, Int, Quantity, Text, Uint};
use crate::flags::Unused::{self, Refused, Typed};

/// Each upstream flag without a field in [`super::ApiServerFlags`], and how it is treated.
pub const UNUSED_FLAGS: &[(&str, Unused)] = &[
    ("aggregator-reject-forwarding-redirect", Typed(Bool)),
    ("cert-dir", Typed(Text)),
    ("contention-profiling", Typed(Bool)),
    ("coordinated-leadership-lease-duration", Typed(Duration)),
    ("coordinated-leadership-renew-deadline", Typed(Duration)),
    ("coordinated-leadership-retry-period", Typed(Duration)),
    ("default-watch-cache-size", Typed(Int)),
    ("delete-collection-workers", Typed(Int)),
    ("etcd-count-metric-poll-period", Typed(Duration)),
    ("etcd-db-metric-poll-interval", Typed(Duration)),
    ("kubelet-port", Refused),
    ("kubelet-read-only-port", Typed(Uint)),
    ("lease-reuse-duration-seconds", Typed(Int)),
    ("log-flush-frequency", Typed(Duration)),
    ("log-json-info-buffer-size", Typed(Quantity)),
    ("log-text-info-buffer-size", Typed(Quantity)),
    ("storage-initialization-timeout", Typed(Duration)),
];

/// What an operator should know of flags that were given and do nothing, though clients would see it upstream.
pub(super) fn without_effect(ignored: &[(String, String)]) -> Vec<String> {
    let is_off = |value: &str| matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False");
    let seen = ignored
        .iter()
        .filter(|(name, value)| name == "aggregator-reject-forwarding-redirect" && is_off(value));
    seen.map(|(name, value)| format!("--{name}={value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_would_be_seen_are_told_of() {
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (ignored, want) in [
            // Caches have been sized automatically upstream since long, and 0 turns none off any more.
            (flag("default-watch-cache-size", "0"), vec![]),
            (flag("delete-collection-workers", "0"), vec![]),
            (flag("aggregator-reject-forwarding-redirect", "true"), vec![]),
            (
                flag("aggregator-reject-forwarding-redirect", "False"),
                vec!["--aggregator-reject-forwarding-redirect=False"],
            ),
        ] {
            assert_eq!(without_effect(std::slice::from_ref(&ignored)), want);
        }
    }
}
