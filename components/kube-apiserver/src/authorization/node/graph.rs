//! Which node needs which object, kept from events of the watch caches.

use ahash::{AHashMap, AHashSet};
use serde_json::{Value, json};
use storage::StoredObject;

/// Kinds that a pod can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Pod,
    Secret,
    ConfigMap,
    ServiceAccount,
    Claim,
    Volume,
    Attachment,
    ResourceClaim,
    /// A ResourceSlice of a node.
    Slice,
}

type Vertex = (Kind, String, String);

/// Fields by which a pod comes to refer to more than at first.
const CHANGING: [&[u8]; 3] = [
    b"\"ephemeralContainers\"",
    b"\"resourceClaimStatuses\"",
    b"\"extendedResourceClaimStatus\"",
];

pub(super) fn may_refer_to_more(pod: &[u8]) -> bool {
    let mentions = |word: &&[u8]| memchr::memmem::find(pod, word).is_some();
    CHANGING.iter().any(mentions)
}

/// Edges from objects to the nodes that need them, by way of pods, claims and volumes.
#[derive(Debug, Default)]
pub struct Graph {
    /// What one pod, claim binding or attachment contributed, to take it back.
    contributions: AHashMap<Vertex, (String, Vec<Vertex>)>,
    /// How many contributions lead from a node to an object.
    edges: AHashMap<String, AHashMap<Vertex, u32>>,
    /// Claim to volume, and what a volume itself needs.
    bound_volume: AHashMap<(String, String), Vec<Vertex>>,
}

impl Graph {
    pub fn reaches(&self, node: &str, kind: Kind, namespace: &str, name: &str) -> bool {
        let Some(edges) = self.edges.get(node) else {
            return false;
        };
        let vertex = (kind, namespace.to_owned(), name.to_owned());
        if edges.contains_key(&vertex) {
            return true;
        }
        if !matches!(kind, Kind::Volume | Kind::Secret) {
            return false;
        }
        // By way of a claim: pod -> claim -> volume -> secret of the volume.
        edges
            .keys()
            .filter(|(kind, ..)| *kind == Kind::Claim)
            .filter_map(|(_, namespace, name)| self.bound_volume.get(&(namespace.clone(), name.clone())))
            .any(|targets| targets.contains(&vertex))
    }

    /// Whether a pod's event says nothing new: pods without a node lead nowhere, and what a pod refers to is fixed
    /// but for its ephemeral containers and the claims that are made for it.
    pub fn knows_pod(&self, pod: &StoredObject) -> bool {
        let node = pod.field("spec.nodeName").unwrap_or("");
        let vertex = (Kind::Pod, pod.namespace().to_owned(), pod.name().to_owned());
        match self.contributions.get(&vertex) {
            Some((known, _)) => known == node && !may_refer_to_more(pod.json_bytes()),
            None => node.is_empty(),
        }
    }

    /// Takes a pod in, new or changed.
    pub fn set_pod(&mut self, pod: &Value) {
        let (namespace, name) = names(pod);
        let node = pod["spec"]["nodeName"].as_str().unwrap_or("");
        if node.is_empty() {
            self.remove(Kind::Pod, &namespace, &name);
            return;
        }
        // A mirror pod is made by the kubelet itself and must not widen what it may read.
        let mirror = pod["metadata"]["annotations"]
            .get("kubernetes.io/config.mirror")
            .is_some();
        let mut targets = vec![(Kind::Pod, namespace.clone(), name.clone())];
        if !mirror {
            targets.extend(pod_references(pod, &namespace, &name));
        }
        self.set((Kind::Pod, namespace, name), node, targets);
    }

    /// Takes a persistent volume in.
    pub fn set_volume(&mut self, volume: &Value) {
        let (_, name) = names(volume);
        self.remove_volume(&name);
        let claim = &volume["spec"]["claimRef"];
        let (Some(claim_namespace), Some(claim_name)) = (claim["namespace"].as_str(), claim["name"].as_str())
        else {
            return;
        };
        let mut targets = vec![(Kind::Volume, String::new(), name)];
        for (namespace, secret) in volume_secrets(&volume["spec"], claim_namespace) {
            targets.push((Kind::Secret, namespace, secret));
        }
        self.bound_volume
            .insert((claim_namespace.to_owned(), claim_name.to_owned()), targets);
    }

    pub fn remove_volume(&mut self, name: &str) {
        self.bound_volume
            .retain(|_, targets| targets.first().is_none_or(|(_, _, volume)| volume != name));
    }

    /// Takes in an object that is a node's own: a volume attachment or a resource slice.
    pub fn set_own(&mut self, kind: Kind, object: &Value) {
        let (_, name) = names(object);
        let vertex = (kind, String::new(), name);
        match object["spec"]["nodeName"].as_str() {
            Some(node) if !node.is_empty() => self.set(vertex.clone(), node, vec![vertex]),
            _ => self.remove_vertex(&vertex),
        }
    }

