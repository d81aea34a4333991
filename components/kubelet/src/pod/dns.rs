//! What goes into a pod's resolv.conf.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;

use super::members::PodView;

/// Limits of resolvers, which ignore what is beyond them or fail.
const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_LINE: usize = 2048;
const MAX_SEARCH: usize = 253;

/// Settings of the node's DNS.
#[derive(Clone, Debug, Default)]
pub struct DnsSettings {
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// The host's file, read anew for each pod; without one, pods get no name server of the host.
    pub resolv_conf: Option<String>,
}

/// The host's resolv.conf is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HostDnsError {
    #[error("open {path}: {error}")]
    Unreadable { path: String, error: std::io::Error },
    #[error("nameserver list is empty in {path}")]
    NoServer { path: String },
}

/// A pod's DNS, and what is to be said about it.
#[derive(Debug, Default, PartialEq)]
pub struct PodDns {
    pub config: cri::DnsConfig,
    pub warnings: Vec<DnsWarning>,
}

/// An event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsWarning {
    pub reason: &'static str,
    pub message: String,
    /// It lies in the node's settings, so it is about the node too.
    pub of_node: bool,
}

/// Reads the host's configuration.
pub fn host_dns(settings: &DnsSettings) -> Result<cri::DnsConfig, HostDnsError> {
    let Some(path) = &settings.resolv_conf else {
        return Ok(cri::DnsConfig::default());
    };
    let text = std::fs::read(path).map_err(|error| HostDnsError::Unreadable {
        path: path.clone(),
        error,
    })?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| HostDnsError::NoServer { path: path.clone() })
}

/// None when a line names no server.
fn parse(text: &str) -> Option<cri::DnsConfig> {
    let mut config = cri::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.push(words.next()?.to_owned()),
            // The last line counts; `example.org.` and `example.org` are the same.
            Some("search") => {
                config.searches = words
                    .map(|word| match word {
                        "." => word.to_owned(),
                        word => word.strip_suffix('.').unwrap_or(word).to_owned(),
                    })
                    .collect()
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    Some(config)
}

/// The DNS configuration of a pod by its policy, on a host with these addresses and this configuration.
pub fn pod_dns(pod: &Pod, settings: &DnsSettings, host_ips: &[String], host: cri::DnsConfig) -> PodDns {
    let mut warnings = Vec::new();
    let policy = pod.view().dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "None" | "Default" => false,
        "ClusterFirstWithHostNet" => true,
        _ => !pod.host_network(),
    };
    let mut config = if policy == "None" {
        cri::DnsConfig::default()
    } else if cluster && !settings.cluster_dns.is_empty() {
        cri::DnsConfig {
            servers: settings.cluster_dns.clone(),
            searches: cluster_searches(pod, &settings.cluster_domain, host.searches),
            options: vec!["ndots:5".to_owned()],
        }
    } else {
        if cluster {
            warnings.push(DnsWarning {
                reason: "MissingClusterDNS",
                message: "kubelet does not have ClusterDNS IP configured and cannot create Pod using \
                          \"ClusterFirst\" policy. Falling back to \"Default\" policy."
                    .to_owned(),
                of_node: true,
            });
        }
        match settings.resolv_conf {
            Some(_) => host,
            None => own_host_only(host_ips),
        }
    };
    if let Some(own) = &pod.view().dns_config {
        config.servers.extend(own.nameservers.iter().flatten().cloned());
        config.searches.extend(own.searches.iter().flatten().cloned());
        for option in own.options.iter().flatten() {
            let name = option.name.clone().unwrap_or_default();
            config
                .options
                .retain(|existing| existing.split(':').next() != Some(name.as_str()));
            config.options.push(match &option.value {
                Some(value) if !value.is_empty() => format!("{name}:{value}"),
                _ => name,
            });
        }
        unique(&mut config.servers);
        unique(&mut config.searches);
    }
    fit(&mut config, &mut warnings);
    PodDns { config, warnings }
}

fn cluster_searches(pod: &Pod, domain: &str, host: Vec<String>) -> Vec<String> {
    if domain.is_empty() {
        return host;
    }
    let mut searches = vec![
        format!("{}.svc.{domain}", pod.namespace()),
        format!("svc.{domain}"),
        domain.to_owned(),
    ];
    searches.extend(host);
    unique(&mut searches);
    searches
}

/// No name server anywhere: a runtime that is told nothing takes the host's.
fn own_host_only(host_ips: &[String]) -> cri::DnsConfig {
    let loopback = |ip: &String| match ip.parse::<Ipv6Addr>() {
        Ok(_) => "::1",
        Err(_) => "127.0.0.1",
    };
    let mut servers: Vec<String> = host_ips.iter().map(|ip| loopback(ip).to_owned()).collect();
    if servers.is_empty() {
        servers.push("127.0.0.1".to_owned());
    }
    cri::DnsConfig {
        servers,
        searches: vec![".".to_owned()],
        options: Vec::new(),
    }
}

