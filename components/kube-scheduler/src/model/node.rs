//! A node, reduced to what scheduling looks at.

use k8s_openapi::api::core::v1;

use super::declared_features::DeclaredFeatures;
use super::quantity::value;
use super::requests::Requests;
use super::selector::Labels;
use super::taints::Taint;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    pub allocatable: Requests,
    pub allowed_pods: i64,
    /// Image names and the size of each image in bytes.
    pub images: Vec<(String, i64)>,
    pub declared: DeclaredFeatures,
}

impl Node {
    pub fn of(node: &v1::Node) -> Self {
        let spec = node.spec.as_ref();
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        let images = status
            .and_then(|status| status.images.as_ref())
            .into_iter()
            .flatten();
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec
                .and_then(|spec| spec.taints.as_ref())
                .into_iter()
                .flatten()
                .filter_map(Taint::of)
                .collect(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
            allocatable: Requests::of(allocatable),
            allowed_pods: allocatable.and_then(|list| list.get("pods")).map_or(0, value),
            images: images
                .flat_map(|image| {
                    let size = image.size_bytes.unwrap_or(0);
                    image.names.iter().flatten().map(move |name| (name.clone(), size))
                })
                .collect(),
            declared: DeclaredFeatures::of_node(status),
        }
    }

    /// Region and zone; nodes without either share one.
    pub fn zone(&self) -> (&str, &str) {
        let label = |key: &str, beta: &str| {
            self.labels
                .get(key)
                .or_else(|| self.labels.get(beta))
                .map_or("", String::as_str)
        };
        (
            label(
                "topology.kubernetes.io/region",
                "failure-domain.beta.kubernetes.io/region",
            ),
            label(
                "topology.kubernetes.io/zone",
                "failure-domain.beta.kubernetes.io/zone",
            ),
        )
    }
}
