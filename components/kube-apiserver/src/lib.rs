//! kube-apiserver

pub mod authentication;
pub mod authorization;
pub mod identity;
pub mod request_info;
pub mod serving;
pub mod tokens;
