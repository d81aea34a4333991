//! A pod's host name and its `/etc/hosts`.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

use super::members::PodView;

/// A label of a domain name is no longer (RFC 1035).
const MAX_HOST_NAME: usize = 63;
/// The kernel's limit for host names.
const MAX_QUALIFIED_NAME: usize = 64;

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

/// The pod asks for a host name with its domain, and the kernel takes no name of that length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long \
     ({MAX_QUALIFIED_NAME} characters is the max, {} characters requested)",
    name.len()
)]
pub struct NameTooLong {
    name: String,
}

/// The host name that the sandbox gets: with the domain when the pod asks for it.
pub fn sandbox_host_name(pod: &Pod, cluster_domain: &str, node_name: &str) -> Result<String, NameTooLong> {
    let (name, domain) = host_name(pod, cluster_domain, node_name);
    if pod.view().set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return Ok(name);
    }
    let name = format!("{name}.{domain}");
    if name.len() > MAX_QUALIFIED_NAME {
        return Err(NameTooLong { name });
    }
    Ok(name)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec})).unwrap()
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

    #[test]
    fn a_qualified_host_name_is_not_cut() {
        let name = |hostname: &str| {
            let spec =
                json!({"containers": [], "hostname": hostname, "subdomain": "s", "setHostnameAsFQDN": true});
            sandbox_host_name(&pod(spec), "cluster.local", "node")
        };
        assert_eq!(name("h").as_deref(), Ok("h.s.n.svc.cluster.local"));
        assert_eq!(name(&"h".repeat(42)).map(|name| name.len()), Ok(64));
        let refused = name(&"h".repeat(43)).unwrap_err().to_string();
        assert!(
            refused.ends_with("is too long (64 characters is the max, 65 characters requested)"),
            "{refused}"
        );
    }
}
