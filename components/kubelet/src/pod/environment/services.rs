//! The variables that tell a container where services are.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

/// Variables of the services in the pod's namespace (when `links` is on) and of `default/kubernetes`.
pub fn service_variables(services: &[Service], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut chosen: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in services {
        let (Some(name), Some(own)) = (
            service.metadata.name.as_deref(),
            service.metadata.namespace.as_deref(),
        ) else {
            continue;
        };
        let master = own == "default" && name == "kubernetes";
        if own == namespace && links {
            chosen.insert(name, service);
        } else if master {
            chosen.entry(name).or_insert(service);
        }
    }
    for (name, service) in chosen {
        let Some(spec) = &service.spec else { continue };
        let Some(ip) = spec
            .cluster_ip
            .as_deref()
            .filter(|ip| !ip.is_empty() && *ip != "None")
        else {
            continue;
        };
        let prefix = variable_name(name);
        let ports = spec.ports.as_deref().unwrap_or_default();
        let Some(first) = ports.first() else { continue };
        let bracketed = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        variables.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
        variables.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
        for port in ports {
            if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                variables.insert(
                    format!("{prefix}_SERVICE_PORT_{}", variable_name(port_name)),
                    port.port.to_string(),
                );
            }
        }
        for (index, port) in ports.iter().enumerate() {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{bracketed}:{}", protocol.to_lowercase(), port.port);
            if index == 0 {
                variables.insert(format!("{prefix}_PORT"), url.clone());
            }
            let port_prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
            variables.insert(port_prefix.clone(), url);
            variables.insert(format!("{port_prefix}_PROTO"), protocol.to_lowercase());
            variables.insert(format!("{port_prefix}_PORT"), port.port.to_string());
            variables.insert(format!("{port_prefix}_ADDR"), ip.to_owned());
        }
    }
    variables
}

fn variable_name(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}
