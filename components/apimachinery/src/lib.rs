//! Pure Kubernetes machinery: metadata, quantities, selectors, patches, server-side apply, Status.
