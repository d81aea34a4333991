//! Revisioned storage: etcd backend, watch cache, encryption at rest.
