//! Other versions of a kind: owners are compared in the version that they wrote.
use super::manager::FieldManager;
use crate::fieldset::FieldSet;
use crate::meta;
use crate::schema::{SchemaId, SchemaSet, Type};
use crate::status::ApiError;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// A kind in one version.
#[derive(Clone, Debug)]
pub struct Kind {
    pub schemas: Arc<SchemaSet>,
    pub schema: SchemaId,
    /// Fields that writes through the endpoint never change, in this version.
    pub reset: FieldSet,
}

impl Kind {
    pub(super) fn ty(&self) -> Type {
        Type::Struct(self.schema)
    }
}

/// The versions that a kind has beside the one of a request.
pub trait Versions: Debug + Sync {
    /// The kind in one of them; `None` when there is no such version any more, whose owners then own nothing.
    fn kind(&self, api_version: &str) -> Option<Kind>;

    /// An object without managedFields in another version than its own. Fails when the conversion does.
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError>;
}

impl<'a> FieldManager<'a> {
    /// The keeper of the kind in another version.
    pub(super) fn of_kind<'b>(&self, kind: &'b Kind, api_version: &'b str) -> FieldManager<'b>
    where
        'a: 'b,
    {
        FieldManager {
            schemas: &kind.schemas,
            schema: kind.schema,
            api_version,
            reset: &kind.reset,
            typed: self.typed,
            versions: self.versions,
        }
    }

    /// An object without managedFields in this version. One that doesn't say its version is taken to be of it.
    pub(super) fn converted<'v>(&self, object: &'v Value) -> Result<Cow<'v, Value>, ApiError> {
        match meta::api_version(object) {
            "" => Ok(Cow::Borrowed(object)),
            version if version == self.api_version => Ok(Cow::Borrowed(object)),
            _ => self.versions.convert(object, self.api_version).map(Cow::Owned),
        }
    }
}

/// No other versions than the one of the request.
#[derive(Clone, Copy, Debug)]
pub struct OnlyVersion;

impl Versions for OnlyVersion {
    fn kind(&self, _: &str) -> Option<Kind> {
        None
    }

    fn convert(&self, object: &Value, _: &str) -> Result<Value, ApiError> {
        Ok(object.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compact, Writer};
    use super::*;
    use crate::decode::Unchanged;
    use crate::schema::{Field, Schema};
    use serde_json::json;

    /// A kind whose `spec.replicas` of v1 is `spec.count` in v2; both have `spec.size`.
    fn schemas(count: &str) -> SchemaSet {
        let always = |name: &str, id| Field {
            always: true,
            ..Field::new(name, Type::Struct(id))
        };
        let text = |name: &str| Field::new(name, Type::String);
        let mut numbers = vec![Field::new(count, Type::Int32), Field::new("size", Type::Int32)];
        numbers.sort_by(|a, b| a.name.cmp(&b.name));
        let of = |name: &str, fields| Schema {
            name: name.into(),
            fields,
            ..Schema::default()
        };
        let meta = of("Meta", vec![text("name")]);
        let spec = of("Spec", numbers);
        let root = vec![
            text("apiVersion"),
            text("kind"),
            always("metadata", 0),
            always("spec", 1),
        ];
        SchemaSet::new(vec![meta, spec, of("Root", root)])
    }

    fn name_in(api_version: &str) -> &'static str {
        if api_version == "v1" { "replicas" } else { "count" }
    }

    #[derive(Debug)]
    struct Two;

    impl Versions for Two {
        fn kind(&self, api_version: &str) -> Option<Kind> {
            ["v1", "v2"].contains(&api_version).then(|| Kind {
                schemas: Arc::new(schemas(name_in(api_version))),
                schema: 2,
                reset: FieldSet::default(),
            })
        }

        fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError> {
            let mut object = object.clone();
            // What is pruned may have no spec.
            if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
                && let Some(count) = spec.remove("replicas").or_else(|| spec.remove("count"))
            {
                spec.insert(name_in(api_version).to_owned(), count);
            }
            object["apiVersion"] = json!(api_version);
            Ok(object)
        }
    }

    fn with<T>(api_version: &str, act: impl FnOnce(FieldManager<'_>) -> T) -> T {
        act(FieldManager {
            schemas: &schemas(name_in(api_version)),
            schema: 2,
            api_version,
            reset: &FieldSet::default(),
            typed: true,
            versions: &Two,
        })
    }

    fn writer(manager: &str) -> Writer<'_> {
        Writer {
            manager,
            subresource: "",
            now: "2026-01-01T00:00:00Z",
        }
    }

    fn object(api_version: &str, count: i32, size: Option<i32>) -> Value {
        let mut object = json!({"apiVersion": api_version, "kind": "Root", "metadata": {"name": "x"}});
        object["spec"] = json!({ name_in(api_version): count });
        if let Some(size) = size {
            object["spec"]["size"] = json!(size);
        }
        object
    }

    fn created(api_version: &str, manager: &str, count: i32, size: Option<i32>) -> Compact {
        let mut new = Compact::of(object(api_version, count, size));
        with(api_version, |fields| {
            fields.update(None, &mut new, &Unchanged::default(), writer(manager));
        });
        new
    }

