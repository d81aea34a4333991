//! The messages of discovery: those of meta/v1 and of apidiscovery.k8s.io/v2.

use crate::protobuf::document::Shape::{Flag, Many, One, Text, Wrapped};
use crate::protobuf::document::{Message, TEXTS, encode, plain};
use crate::protobuf::envelope;
use apimachinery::meta;
use serde_json::Value;

/// A document of discovery in its envelope; `None` for one of another kind.
pub fn encoded(document: &Value) -> Option<Vec<u8>> {
    let kind = meta::kind(document);
    let message = match kind {
        "APIVersions" => &VERSIONS,
        "APIGroupList" => &GROUP_LIST,
        "APIGroup" => &GROUP,
        "APIResourceList" => &RESOURCE_LIST,
        "APIGroupDiscoveryList" => &AGGREGATED,
        _ => return None,
    };
    Some(envelope::wrap(
        meta::api_version(document),
        kind,
        &encode(message, document),
    ))
}

static VERSIONS: Message = plain(&[
    ("versions", 1, TEXTS),
    ("serverAddressByClientCIDRs", 2, Many(&One(&ADDRESS))),
]);
static ADDRESS: Message = plain(&[("clientCIDR", 1, Text), ("serverAddress", 2, Text)]);

static GROUP_LIST: Message = plain(&[("groups", 1, Many(&One(&GROUP)))]);
static GROUP: Message = plain(&[
    ("name", 1, Text),
    ("versions", 2, Many(&One(&GROUP_VERSION))),
    ("preferredVersion", 3, One(&GROUP_VERSION)),
    ("serverAddressByClientCIDRs", 4, Many(&One(&ADDRESS))),
]);
static GROUP_VERSION: Message = plain(&[("groupVersion", 1, Text), ("version", 2, Text)]);

static RESOURCE_LIST: Message = plain(&[("groupVersion", 1, Text), ("resources", 2, Many(&One(&RESOURCE)))]);
static RESOURCE: Message = plain(&[
    ("name", 1, Text),
    ("namespaced", 2, Flag),
    ("kind", 3, Text),
    ("verbs", 4, Wrapped(&Text)),
    ("shortNames", 5, TEXTS),
    ("singularName", 6, Text),
    ("categories", 7, TEXTS),
    ("group", 8, Text),
    ("version", 9, Text),
    ("storageVersionHash", 10, Text),
]);

static AGGREGATED: Message = plain(&[
    ("metadata", 1, One(&LIST_META)),
    ("items", 2, Many(&One(&GROUP_DISCOVERY))),
]);
/// A document of discovery has no resourceVersion and no continue token.
static LIST_META: Message = plain(&[]);
static GROUP_DISCOVERY: Message = plain(&[
    ("metadata", 1, One(&GROUP_META)),
    ("versions", 2, Many(&One(&VERSION_DISCOVERY))),
]);
/// Of the object's metadata only the name is told.
static GROUP_META: Message = plain(&[("name", 1, Text)]);
static VERSION_DISCOVERY: Message = plain(&[
    ("version", 1, Text),
    ("resources", 2, Many(&One(&RESOURCE_DISCOVERY))),
    ("freshness", 3, Text),
]);
static RESOURCE_DISCOVERY: Message = plain(&[
    ("resource", 1, Text),
    ("responseKind", 2, One(&KIND)),
    ("scope", 3, Text),
    ("singularResource", 4, Text),
    ("verbs", 5, TEXTS),
    ("shortNames", 6, TEXTS),
    ("categories", 7, TEXTS),
    ("subresources", 8, Many(&One(&SUBRESOURCE_DISCOVERY))),
]);
static SUBRESOURCE_DISCOVERY: Message = plain(&[
    ("subresource", 1, Text),
    ("responseKind", 2, One(&KIND)),
    ("acceptedTypes", 3, Many(&One(&KIND))),
    ("verbs", 4, TEXTS),
]);
static KIND: Message = plain(&[("group", 1, Text), ("version", 2, Text), ("kind", 3, Text)]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::document::decode;
    use api::Registry;
    use apimachinery::GroupVersion;

    #[test]
    fn messages_say_what_the_documents_say() {
        let registry = Registry::built_in();
        for (message, document) in [
            (&AGGREGATED, api::discovery::aggregated(&registry, true)),
            (&AGGREGATED, api::discovery::aggregated(&registry, false)),
            (&GROUP_LIST, api::discovery::group_list(&registry)),
            (
                &RESOURCE_LIST,
                api::discovery::resource_list(&registry, &GroupVersion::new("apps", "v1")).unwrap(),
            ),
        ] {
            let mut expected = document.clone();
            let fields = expected.as_object_mut().unwrap();
            fields.remove("kind");
            fields.remove("apiVersion");
            let raw = encode(message, &document);
            assert_eq!(decode(message, &raw), expected);
            let bytes = encoded(&document).unwrap();
            let opened = crate::protobuf::open(&bytes).unwrap();
            assert_eq!(
                (opened.kind.as_str(), opened.raw),
                (meta::kind(&document), &raw[..])
            );
        }
        assert_eq!(encoded(&serde_json::json!({ "kind": "Pod" })), None);
    }
}
