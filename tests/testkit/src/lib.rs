//! What tests share: real etcd, throw-away PKI, API server on port 0, fakes.