/// Leaves out what is beyond the resolvers' limits.
fn fit(config: &mut cri::DnsConfig, warnings: &mut Vec<DnsWarning>) {
    let mut warn = |message: String| {
        warnings.push(DnsWarning {
            reason: "DNSConfigForming",
            message,
            of_node: false,
        });
    };
    if config.servers.len() > MAX_SERVERS {
        config.servers.truncate(MAX_SERVERS);
        warn(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            config.servers.join(" ")
        ));
    }
    let given = config.searches.len();
    config.searches.truncate(MAX_SEARCHES);
    config.searches.retain(|search| search.len() <= MAX_SEARCH);
    let mut length = 0;
    let fitting = config.searches.iter().take_while(|search| {
        // With the space between two.
        length += search.len() + 1;
        length - 1 <= MAX_SEARCH_LINE
    });
    let fitting = fitting.count();
    config.searches.truncate(fitting);
    if config.searches.len() < given {
        warn(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            config.searches.join(" ")
        ));
    }
}

fn unique(items: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item.clone()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}))
            .unwrap()
    }

    fn cluster() -> DnsSettings {
        DnsSettings {
            cluster_dns: vec!["10.0.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: Some("/etc/resolv.conf".to_owned()),
        }
    }

    fn of(spec: serde_json::Value, settings: &DnsSettings) -> PodDns {
        let host = parse("# comment\nnameserver 1.2.3.4\nsearch example.org.\noptions edns0\n").unwrap();
        pod_dns(&pod(spec), settings, &[], host)
    }

    #[test]
    fn dns_follows_the_policy() {
        let first = |spec| of(spec, &cluster()).config;
        let config =
            first(json!({"containers": [], "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}));
        assert_eq!(config.servers, ["10.0.0.10"]);
        assert_eq!(
            config.searches,
            [
                "n.svc.cluster.local",
                "svc.cluster.local",
                "cluster.local",
                "example.org"
            ]
        );
        assert_eq!(config.options, ["ndots:2"]);
        assert_eq!(
            first(json!({"containers": [], "hostNetwork": true})).servers,
            ["1.2.3.4"]
        );
        assert_eq!(
            first(json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}))
                .servers,
            ["10.0.0.10"]
        );
        assert_eq!(
            first(json!({"containers": [], "dnsPolicy": "Default"})).options,
            ["edns0"]
        );
        assert_eq!(
            first(json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}))
                .servers,
            ["9.9.9.9"]
        );
    }

    #[test]
    fn without_cluster_dns_the_host_s_is_taken_and_said() {
        let settings = DnsSettings {
            cluster_dns: Vec::new(),
            ..cluster()
        };
        let dns = of(json!({"containers": []}), &settings);
        assert_eq!(dns.config.servers, ["1.2.3.4"]);
        let warning = &dns.warnings[0];
        assert_eq!((warning.reason, warning.of_node), ("MissingClusterDNS", true));
    }

    #[test]
    fn no_file_of_the_host_means_no_name_server() {
        let settings = DnsSettings {
            resolv_conf: None,
            ..cluster()
        };
        let host_ips = ["10.0.0.1".to_owned(), "fd00::1".to_owned()];
        let default = pod(json!({"containers": [], "dnsPolicy": "Default"}));
        let host = host_dns(&settings).unwrap();
        let config = pod_dns(&default, &settings, &host_ips, host).config;
        assert_eq!(config.servers, ["127.0.0.1", "::1"]);
        assert_eq!(config.searches, ["."]);
    }

    #[test]
    fn an_unusable_file_of_the_host_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let settings = DnsSettings {
            resolv_conf: Some(path.display().to_string()),
            ..cluster()
        };
        let missing = host_dns(&settings).unwrap_err().to_string();
        assert!(missing.contains("resolv.conf: No such file"), "{missing}");
        std::fs::write(&path, "nameserver\n").unwrap();
        let empty = host_dns(&settings).unwrap_err().to_string();
        assert!(empty.starts_with("nameserver list is empty"), "{empty}");
        std::fs::write(&path, "nameserver 1.1.1.1\nsearch . a.b.\n").unwrap();
        assert_eq!(host_dns(&settings).unwrap().searches, [".", "a.b"]);
    }

    #[test]
    fn what_resolvers_cannot_take_is_left_out_and_said() {
        let own = |config| {
            of(
                json!({"containers": [], "dnsPolicy": "None", "dnsConfig": config}),
                &cluster(),
            )
        };
        let dns = own(json!({"nameservers": ["1.0.0.1", "1.0.0.2", "1.0.0.3", "1.0.0.4"]}));
        assert_eq!(dns.config.servers, ["1.0.0.1", "1.0.0.2", "1.0.0.3"]);
        assert!(
            dns.warnings[0]
                .message
                .ends_with("line is: 1.0.0.1 1.0.0.2 1.0.0.3"),
            "{:?}",
            dns.warnings
        );
        let many: Vec<String> = (0..33).map(|index| format!("s{index}")).collect();
        assert_eq!(own(json!({"searches": many})).config.searches.len(), 32);
        let long: Vec<String> = (0..10)
            .map(|index| format!("{index}{}", "x".repeat(249)))
            .collect();
        let dns = own(json!({"searches": long}));
        assert_eq!(dns.config.searches.len(), 8);
        assert_eq!(dns.warnings.len(), 1);
        assert_eq!(
            own(json!({"searches": ["a", "x".repeat(254), "b"]}))
                .config
                .searches,
            ["a", "b"]
        );
        assert!(own(json!({"searches": ["a", "b"]})).warnings.is_empty());
    }
}
