//! What tests share: real etcd, throw-away PKI, API server on port 0, fakes.

pub mod etcd;
pub mod etcd_pki;
