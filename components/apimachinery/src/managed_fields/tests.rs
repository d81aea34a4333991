use super::*;
use crate::decode::Unchanged;
use crate::fieldset::FieldSet;
use crate::schema::{Field, ListKind, Schema, SchemaSet, Type};
use serde_json::{Value, json};

fn set() -> SchemaSet {
    schemas(ListKind::Map(vec!["name".into()]), false)
}

fn schemas(items: ListKind, atomic_labels: bool) -> SchemaSet {
    let plain = Field::new;
    let meta = Schema {
        name: "Meta".into(),
        fields: vec![
            plain("labels", Type::Map(Box::new(Type::String), atomic_labels)),
            plain("name", Type::String),
        ],
        ..Schema::default()
    };
    let item = Schema {
        name: "Item".into(),
        fields: vec![plain("image", Type::String), plain("name", Type::String)],
        ..Schema::default()
    };
    let spec = Schema {
        name: "Spec".into(),
        fields: vec![
            plain("items", Type::List(Box::new(Type::Struct(1)), items)),
            plain("replicas", Type::Int32),
        ],
        ..Schema::default()
    };
    let always = |field: Field| Field {
        always: true,
        ..field
    };
    let root = Schema {
        name: "Root".into(),
        fields: vec![
            plain("apiVersion", Type::String),
            plain("kind", Type::String),
            always(plain("metadata", Type::Struct(0))),
            always(plain("spec", Type::Struct(2))),
        ],
        ..Schema::default()
    };
    SchemaSet::new(vec![meta, item, spec, root])
}

fn manager<'a>(schemas: &'a SchemaSet, reset: &'a FieldSet) -> FieldManager<'a> {
    FieldManager {
        schemas,
        schema: 3,
        api_version: "v1",
        reset,
        typed: true,
        versions: &OnlyVersion,
    }
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        subresource: "",
        now: "2026-01-01T00:00:00Z",
    }
}

fn owned(object: &Compact, manager: &str) -> Vec<String> {
    let object = object.to_whole();
    let entry = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["manager"] == manager);
    entry
        .map(|entry| FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap().paths())
        .unwrap_or_default()
}

#[test]
fn life_of_an_applied_object() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let applied = json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"replicas": 2, "items": [{"name": "n", "image": "i"}]}});
    let live = fields.apply(None, &applied, writer("a"), false).unwrap();
    assert_eq!(
        owned(&live, "a"),
        [
            ".metadata.labels.a",
            ".spec.replicas",
            ".spec.items[name=\"n\"]",
            ".spec.items[name=\"n\"].image",
            ".spec.items[name=\"n\"].name"
        ]
    );

    // An update takes over what it changes.
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(5);
    let unchanged = Unchanged::between(&live, &new);
    fields.update(Some(&live), &mut new, &unchanged, writer("u"));
    assert_eq!(owned(&new, "u"), [".spec.replicas"]);
    assert!(!owned(&new, "a").contains(&".spec.replicas".to_owned()));

    // Applying the old value is a conflict, unless forced.
    let error = fields
        .apply(Some(&new), &applied, writer("a"), false)
        .unwrap_err();
    assert_eq!(
        error.message(),
        "Apply failed with 1 conflict: conflict with \"u\" using v1: .spec.replicas"
    );
    let forced = fields.apply(Some(&new), &applied, writer("a"), true).unwrap();
    assert_eq!(forced["spec"]["replicas"], json!(2));
    assert!(owned(&forced, "u").is_empty());

    // What is no longer applied goes, unless someone else owns it.
    let pruned = fields
        .apply(
            Some(&forced),
            &json!({"metadata": {"name": "x"}, "spec": {"replicas": 2}}),
            writer("a"),
            false,
        )
        .unwrap();
    assert_eq!(pruned["spec"], json!({"replicas": 2}));
}

#[test]
fn creates_are_recorded_and_untracked_objects_left_alone() {
    let (schemas, reset) = (set(), FieldSet::of_names(&["metadata.labels"]));
    let fields = manager(&schemas, &reset);
    let mut new =
        Compact::of(json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"replicas": 1}}));
    fields.update(None, &mut new, &Unchanged::default(), writer("u"));
    assert_eq!(owned(&new, "u"), [".spec.replicas"]);
    let untracked = Compact::of(json!({"metadata": {"name": "x"}, "spec": {}}));
    let mut changed = Compact::of(json!({"metadata": {"name": "x"}, "spec": {"replicas": 3}}));
    fields.update(Some(&untracked), &mut changed, &Unchanged::default(), writer("u"));
    assert_eq!(changed["metadata"].get("managedFields"), None);
}

