//! Flags and configuration of api-balancer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::flags::parse_duration;

/// Flags of api-balancer, the node-local TCP pass-through balancer for the Kubernetes API.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "api-balancer", version, about)]
pub struct Flags {
    /// Address that node-local clients connect to.
    #[arg(long, default_value = "127.0.0.1:7443")]
    pub listen: SocketAddr,
    /// Plain HTTP address for /healthz, /readyz, /status and /metrics; loopback only.
    #[arg(long, default_value = "127.0.0.1:7444")]
    pub health_listen: SocketAddr,
    /// API servers as host:port, separated by commas. Not together with --config.
    #[arg(long, value_delimiter = ',')]
    pub backends: Vec<String>,
    /// YAML file with `backends` and `prefer`; read again when it changes and on SIGHUP.
    #[arg(long, conflicts_with = "backends")]
    pub config: Option<PathBuf>,
    /// Backend that is used as long as it is healthy, usually the API server on this host.
    #[arg(long)]
    pub prefer: Option<String>,
    /// Certificate authority (PEM) that the API servers' certificates are verified with.
    #[arg(long)]
    pub ca: PathBuf,
    /// Path that must answer 200 on a ready API server.
    #[arg(long, default_value = "/readyz")]
    pub probe_path: String,
    /// Time between two probes of a healthy backend.
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub probe_interval: Duration,
    /// Time that one probe may take.
    #[arg(long, default_value = "700ms", value_parser = parse_duration)]
    pub probe_timeout: Duration,
    /// Time after which the next backend is tried.
    #[arg(long, default_value = "300ms", value_parser = parse_duration)]
    pub connect_timeout: Duration,
    /// Log verbosity as in upstream's daemons; 4 and more logs every connection.
    #[arg(long = "v", default_value_t = 2)]
    pub verbosity: u8,
}

/// The configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// API servers as host:port.
    pub backends: Vec<String>,
    /// Backend that is used as long as it is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer: Option<String>,
}

/// Why a set of backends is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidConfiguration {
    #[error("no backends: give at least one API server as host:port")]
    NoBackends,
    #[error("backend {0:?} is not host:port; write for example 10.0.0.1:6443")]
    NotHostPort(String),
    #[error("backend {0:?} is given twice")]
    Duplicate(String),
    #[error("prefer: {0:?} is not one of the backends")]
    UnknownPreferred(String),
}

impl Configuration {
    /// Checks that every backend is host:port, that none is there twice and that the preferred one is known.
    pub fn validate(&self) -> Result<(), InvalidConfiguration> {
        if self.backends.is_empty() {
            return Err(InvalidConfiguration::NoBackends);
        }
        for (index, backend) in self.backends.iter().enumerate() {
            if split_host_port(backend).is_none() {
                return Err(InvalidConfiguration::NotHostPort(backend.clone()));
            }
            if self.backends[..index].contains(backend) {
                return Err(InvalidConfiguration::Duplicate(backend.clone()));
            }
        }
        match &self.prefer {
            Some(prefer) if !self.backends.contains(prefer) => {
                Err(InvalidConfiguration::UnknownPreferred(prefer.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Splits `host:port`; IPv6 hosts stand in brackets, which are removed.
pub fn split_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_split() {
        let table = [
            ("10.0.0.1:6443", Some(("10.0.0.1", 6443))),
            ("[::1]:6443", Some(("::1", 6443))),
            ("api.example:443", Some(("api.example", 443))),
            ("::1:6443", None),
            ("10.0.0.1", None),
            (":6443", None),
            ("a:0", None),
            ("a:70000", None),
            ("[::1:6443", None),
        ];
        for (text, expected) in table {
            assert_eq!(split_host_port(text), expected, "{text}");
        }
    }

    #[test]
    fn wrong_configurations_are_named() {
        let parse = |text: &str| serde_yaml_ng::from_str::<Configuration>(text).map_err(|e| e.to_string());
        assert!(parse("backends: [a:1]\nbackend: x").is_err());
        let table = [
            ("backends: [a:1, b:1]\nprefer: b:1", Ok(())),
            ("backends: []", Err(InvalidConfiguration::NoBackends)),
            (
                "backends: [a]",
                Err(InvalidConfiguration::NotHostPort("a".to_owned())),
            ),
            (
                "backends: [a:1, a:1]",
                Err(InvalidConfiguration::Duplicate("a:1".to_owned())),
            ),
            (
                "backends: [a:1]\nprefer: c:1",
                Err(InvalidConfiguration::UnknownPreferred("c:1".to_owned())),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).expect("parses").validate(), expected, "{text}");
        }
    }
}
