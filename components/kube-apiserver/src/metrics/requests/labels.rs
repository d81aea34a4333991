//! What tells series of requests apart.

use crate::audit::Record;
use crate::request_info::RequestInfo;
use crate::server::Server;
use hashbrown::Equivalent;
use prometheus_client::encoding::EncodeLabelSet;
use std::hash::{Hash, Hasher};

/// Which part of the server answered: itself, the sending on to aggregated servers, or none for probes of its health.
pub const APISERVER: &str = "apiserver";
pub const AGGREGATOR: &str = "aggregator";
const PROBED: &str = "";

/// The scope of a request about one object.
const RESOURCE: &str = "resource";

/// Labels of one request, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Labels<'a> {
    pub verb: &'static str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub scope: &'static str,
    pub component: &'static str,
}

impl<'a> Labels<'a> {
    pub fn of(record: &'a Record) -> Self {
        let info = &record.info;
        let subresource = if info.is_resource {
            &info.subresource
        } else {
            probe(&info.path)
        };
        let component = if !info.is_resource && !subresource.is_empty() {
            PROBED
        } else {
            APISERVER
        };
        Self {
            verb: verb(record),
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource,
            scope: scope(info),
            component,
        }
    }

    pub fn without_resource(self) -> Self {
        Self {
            group: "",
            version: "",
            resource: "",
            subresource: "",
            ..self
        }
    }
}

/// Upstream's words: the methods of HTTP where there is one, and `other` for what is none.
fn verb(record: &Record) -> &'static str {
    let info = &record.info;
    if info.is_resource
        && matches!(
            info.subresource.as_str(),
            "exec" | "attach" | "portforward" | "proxy"
        )
    {
        return "CONNECT";
    }
    match info.verb.as_str() {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" if record.applies => "APPLY",
        "patch" => "PATCH",
        // Of what is told by HTTP's methods the scope tells a collection.
        "delete" | "deletecollection" => "DELETE",
        "proxy" => "PROXY",
        "head" => "HEAD",
        "options" => "OPTIONS",
        _ => "other",
    }
}

/// What a request is about: one object, those of a namespace or all of the cluster.
pub fn scope(info: &RequestInfo) -> &'static str {
    if !info.is_resource {
        ""
    } else if !info.name.is_empty() || info.verb == "create" {
        RESOURCE
    } else if !info.namespace.is_empty() {
        "namespace"
    } else {
        "cluster"
    }
}

/// Paths that are told like subresources.
fn probe(path: &str) -> &'static str {
    const PROBES: [&str; 3] = ["/healthz", "/livez", "/readyz"];
    PROBES.into_iter().find(|probe| *probe == path).unwrap_or("")
}

/// Whether this server has such a resource.
pub fn known(server: &Server, info: &RequestInfo) -> bool {
    if !info.is_resource {
        return true;
    }
    let registry = server.registry.load();
    match registry.resource(&info.group, &info.version, &info.resource) {
        Some(row) => info.subresource.is_empty() || row.subresource(&info.subresource).is_some(),
        None => false,
    }
}

/// Whether the aggregated server that serves the group says that it has such a resource.
pub fn known_elsewhere(server: &Server, info: &RequestInfo) -> bool {
    !info.is_resource
        || server
            .aggregator
            .documents
            .has(&info.group, &info.version, &info.resource, &info.subresource)
}

#[derive(Clone, Debug, PartialEq, Eq, EncodeLabelSet)]
pub struct OwnedLabels {
    verb: &'static str,
    group: Box<str>,
    version: Box<str>,
    resource: Box<str>,
    subresource: Box<str>,
    scope: &'static str,
    component: &'static str,
}

impl OwnedLabels {
    fn borrowed(&self) -> Labels<'_> {
        Labels {
            verb: self.verb,
            group: &self.group,
            version: &self.version,
            resource: &self.resource,
            subresource: &self.subresource,
            scope: self.scope,
            component: self.component,
        }
    }

    /// Group, resource and the verb's small word, which bodies are sorted by.
    pub fn of_bodies(&self) -> BodyLabels {
        BodyLabels {
            group: self.group.to_string(),
            resource: self.resource.to_string(),
            verb: match self.verb {
                "POST" | "CONNECT" => "create",
                "PUT" => "update",
                "PATCH" | "APPLY" => "patch",
                _ if self.scope != RESOURCE => "delete_collection",
                _ => "delete",
            },
        }
    }
}