#[test]
fn what_an_apply_empties_stays_as_an_empty_map() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let applied = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"replicas": 2}});
    let live = fields.apply(None, &applied, writer("a"), false).unwrap();
    let emptied = json!({"metadata": {"name": "x", "labels": {}}, "spec": {"replicas": 2}});
    let new = fields.apply(Some(&live), &emptied, writer("a"), false).unwrap();
    assert_eq!(new["metadata"]["labels"], json!({}));
}

#[test]
fn a_struct_that_no_applier_names_any_more_goes_as_a_whole() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let applied = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"replicas": 2}});
    let live = fields.apply(None, &applied, writer("a"), false).unwrap();
    let without = json!({"spec": {"replicas": 2}});
    let new = fields.apply(Some(&live), &without, writer("a"), false).unwrap();
    assert_eq!(new["metadata"].get("name"), None);
    // The name is nobody's: while something in its struct is applied, it stays.
    let fewer = json!({"metadata": {}, "spec": {"replicas": 2}});
    let new = fields.apply(Some(&live), &fewer, writer("a"), false).unwrap();
    assert_eq!(new["metadata"]["name"], json!("x"));
}

#[test]
fn what_an_updater_owns_too_stays_when_it_is_no_longer_applied() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let applied = json!({"metadata": {"name": "x"}, "spec": {"replicas": 2}});
    let live = fields.apply(None, &applied, writer("a"), false).unwrap();
    let mut changed = live.clone();
    changed["spec"]["replicas"] = json!(3);
    fields.update(Some(&live), &mut changed, &Unchanged::default(), writer("u"));
    assert!(owned(&changed, "a").is_empty());
    let shared = json!({"metadata": {"name": "x"}, "spec": {"replicas": 3}});
    let shared = fields.apply(Some(&changed), &shared, writer("a"), false).unwrap();
    for manager in ["a", "u"] {
        assert_eq!(owned(&shared, manager), [".spec.replicas"]);
    }
    let without = json!({"metadata": {"name": "x"}});
    let left = fields.apply(Some(&shared), &without, writer("a"), false).unwrap();
    assert_eq!(left["spec"], json!({"replicas": 3}));
    assert_eq!(owned(&left, "u"), [".spec.replicas"]);
}

