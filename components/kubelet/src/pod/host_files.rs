//! Files that the kubelet makes for a pod: hosts, and what goes into resolv.conf.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use k8s_cri::v1 as cri;
use k8s_openapi::api::core::v1::Pod;

use super::members::PodView;

/// The kernel's limit for host names.
const MAX_HOST_NAME: usize = 63;

/// A pod's host name and, for pods of a subdomain, its domain.
pub fn host_name(pod: &Pod, cluster_domain: &str, node_name: &str) -> (String, String) {
    let spec = pod.view();
    if let Some(name) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (name.to_owned(), String::new());
    }
    if pod.host_network() {
        return (node_name.to_owned(), String::new());
    }
    let own = spec.hostname.as_deref().filter(|name| !name.is_empty());
    let mut name: String = own.unwrap_or(pod.name()).to_owned();
    if name.len() > MAX_HOST_NAME {
        name.truncate(MAX_HOST_NAME);
        name = name.trim_end_matches(['-', '.']).to_owned();
    }
    let domain = match spec.subdomain.as_deref().filter(|name| !name.is_empty()) {
        Some(subdomain) => format!("{subdomain}.{}.svc.{cluster_domain}", pod.namespace()),
        None => String::new(),
    };
    (name, domain)
}

/// The host name that the sandbox gets: with the domain when the pod asks for it.
pub fn sandbox_host_name(pod: &Pod, cluster_domain: &str, node_name: &str) -> String {
    let (name, domain) = host_name(pod, cluster_domain, node_name);
    let qualified = format!("{name}.{domain}");
    if pod.view().set_hostname_as_fqdn == Some(true) && !domain.is_empty() && qualified.len() <= 64 {
        qualified
    } else {
        name
    }
}

/// `/etc/hosts` of a pod with its own network.
pub fn hosts_file(pod: &Pod, pod_ips: &[String], cluster_domain: &str, node_name: &str) -> String {
    let (name, domain) = host_name(pod, cluster_domain, node_name);
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    for ip in pod_ips {
        let _ = if domain.is_empty() {
            writeln!(text, "{ip}\t{name}")
        } else {
            writeln!(text, "{ip}\t{name}.{domain}\t{name}")
        };
    }
    text.push_str(&aliases(pod));
    text
}

/// `/etc/hosts` of a pod in the host's network: the host's own, and the pod's aliases.
pub fn host_network_hosts_file(pod: &Pod, host_file: &str) -> String {
    format!(
        "# Kubernetes-managed hosts file (host network).\n{host_file}{}",
        aliases(pod)
    )
}

fn aliases(pod: &Pod) -> String {
    let mut text = String::new();
    let aliases = pod.view().host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let _ = writeln!(
            text,
            "{}\t{}",
            alias.ip,
            alias.hostnames.as_deref().unwrap_or_default().join("\t")
        );
    }
    text
}

/// Settings of the node's DNS.
#[derive(Clone, Debug, Default)]
pub struct DnsSettings {
    pub cluster_dns: Vec<String>,
    pub cluster_domain: String,
    /// Text of the host's resolv.conf.
    pub host_file: String,
}

/// The DNS configuration of a pod by its policy.
pub fn dns_config(pod: &Pod, settings: &DnsSettings) -> cri::DnsConfig {
    let host = parse_resolv_conf(&settings.host_file);
    let policy = pod.view().dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "None" | "Default" => false,
        "ClusterFirstWithHostNet" => true,
        _ => !pod.host_network(),
    };
    let mut config = if policy == "None" {
        cri::DnsConfig::default()
    } else if cluster && !settings.cluster_dns.is_empty() {
        let mut searches = Vec::new();
        if !settings.cluster_domain.is_empty() {
            let domain = &settings.cluster_domain;
            searches = vec![
                format!("{}.svc.{domain}", pod.namespace()),
                format!("svc.{domain}"),
                domain.clone(),
            ];
        }
        searches.extend(host.searches);
        cri::DnsConfig {
            servers: settings.cluster_dns.clone(),
            searches,
            options: vec!["ndots:5".to_owned()],
        }
    } else {
        host
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
    }
    unique(&mut config.servers);
    unique(&mut config.searches);
    config
}

fn unique(items: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    items.retain(|item| seen.insert(item.clone()));
}

fn parse_resolv_conf(text: &str) -> cri::DnsConfig {
    let mut config = cri::DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                config.searches = words
                    .filter(|word| *word != ".")
                    .map(|word| word.trim_end_matches('.').to_owned())
                    .collect()
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})).unwrap()
    }

    #[test]
    fn dns_follows_the_policy() {
        let settings = DnsSettings {
            cluster_dns: vec!["10.0.0.10".to_owned()],
            cluster_domain: "cluster.local".to_owned(),
            host_file: "nameserver 1.2.3.4\nsearch example.org\noptions edns0\n".to_owned(),
        };
        let first = |spec| dns_config(&pod(spec), &settings);
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
    fn hosts_name_the_pod_and_its_aliases() {
        let pod = pod(
            json!({"containers": [], "hostname": "h", "subdomain": "s", "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a", "b"]}]}),
        );
        let text = hosts_file(&pod, &["10.1.0.2".to_owned()], "cluster.local", "node");
        assert!(
            text.contains("\n10.1.0.2\th.s.n.svc.cluster.local\th\n"),
            "{text}"
        );
        assert!(text.ends_with("\n1.1.1.1\ta\tb\n"), "{text}");
    }
}
