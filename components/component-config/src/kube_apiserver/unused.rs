//! Upstream's flags that this API server does not implement.

use crate::flags::Kind::{Bool, Duration, Int, Quantity, Text, Uint};
use crate::flags::Unused::{self, Refused, Typed};

/// Each upstream flag without a field in [`super::ApiServerFlags`], and how it is treated.
pub const UNUSED_FLAGS: &[(&str, Unused)] = &[
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
    ("watch-cache", Typed(Bool)),
];

/// What an operator should know of flags that were given and do nothing, though clients would see it upstream.
pub(super) fn without_effect(ignored: &[(String, String)], cache_sizes: &[String]) -> Vec<String> {
    let is_off = |value: &str| matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False");
    let of_flags = ignored.iter().filter(|(name, value)| match name.as_str() {
        "watch-cache" => is_off(value),
        "default-watch-cache-size" => value == "0",
        _ => false,
    });
    let of_sizes = cache_sizes.iter().filter(|size| size.ends_with("#0"));
    of_flags
        .map(|(name, value)| format!("--{name}={value}"))
        .chain(of_sizes.map(|size| format!("--watch-cache-sizes={size}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_would_be_seen_are_told_of() {
        let flag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (ignored, sizes, want) in [
            (flag("watch-cache", "true"), "pods#100", vec![]),
            (
                flag("watch-cache", "false"),
                "pods#0",
                vec!["--watch-cache=false", "--watch-cache-sizes=pods#0"],
            ),
            (
                flag("default-watch-cache-size", "0"),
                "pods#10",
                vec!["--default-watch-cache-size=0"],
            ),
            (flag("delete-collection-workers", "0"), "pods#10", vec![]),
        ] {
            assert_eq!(
                without_effect(std::slice::from_ref(&ignored), &[sizes.to_owned()]),
                want
            );
        }
    }
}
