//! `fieldRef` and `resourceFieldRef`, for variables and for downward-API files.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::pod::members::PodView;
use crate::pod::resources::parse;

/// What the pod object does not tell (yet).
pub struct FieldContext<'a> {
    pub node_name: &'a str,
    pub host_ips: &'a [String],
    pub pod_ips: &'a [String],
    /// Stand in for limits that are not set.
    pub allocatable: &'a BTreeMap<String, Quantity>,
}

/// The value of a field such as `metadata.labels['app']`.
pub fn pod_field(pod: &Pod, path: &str, context: &FieldContext<'_>) -> Result<String, String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let values = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(format!("field {path:?} does not support subscripts")),
        };
        return Ok(values
            .as_ref()
            .and_then(|values| values.get(key))
            .cloned()
            .unwrap_or_default());
    }
    let first = |ips: &[String]| ips.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => pod.name().to_owned(),
        "metadata.namespace" => pod.namespace().to_owned(),
        "metadata.uid" => pod.uid().to_owned(),
        "metadata.labels" => format_map(meta.labels.as_ref()),
        "metadata.annotations" => format_map(meta.annotations.as_ref()),
        "spec.nodeName" => context.node_name.to_owned(),
        "spec.serviceAccountName" => pod.view().service_account_name.clone().unwrap_or_default(),
        "spec.hostname" => pod.view().hostname.clone().unwrap_or_default(),
        "status.hostIP" => first(context.host_ips),
        "status.hostIPs" => context.host_ips.join(","),
        "status.podIP" => first(context.pod_ips),
        "status.podIPs" => context.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let mut text = String::new();
    for (key, value) in map.into_iter().flatten() {
        if !text.is_empty() {
            text.push('\n');
        }
        // Quoted as Go quotes strings; Rust's escapes differ only outside of printable text.
        let _ = write!(text, "{key}={value:?}");
    }
    text
}

/// The value of a resource field such as `limits.cpu`, in units of its divisor, rounded up.
pub fn resource_field(
    pod: &Pod,
    own: &Container,
    reference: &ResourceFieldSelector,
    context: &FieldContext<'_>,
) -> Result<String, String> {
    let container = match reference
        .container_name
        .as_deref()
        .filter(|name| !name.is_empty())
    {
        Some(name) => pod
            .member(name)
            .map(|(_, container)| container)
            .ok_or_else(|| format!("container {name} not found"))?,
        None => own.clone(),
    };
    let (list, name) = reference
        .resource
        .split_once('.')
        .ok_or_else(|| format!("unsupported container resource : {}", reference.resource))?;
    let resources = container.resources.unwrap_or_default();
    let find = |amounts: &Option<BTreeMap<String, Quantity>>| {
        amounts.as_ref().and_then(|amounts| amounts.get(name)).cloned()
    };
    let quantity = match list {
        "limits" => find(&resources.limits).or_else(|| context.allocatable.get(name).cloned()),
        "requests" => find(&resources.requests).or_else(|| find(&resources.limits)),
        _ => return Err(format!("unsupported container resource : {}", reference.resource)),
    };
    let value = quantity
        .as_ref()
        .map_or(Some(0.0), |quantity| parse(&quantity.0))
        .ok_or("unreadable quantity")?;
    let divisor = reference
        .divisor
        .as_ref()
        .and_then(|divisor| parse(&divisor.0))
        .filter(|divisor| *divisor > 0.0)
        .unwrap_or(1.0);
    // A quotient of decimal fractions may be off by a rounding error, which must not become a whole unit.
    Ok(format!("{}", (value / divisor - 1e-9).ceil().max(0.0) as i64))
}