#[test]
fn owners_of_parts_own_what_a_definition_has_made_atomic() {
    let (granular, atomic, reset) = (set(), schemas(ListKind::Atomic, true), FieldSet::default());
    let applied = json!({
        "metadata": {"name": "x", "labels": {"a": "b"}},
        "spec": {"items": [{"name": "i", "image": "j"}], "replicas": 2},
    });
    let live = manager(&granular, &reset)
        .apply(None, &applied, writer("a"), false)
        .unwrap();
    let custom = FieldManager {
        typed: false,
        ..manager(&atomic, &reset)
    };
    let mut changed = live.clone();
    changed["spec"]["replicas"] = json!(3);
    custom.update(Some(&live), &mut changed, &Unchanged::default(), writer("u"));
    assert_eq!(owned(&changed, "a"), [".metadata.labels", ".spec.items"]);
    let again = custom.apply(Some(&changed), &applied, writer("b"), true).unwrap();
    assert_eq!(owned(&again, "a"), [".metadata.labels", ".spec.items"]);
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotated() -> SchemaSet {
    let mut schemas: Vec<Schema> = (0..4).map(|id| set().get(id).clone()).collect();
    let annotations = Field::new("annotations", Type::Map(Box::new(Type::String), false));
    schemas[0].fields.insert(0, annotations);
    SchemaSet::new(schemas)
}

fn last_applied(object: &Value) -> Value {
    let text = crate::meta::annotation(object, LAST_APPLIED).unwrap();
    assert!(text.ends_with("}\n"), "{text}");
    serde_json::from_str(text).unwrap()
}

#[test]
fn kubectl_takes_over_only_what_it_applied_on_the_clients_side() {
    let (schemas, reset) = (annotated(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let before = json!({"apiVersion": "v1", "kind": "Root", "metadata": {"name": "x", "labels": {"a": "<b>"}}, "spec": {"replicas": 2}});
    let mut created = before.clone();
    created["metadata"]["annotations"] = json!({LAST_APPLIED: before.to_string(), "other": "o"});
    let mut live = Compact::of(created);
    fields.update(
        None,
        &mut live,
        &Unchanged::default(),
        writer("kubectl-client-side-apply"),
    );
    let mut wanted = before.clone();
    wanted["spec"]["replicas"] = json!(3);
    wanted["metadata"]["annotations"] = json!({"own": "1"});
    // Not for any other manager.
    fields
        .apply(Some(&live), &wanted, writer("a"), false)
        .unwrap_err();
    let new = fields
        .apply(Some(&live), &wanted, writer("kubectl"), false)
        .unwrap();
    assert_eq!(new["spec"], json!({"replicas": 3}));
    assert_eq!(last_applied(&new), wanted);
    assert_eq!(new["metadata"]["annotations"]["other"], json!("o"));
    // The replicas are no longer as they were applied: they are the scaler's.
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    fields.update(Some(&live), &mut scaled, &Unchanged::default(), writer("scaler"));
    wanted["metadata"]["labels"]["a"] = json!("c");
    let error = fields
        .apply(Some(&scaled), &wanted, writer("kubectl"), false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"scaler\" using v1: .spec.replicas"
    );
    let forced = fields
        .apply(Some(&scaled), &wanted, writer("kubectl"), true)
        .unwrap();
    assert_eq!(last_applied(&forced), wanted);
}

#[test]
fn a_last_applied_annotation_that_grows_too_long_goes() {
    let (schemas, reset) = (annotated(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let object = |label: &str| json!({"apiVersion": "v1", "kind": "Root", "metadata": {"name": "x", "labels": {"a": label}}, "spec": {}});
    let mut live = object("b");
    live["metadata"]["annotations"] = json!({LAST_APPLIED: "{}", "other": "o"});
    let new = fields
        .apply(
            Some(&Compact::of(live)),
            &object(&"l".repeat(256 * 1024)),
            writer("kubectl"),
            true,
        )
        .unwrap();
    assert_eq!(new["metadata"]["annotations"], json!({"other": "o"}));
}

#[test]
fn an_empty_list_or_entry_forgets_all_managers() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = manager(&schemas, &reset);
    let with = |managers: Value| json!({"metadata": {"name": "x", "managedFields": managers}, "spec": {"replicas": 2}});
    for empty in [json!([]), json!([{}])] {
        let mut new = Compact::of(with(empty.clone()));
        fields.update(None, &mut new, &Unchanged::default(), writer("u"));
        assert_eq!(
            owned(&new, "u"),
            [".spec.replicas"],
            "a new object is tracked from the start"
        );
        let mut changed = Compact::of(with(empty.clone()));
        fields.update(Some(&new), &mut changed, &Unchanged::default(), writer("u"));
        assert_eq!(changed["metadata"].get("managedFields"), None);
        let status = Writer {
            subresource: "status",
            ..writer("u")
        };
        let mut changed = Compact::of(with(empty));
        fields.update(Some(&new), &mut changed, &Unchanged::default(), status);
        assert_eq!(owned(&changed, "u"), [".spec.replicas"]);
    }
}

#[test]
fn an_empty_list_in_an_object_without_types_says_nothing() {
    let (schemas, reset) = (set(), FieldSet::default());
    let fields = FieldManager {
        typed: false,
        ..manager(&schemas, &reset)
    };
    let with = |managers: Value| json!({"metadata": {"name": "x", "managedFields": managers}, "spec": {"replicas": 2}});
    let mut new = Compact::of(with(Value::Null));
    fields.update(None, &mut new, &Unchanged::default(), writer("u"));
    for (given, kept) in [(json!([]), true), (json!([{}]), false)] {
        let mut changed = Compact::of(with(given));
        fields.update(Some(&new), &mut changed, &Unchanged::default(), writer("v"));
        assert_eq!(changed["metadata"].get("managedFields").is_some(), kept);
        if kept {
            assert_eq!(owned(&changed, "u"), [".spec.replicas"]);
        }
    }
}
