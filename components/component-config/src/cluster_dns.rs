//! Flags and configuration of cluster-dns.