    /// An object that was read in another version.
    fn read_in(api_version: &str, object: &Compact) -> Compact {
        let managed = meta::managed_fields(object).to_vec();
        let mut converted = Two.convert(object, api_version).unwrap();
        meta::set(&mut converted, "managedFields", managed);
        // Field sets are texts already.
        let mut compact = object.clone();
        *compact = converted;
        compact
    }

    fn apply(
        api_version: &str,
        live: Option<&Compact>,
        applied: &Value,
        manager: &str,
    ) -> Result<Compact, ApiError> {
        with(api_version, |fields| {
            fields.apply(live, applied, writer(manager), false)
        })
    }

    /// Managers, with the version and the paths of what they own.
    fn owners(object: &Compact) -> Vec<(String, String, Vec<String>)> {
        let object = object.to_whole();
        let entry = |entry: &Value| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            let fields = FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap();
            (text("manager"), text("apiVersion"), fields.paths())
        };
        meta::managed_fields(&object).iter().map(entry).collect()
    }

    fn owner(manager: &str, version: &str, fields: &[&str]) -> (String, String, Vec<String>) {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        (manager.to_owned(), version.to_owned(), fields)
    }

    #[test]
    fn an_update_in_one_version_takes_over_what_somebody_wrote_in_another() {
        let live = read_in("v2", &created("v1", "u", 1, Some(7)));
        let mut new = live.clone();
        new["spec"]["count"] = json!(2);
        with("v2", |fields| {
            fields.update(Some(&live), &mut new, &Unchanged::default(), writer("w"));
        });
        let expected = [
            owner("u", "v1", &[".spec.size"]),
            owner("w", "v2", &[".spec.count"]),
        ];
        assert_eq!(owners(&new), expected);
    }

    #[test]
    fn conflicts_name_the_fields_of_the_version_that_the_other_wrote() {
        let live = read_in("v2", &created("v1", "u", 1, None));
        let error = apply("v2", Some(&live), &object("v2", 2, None), "a").unwrap_err();
        assert_eq!(
            error.message(),
            "Apply failed with 1 conflict: conflict with \"u\" using v1: .spec.replicas"
        );
        let shared = apply("v2", Some(&live), &object("v2", 1, None), "a").unwrap();
        let expected = [
            owner("a", "v2", &[".spec.count"]),
            owner("u", "v1", &[".spec.replicas"]),
        ];
        assert_eq!(owners(&shared), expected);
    }

    #[test]
    fn an_applier_that_goes_on_in_another_version_takes_out_what_it_drops() {
        let live = apply("v1", None, &object("v1", 1, Some(7)), "a").unwrap();
        let live = read_in("v2", &live);
        let new = apply("v2", Some(&live), &object("v2", 1, None), "a").unwrap();
        assert_eq!(new["spec"], json!({"count": 1}));
        assert_eq!(owners(&new), [owner("a", "v2", &[".spec.count"])]);
        // The same for what has another name there.
        let mut only_size = object("v2", 1, Some(7));
        only_size["spec"].as_object_mut().unwrap().remove("count");
        let new = apply("v2", Some(&live), &only_size, "a").unwrap();
        assert_eq!(new["spec"], json!({"size": 7}));
    }

    #[test]
    fn what_somebody_owns_in_another_version_stays_when_it_is_no_longer_applied() {
        let live = apply("v2", None, &object("v2", 1, Some(7)), "a").unwrap();
        let live = apply("v1", Some(&read_in("v1", &live)), &object("v1", 1, None), "b").unwrap();
        let mut only_size = object("v2", 1, Some(7));
        only_size["spec"].as_object_mut().unwrap().remove("count");
        let new = apply("v2", Some(&read_in("v2", &live)), &only_size, "a").unwrap();
        assert_eq!(new["spec"], json!({"count": 1, "size": 7}));
        let expected = [
            owner("b", "v1", &[".spec.replicas"]),
            owner("a", "v2", &[".spec.size"]),
        ];
        assert_eq!(owners(&new), expected);
    }

    #[test]
    fn who_wrote_a_version_that_is_gone_owns_nothing() {
        let gone = |object: &Compact| {
            let mut object = object.to_whole();
            object["metadata"]["managedFields"][0]["apiVersion"] = json!("v0");
            Compact::of(object)
        };
        let live = gone(&created("v2", "u", 1, Some(7)));
        let mut new = live.clone();
        new["spec"]["size"] = json!(8);
        with("v2", |fields| {
            fields.update(Some(&live), &mut new, &Unchanged::default(), writer("w"));
        });
        assert_eq!(owners(&new), [owner("w", "v2", &[".spec.size"])]);
        let new = apply("v2", Some(&live), &object("v2", 2, None), "a").unwrap();
        assert_eq!(owners(&new), [owner("a", "v2", &[".spec.count"])]);
        // Nobody knows what it was, so it stays.
        let live = gone(&apply("v2", None, &object("v2", 1, Some(7)), "a").unwrap());
        let new = apply("v2", Some(&live), &object("v2", 1, None), "a").unwrap();
        assert_eq!(new["spec"], json!({"count": 1, "size": 7}));
    }
}
