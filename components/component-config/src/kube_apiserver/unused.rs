//! Upstream's flags that this API server does not implement.

use crate::flags::Unused::{self, Harmless, Refused};

/// Each upstream flag without a field in [`super::ApiServerFlags`], and how it is treated.
pub const UNUSED_FLAGS: &[(&str, Unused)] = &[
    ("aggregator-reject-forwarding-redirect", Harmless),
    ("cert-dir", Harmless),
    ("contention-profiling", Harmless),
    ("coordinated-leadership-lease-duration", Harmless),
    ("coordinated-leadership-renew-deadline", Harmless),
    ("coordinated-leadership-retry-period", Harmless),
    ("default-watch-cache-size", Harmless),
    ("delete-collection-workers", Harmless),
    ("etcd-count-metric-poll-period", Harmless),
    ("etcd-db-metric-poll-interval", Harmless),
    ("kubelet-port", Refused),
    ("kubelet-read-only-port", Harmless),
    ("lease-reuse-duration-seconds", Harmless),
    ("log-flush-frequency", Harmless),
    ("log-json-info-buffer-size", Harmless),
    ("log-text-info-buffer-size", Harmless),
    ("storage-initialization-timeout", Harmless),
    ("watch-cache", Harmless),
];
