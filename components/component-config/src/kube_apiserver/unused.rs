//! Upstream's flags that this API server does not implement.

use crate::flags::Kind::{Bool, Duration, Int, Quantity, Text, Timeout, Uint};
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
    ("storage-initialization-timeout", Typed(Timeout)),
];