impl From<Labels<'_>> for OwnedLabels {
    fn from(labels: Labels<'_>) -> Self {
        Self {
            verb: labels.verb,
            group: labels.group.into(),
            version: labels.version.into(),
            resource: labels.resource.into(),
            subresource: labels.subresource.into(),
            scope: labels.scope,
            component: labels.component,
        }
    }
}

impl Hash for OwnedLabels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrowed().hash(state);
    }
}

impl Equivalent<OwnedLabels> for Labels<'_> {
    fn equivalent(&self, key: &OwnedLabels) -> bool {
        *self == key.borrowed()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct BodyLabels {
    group: String,
    resource: String,
    verb: &'static str,
}

/// How unknown fields may be treated, in few words.
pub const VALIDATIONS: [&str; 5] = ["", "Strict", "Warn", "Ignore", "invalid"];

/// The place of the query's word in [`VALIDATIONS`].
pub fn field_validation(uri: &str) -> usize {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let mut words = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("fieldValidation="));
    let word = match (words.next(), words.next()) {
        (None, _) => "",
        (Some(word), None) if !word.is_empty() => word,
        _ => "invalid",
    };
    VALIDATIONS
        .iter()
        .position(|known| *known == word)
        .unwrap_or(VALIDATIONS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn borrowed_and_owned_labels_are_found_by_each_other() {
        let labels = Labels {
            verb: "GET",
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "scale",
            scope: "resource",
            component: APISERVER,
        };
        let owned = OwnedLabels::from(labels);
        let mut table = hashbrown::HashMap::with_hasher(ahash::RandomState::new());
        table.insert(owned, 1);
        assert_eq!(table.get(&labels), Some(&1));
    }

    #[test]
    fn field_validation_is_told_in_few_words() {
        for (uri, told) in [
            ("/api/v1/pods", ""),
            ("/api/v1/pods?dryRun=All", ""),
            ("/api/v1/pods?dryRun=All&fieldValidation=Strict", "Strict"),
            ("/api/v1/pods?fieldValidation=odd", "invalid"),
            (
                "/api/v1/pods?fieldValidation=Warn&fieldValidation=Warn",
                "invalid",
            ),
        ] {
            assert_eq!(VALIDATIONS[field_validation(uri)], told, "{uri}");
        }
    }

    #[test]
    fn probes_are_of_no_component() {
        let mut record = Record::for_tests();
        for (path, subresource, component) in [
            ("/livez", "/livez", ""),
            ("/livez/ping", "", "apiserver"),
            ("/version", "", "apiserver"),
        ] {
            record.info = Arc::new(RequestInfo {
                path: path.to_owned(),
                ..RequestInfo::default()
            });
            let labels = Labels::of(&record);
            assert_eq!(
                (labels.subresource, labels.component),
                (subresource, component),
                "{path}"
            );
        }
    }

    #[test]
    fn verbs_and_scopes_are_upstreams() {
        let mut record = Record::for_tests();
        let mut told = |verb: &str, name: &str, subresource: &str, applies: bool| {
            record.info = Arc::new(RequestInfo {
                is_resource: true,
                verb: verb.to_owned(),
                name: name.to_owned(),
                namespace: "default".to_owned(),
                subresource: subresource.to_owned(),
                ..RequestInfo::default()
            });
            record.applies = applies;
            let labels = Labels::of(&record);
            (labels.verb, labels.scope)
        };
        assert_eq!(told("create", "", "", false), ("POST", "resource"));
        assert_eq!(told("list", "", "", false), ("LIST", "namespace"));
        assert_eq!(told("patch", "a", "", false), ("PATCH", "resource"));
        assert_eq!(told("patch", "a", "", true), ("APPLY", "resource"));
        assert_eq!(told("create", "a", "exec", false), ("CONNECT", "resource"));
        assert_eq!(told("odd", "a", "", false), ("other", "resource"));
    }
}
