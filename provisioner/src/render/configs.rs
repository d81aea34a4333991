use component_config::kubelet::KubeletConfiguration;
use component_config::kubelet::configuration::Taint;
use serde_json::{Map, Value, json};

use super::Cluster;
use crate::desired::{Desired, File, GENERATION};
use crate::facts::Facts;
use crate::inventory::{Host, Role};
use crate::templates::TemplateError;

/// Configuration files, kubeconfigs, kernel settings.
pub fn add(
    cluster: &Cluster<'_>,
    host: &Host,
    facts: &Facts,
    values: &Value,
    desired: &mut Desired,
) -> Result<(), TemplateError> {
    let render = |template: &str| cluster.templates.render(template, values);
    desired.users = super::users(cluster.inventory, host);
    if host.has(Role::ControlPlane) {
        let encryption = render("encryption.yaml")?;
        desired.files.push(File::secret(
            "config/encryption.yaml",
            "kube-apiserver",
            encryption,
        ));
        desired.files.push(File::public(
            "config/kube-scheduler.yaml",
            render("kube-scheduler.yaml")?,
        ));
        for (name, user, certificate) in [
            (
                "controller-manager",
                "system:kube-controller-manager",
                "controller-manager",
            ),
            ("scheduler", "system:kube-scheduler", "scheduler"),
        ] {
            desired
                .files
                .push(kubeconfig(cluster, values, name, user, certificate)?);
        }
    }
    if host.is_node() {
        let node_user = format!("system:node:{}", host.name);
        for (name, user, certificate) in [
            ("kubelet", node_user.as_str(), "kubelet-client"),
            ("kube-proxy", "system:kube-proxy", "kube-proxy"),
            ("pod-network", "hardway:pod-network", "pod-network"),
        ] {
            desired
                .files
                .push(kubeconfig(cluster, values, name, user, certificate)?);
        }
        desired
            .files
            .push(File::public("config/kubelet.yaml", kubelet(cluster, host, facts)));
        desired
            .files
            .push(File::public("config/kube-proxy.yaml", render("kube-proxy.yaml")?));
        let containerd = if facts.containerd_major() >= 2 {
            "containerd-v3.toml"
        } else {
            "containerd-v2.toml"
        };
        desired
            .files
            .push(File::public("containerd/config.toml", render(containerd)?));
        for (name, link) in [
            ("sysctl.conf", "/etc/sysctl.d/90-hardway.conf"),
            ("modules.conf", "/etc/modules-load.d/hardway.conf"),
        ] {
            desired
                .files
                .push(File::public(format!("config/{name}"), render(name)?));
            desired
                .links
                .push((link.to_owned(), format!("{GENERATION}/config/{name}")));
        }
        if cluster.inventory.balances_locally() {
            desired
                .files
                .push(File::public("config/api-balancer.yaml", balancer(host, values)));
        }
    }
    if host.has(Role::LoadBalancer) {
        desired
            .files
            .push(File::public("config/haproxy.cfg", render("haproxy.cfg")?));
    }
    Ok(())
}

fn kubeconfig(
    cluster: &Cluster<'_>,
    values: &Value,
    name: &str,
    user: &str,
    certificate: &str,
) -> Result<File, TemplateError> {
    let mut values = values.clone();
    values["user"] = json!(user);
    values["certificate"] = json!(certificate);
    let text = cluster.templates.render("kubeconfig.yaml", &values)?;
    Ok(File::public(format!("kubeconfig/{name}.yaml"), text))
}

/// The API servers, the one on this host first.
fn balancer(host: &Host, values: &Value) -> String {
    let servers = values["servers"].as_array().cloned().unwrap_or_default();
    let mut configuration = component_config::api_balancer::Configuration::default();
    for server in &servers {
        let address = server["address"].as_str().unwrap_or_default().to_owned();
        if server["name"] == json!(host.name) {
            configuration.prefer = Some(address.clone());
        }
        configuration.backends.push(address);
    }
    yaml(&json!(configuration))
}

fn kubelet(cluster: &Cluster<'_>, host: &Host, facts: &Facts) -> String {
    let inventory = cluster.inventory;
    let mut configuration = KubeletConfiguration::default();
    configuration.authentication.x509.client_ca_file = format!("{GENERATION}/pki/kubernetes-ca.crt");
    configuration.tls_cert_file = format!("{GENERATION}/pki/kubelet-server.crt");
    configuration.tls_private_key_file = format!("{GENERATION}/pki/kubelet-server.key");
    configuration.cluster_domain = inventory.cluster.cluster_domain.clone();
    configuration.cluster_dns = vec![inventory.cluster.dns_ip.to_string()];
    configuration.cgroup_driver = if facts.systemd_cgroup() {
        "systemd"
    } else {
        "cgroupfs"
    }
    .to_owned();
    configuration.container_runtime_endpoint = "unix:///run/containerd/containerd.sock".to_owned();
    configuration.fail_cgroup_v1 = facts.cgroup_v2;
    // Inside a container the swap that shows belongs to the machine.
    configuration.fail_swap_on = !facts.container;
    if facts.container {
        // So does the disk: that others have filled a part of it is no reason to evict pods.
        for signal in ["nodefs.available", "imagefs.available"] {
            configuration
                .eviction_hard
                .insert(signal.to_owned(), "1Gi".to_owned());
        }
    }
    configuration.serialize_image_pulls = false;
    // A hundred pods start on a node at once without waiting for each other's events.
    configuration.kube_api_qps = 100;
    configuration.kube_api_burst = 200;
    if let Some(resolv_conf) = &facts.resolv_conf {
        configuration.resolv_conf = Some(resolv_conf.clone());
    }
    if inventory.is_dedicated(host) {
        configuration.register_with_taints.push(taint(
            "node-role.kubernetes.io/control-plane",
            "",
            "NoSchedule",
        ));
    }
    for own in &host.taints {
        configuration
            .register_with_taints
            .push(taint(&own.key, &own.value, &own.effect));
    }
    let wanted = json!(configuration);
    let defaults = json!(KubeletConfiguration::default());
    let mut written = difference(&wanted, &defaults).unwrap_or_else(|| json!({}));
    for field in ["apiVersion", "kind"] {
        written[field] = wanted[field].clone();
    }
    // Authentication and authorization stand in the file even where they are the defaults.
    for field in ["authentication", "authorization"] {
        written[field] = wanted[field].clone();
    }
    yaml(&written)
}

fn taint(key: &str, value: &str, effect: &str) -> Taint {
    Taint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    }
}

/// The fields of `wanted` that differ from `defaults`.
fn difference(wanted: &Value, defaults: &Value) -> Option<Value> {
    if wanted == defaults {
        return None;
    }
    let (Value::Object(wanted_fields), Value::Object(default_fields)) = (wanted, defaults) else {
        return Some(wanted.clone());
    };
    let mut fields = Map::new();
    for (name, value) in wanted_fields {
        let default = default_fields.get(name).unwrap_or(&Value::Null);
        if let Some(value) = difference(value, default) {
            fields.insert(name.clone(), value);
        }
    }
    Some(Value::Object(fields))
}

fn yaml(value: &Value) -> String {
    // JSON values always have a YAML form.
    serde_yaml_ng::to_string(value).unwrap_or_default()
}
