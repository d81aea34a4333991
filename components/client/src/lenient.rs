//! One object that does not decode must not end a list or a watch.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object as it came, decoded if it could be. It is asked for under the names of `K`.
#[derive(Clone, Debug)]
pub enum Lenient<K> {
    Object(K),
    Malformed(Malformed),
}

/// What could still be read of an object that is not what its kind says.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Only namespace, name, uid and resourceVersion; each empty when it is missing or not a string.
    pub meta: ObjectMeta,
    /// What the decoder found wrong; it may quote a value of the object, but never of a Secret's data, which
    /// is a string and so always decodes or is called "invalid base64".
    pub reason: String,
}

impl Malformed {
    fn read(text: &str, reason: String) -> Self {
        let object: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
        let meta = ObjectMeta {
            namespace: field("namespace"),
            name: field("name"),
            uid: field("uid"),
            resource_version: field("resourceVersion"),
            ..ObjectMeta::default()
        };
        Self { meta, reason }
    }

    /// Says which object was left out.
    pub fn log(&self, kind: &str) {
        tracing::warn!(
            kind,
            namespace = self.meta.namespace.as_deref().unwrap_or_default(),
            name = self.meta.name.as_deref().unwrap_or_default(),
            reason = self.reason,
            "an object does not decode and is left out"
        );
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Lenient<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The text has to be kept: a decoder that has failed cannot say where its object ends.
        let raw = <&RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(raw.get()) {
            Ok(object) => Ok(Lenient::Object(object)),
            Err(error) if error.is_data() => {
                Ok(Lenient::Malformed(Malformed::read(raw.get(), error.to_string())))
            }
            Err(error) => Err(D::Error::custom(error)),
        }
    }
}

impl<K: Serialize> Serialize for Lenient<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Lenient::Object(object) => object.serialize(serializer),
            Lenient::Malformed(_) => Err(serde::ser::Error::custom("a malformed object cannot be written")),
        }
    }
}

impl<K: Resource> Resource for Lenient<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn api_version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::api_version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn url_path(dynamic: &Self::DynamicType, namespace: Option<&str>) -> String {
        K::url_path(dynamic, namespace)
    }

    fn meta(&self) -> &ObjectMeta {
        match self {
            Lenient::Object(object) => object.meta(),
            Lenient::Malformed(malformed) => &malformed.meta,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match self {
            Lenient::Object(object) => object.meta_mut(),
            Lenient::Malformed(malformed) => &mut malformed.meta,
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    #[test]
    fn a_list_keeps_what_decodes() {
        let list: ObjectList<Lenient<ConfigMap>> = serde_json::from_str(
            r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[
                {"metadata":{"name":"a","namespace":"n"},"data":{"k":"v"}},
                {"metadata":{"name":"b","namespace":"n","resourceVersion":"5","labels":{"x":1}},"data":{"k":"v"}},
                {"metadata":"nothing","data":7},
                {"metadata":{"name":"c","namespace":"n"}}]}"#,
        )
        .unwrap();
        let seen: Vec<_> = list
            .items
            .iter()
            .map(|item| {
                let meta = item.meta();
                (
                    meta.name.clone().unwrap_or_default(),
                    matches!(item, Lenient::Object(_)),
                )
            })
            .collect();
        let want = [("a", true), ("b", false), ("", false), ("c", true)];
        assert_eq!(seen, want.map(|(name, whole)| (name.to_owned(), whole)));
        assert_eq!(list.items[1].meta().resource_version.as_deref(), Some("5"));
    }

    #[test]
    fn a_watch_event_keeps_its_type() {
        let event: WatchEvent<Lenient<ConfigMap>> = serde_json::from_str(
            r#"{"type":"MODIFIED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"8"},"data":[]}}"#,
        )
        .unwrap();
        let WatchEvent::Modified(Lenient::Malformed(malformed)) = event else {
            panic!("{event:?}")
        };
        assert_eq!(malformed.meta.resource_version.as_deref(), Some("8"));
        assert!(malformed.reason.contains("invalid type"), "{}", malformed.reason);
    }
}