    pub fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        self.remove_vertex(&(kind, namespace.to_owned(), name.to_owned()));
    }

    /// Forgets everything that objects of a kind contributed, before they are all sent anew.
    pub fn clear(&mut self, kind: Kind) {
        if kind == Kind::Volume {
            self.bound_volume.clear();
            return;
        }
        let sources: Vec<Vertex> = self
            .contributions
            .keys()
            .filter(|source| source.0 == kind)
            .cloned()
            .collect();
        for source in &sources {
            self.remove_vertex(source);
        }
    }

    fn set(&mut self, source: Vertex, node: &str, mut targets: Vec<Vertex>) {
        targets.sort_unstable();
        targets.dedup();
        if self
            .contributions
            .get(&source)
            .is_some_and(|(old, known)| old == node && *known == targets)
        {
            return;
        }
        self.remove_vertex(&source);
        let edges = self.edges.entry(node.to_owned()).or_default();
        for target in &targets {
            *edges.entry(target.clone()).or_default() += 1;
        }
        self.contributions.insert(source, (node.to_owned(), targets));
    }

    fn remove_vertex(&mut self, source: &Vertex) {
        let Some((node, targets)) = self.contributions.remove(source) else {
            return;
        };
        let Some(edges) = self.edges.get_mut(&node) else {
            return;
        };
        for target in targets {
            if let Some(count) = edges.get_mut(&target) {
                *count -= 1;
                if *count == 0 {
                    edges.remove(&target);
                }
            }
        }
        if edges.is_empty() {
            self.edges.remove(&node);
        }
    }
}

fn names(object: &Value) -> (String, String) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or("").to_owned();
    (text("namespace"), text("name"))
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn pod_references(pod: &Value, namespace: &str, pod_name: &str) -> Vec<Vertex> {
    let spec = &pod["spec"];
    let mut found: AHashSet<Vertex> = AHashSet::new();
    let mut add = |kind: Kind, name: Option<&str>| {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            found.insert((kind, namespace.to_owned(), name.to_owned()));
        }
    };
    add(Kind::ServiceAccount, spec["serviceAccountName"].as_str());
    for reference in items(spec, "imagePullSecrets") {
        add(Kind::Secret, reference["name"].as_str());
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in items(spec, list) {
            for from in items(container, "envFrom") {
                add(Kind::Secret, from["secretRef"]["name"].as_str());
                add(Kind::ConfigMap, from["configMapRef"]["name"].as_str());
            }
            for variable in items(container, "env") {
                add(
                    Kind::Secret,
                    variable["valueFrom"]["secretKeyRef"]["name"].as_str(),
                );
                add(
                    Kind::ConfigMap,
                    variable["valueFrom"]["configMapKeyRef"]["name"].as_str(),
                );
            }
        }
    }
    for volume in items(spec, "volumes") {
        add(Kind::Secret, volume["secret"]["secretName"].as_str());
        add(Kind::ConfigMap, volume["configMap"]["name"].as_str());
        add(Kind::Claim, volume["persistentVolumeClaim"]["claimName"].as_str());
        if volume.get("ephemeral").is_some() {
            let name = format!("{pod_name}-{}", volume["name"].as_str().unwrap_or(""));
            add(Kind::Claim, Some(&name));
        }
        for source in items(&volume["projected"], "sources") {
            add(Kind::Secret, source["secret"]["name"].as_str());
            add(Kind::ConfigMap, source["configMap"]["name"].as_str());
        }
        for plugin in [
            "azureFile",
            "cephfs",
            "cinder",
            "flexVolume",
            "iscsi",
            "rbd",
            "scaleIO",
            "storageos",
        ] {
            add(
                Kind::Secret,
                volume[plugin]["secretRef"]["name"]
                    .as_str()
                    .or_else(|| volume[plugin]["secretName"].as_str()),
            );
        }
        add(
            Kind::Secret,
            volume["csi"]["nodePublishSecretRef"]["name"].as_str(),
        );
    }
    for status in items(&pod["status"], "resourceClaimStatuses") {
        add(Kind::ResourceClaim, status["resourceClaimName"].as_str());
    }
    add(
        Kind::ResourceClaim,
        pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"].as_str(),
    );
    for claim in items(spec, "resourceClaims") {
        add(Kind::ResourceClaim, claim["resourceClaimName"].as_str());
    }
    found.into_iter().collect()
}

fn volume_secrets(spec: &Value, claim_namespace: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut add = |reference: &Value| {
        if let Some(name) = reference["name"].as_str().filter(|name| !name.is_empty()) {
            let namespace = reference["namespace"]
                .as_str()
                .filter(|text| !text.is_empty())
                .unwrap_or(claim_namespace);
            found.push((namespace.to_owned(), name.to_owned()));
        }
    };
    for plugin in [
        "cephfs",
        "cinder",
        "flexVolume",
        "iscsi",
        "rbd",
        "scaleIO",
        "storageos",
    ] {
        add(&spec[plugin]["secretRef"]);
    }
    // What only controllers use is not for nodes.
    for field in [
        "nodePublishSecretRef",
        "nodeStageSecretRef",
        "nodeExpandSecretRef",
    ] {
        add(&spec["csi"][field]);
    }
    let azure = &spec["azureFile"];
    add(&json!({"name": azure["secretName"], "namespace": azure["secretNamespace"]}));
    found
}
