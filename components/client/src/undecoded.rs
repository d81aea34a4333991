//! Objects of lists and watches as they came. Each is decoded by itself, so that one that does not decode ends neither,
//! and the machinery of lists and watches is compiled once and not for each kind.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicResourceScope;
use kube::{Api, Resource};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::informer::Key;

/// An object's text, and as much of its metadata as a watch needs: namespace, name and resourceVersion, each empty when
/// it is missing or not a string.
#[derive(Clone, Debug)]
pub struct Undecoded {
    meta: ObjectMeta,
    text: Box<RawValue>,
}

#[derive(Default, Deserialize)]
struct Shallow {
    #[serde(default)]
    metadata: ShallowMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShallowMeta {
    namespace: Option<String>,
    name: Option<String>,
    resource_version: Option<String>,
}

impl ShallowMeta {
    fn read(text: &str) -> Self {
        serde_json::from_str::<Shallow>(text)
            .map_or_else(|_| Self::of_malformed(text), |shallow| shallow.metadata)
    }

    fn of_malformed(text: &str) -> Self {
        let object: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
        Self {
            namespace: field("namespace"),
            name: field("name"),
            resource_version: field("resourceVersion"),
        }
    }
}

impl Undecoded {
    /// The same objects, undecoded.
    pub fn of<K: Resource>(api: Api<K>) -> Api<Self> {
        let place = Place(api.resource_url().to_owned());
        Api::all_with(api.into_client(), &place)
    }

    pub fn key(&self) -> Key {
        crate::informer::key_of(self)
    }

    /// The error may quote a value of the object, but never of a Secret's data, which is a string and so always
    /// decodes or is called "invalid base64".
    pub fn decode<K: DeserializeOwned>(&self) -> serde_json::Result<K> {
        serde_json::from_str(self.text.get())
    }
}

impl<'de> Deserialize<'de> for Undecoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        let read = ShallowMeta::read(text.get());
        let meta = ObjectMeta {
            namespace: read.namespace,
            name: read.name,
            resource_version: read.resource_version,
            ..ObjectMeta::default()
        };
        Ok(Self {
            meta,
            text: text.to_owned(),
        })
    }
}

/// The path under which the objects are.
pub struct Place(String);

impl Resource for Undecoded {
    type DynamicType = Place;
    type Scope = DynamicResourceScope;

    fn kind(_: &Place) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn group(_: &Place) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn version(_: &Place) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn plural(_: &Place) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn url_path(place: &Place, _: Option<&str>) -> String {
        place.0.clone()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    #[test]
    fn a_list_keeps_what_decodes() {
        let list: ObjectList<Undecoded> = serde_json::from_str(
            r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[
                {"metadata":{"name":"a","namespace":"n"},"data":{"k":"v"}},
                {"metadata":{"name":"b","namespace":"n","resourceVersion":"5","labels":{"x":1}},"data":{"k":"v"}},
                {"metadata":{"name":7,"namespace":"n"},"data":{"k":"v"}},
                {"metadata":"nothing","data":7},
                {"metadata":{"name":"c","namespace":"n"}}]}"#,
        )
        .unwrap();
        let seen: Vec<_> = list
            .items
            .iter()
            .map(|item| (item.key().1, item.decode::<ConfigMap>().is_ok()))
            .collect();
        let want = [("a", true), ("b", false), ("", false), ("", false), ("c", true)];
        assert_eq!(seen, want.map(|(name, whole)| (name.to_owned(), whole)));
        assert_eq!(list.items[1].meta().resource_version.as_deref(), Some("5"));
        assert_eq!(list.items[2].key().0, "n");
    }

    #[test]
    fn a_watch_event_keeps_its_type() {
        let event: WatchEvent<Undecoded> = serde_json::from_str(
            r#"{"type":"MODIFIED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"8"},"data":[]}}"#,
        )
        .unwrap();
        let WatchEvent::Modified(object) = event else {
            panic!("{event:?}")
        };
        assert_eq!(object.meta().resource_version.as_deref(), Some("8"));
        let reason = object.decode::<ConfigMap>().unwrap_err().to_string();
        assert!(reason.contains("invalid type"), "{reason}");
    }
}
