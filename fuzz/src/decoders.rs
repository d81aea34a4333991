//! One function per kind of input that clients send. Each must return, whatever it is given; where what was read can
//! be written and read again, both must be the same.

use api::custom::FORMATS;
use api::{Registry, Resource};
use apimachinery::decode::Unchanged;
use apimachinery::go_url::Url;
use apimachinery::managed_fields::{Compact, OnlyVersion, Writer};
use apimachinery::selector::{FieldSelector, LabelSelector};
use apimachinery::{decode, json, meta, patch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube_apiserver::stores::StoredKind;
use kube_apiserver::{admission, authentication, kinds, media, protobuf, tokens};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use storage::StoredDecoder;
use x509::{Roots, Usage, Verifier};

/// Kinds in the versions that objects have in the server.
static STORED: LazyLock<Vec<Arc<Resource>>> =
    LazyLock::new(|| Registry::built_in().stored().cloned().collect());
static ROWS: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(|| Registry::built_in().iter().cloned().collect());

/// The kind that the first byte stands for, and what is left.
fn kind(input: &[u8]) -> Option<(&'static Resource, &[u8])> {
    let (first, rest) = input.split_first()?;
    let row = ROWS.get(usize::from(*first) % ROWS.len())?;
    Some((row, rest))
}

/// What a created object goes through.
fn create(row: &Resource, mut value: Value) -> Option<Compact> {
    value.as_object()?;
    decode::fit(&row.schemas, row.schema_id, &mut value).ok()?;
    let mut again = value.clone();
    assert_eq!(
        decode::fit(&row.schemas, row.schema_id, &mut again),
        Ok(Vec::new())
    );
    assert_eq!(value, again, "an object that fits is changed by fitting it again");
    api::defaults::apply(row, &mut value);
    api::strategy::prepare_create(row, &mut value).expect("what is prepared fits");
    let _ = api::validate::create(row, &value);
    let mut object = Compact::of(value);
    api::managed::track(
        row,
        None,
        &mut object,
        &Unchanged::default(),
        writer("fuzz"),
        &OnlyVersion,
    );
    api::strategy::settle(row, &mut object, &Unchanged::default());
    let whole = object.to_whole();
    let (again, _) = Compact::parse(&object.to_bytes()).expect("what is written can be read");
    assert_eq!(again, object, "an object is another after it was stored");
    let written = object.to_written();
    let again = Compact::parse_written(&written.bytes, &written.field_sets).expect("it was written so");
    assert_eq!(
        again, object,
        "an object is another when its field sets are not checked"
    );
    let _ = api::table::render(row, std::slice::from_ref(&whole), jiff::Timestamp::UNIX_EPOCH);
    Some(object)
}

fn update(row: &Resource, old: &Compact, mut new: Compact) {
    if !new.is_object() || decode::fit(&row.schemas, row.schema_id, &mut new).is_err() {
        return;
    }
    api::defaults::apply(row, &mut new);
    let known = Unchanged::between(old, &new);
    let mut prepared = new.clone();
    let fits = "what is prepared fits";
    api::strategy::prepare_update(row, "", old, &mut prepared, Unchanged::default()).expect(fits);
    let unchanged = api::strategy::prepare_update(row, "", old, &mut new, known).expect(fits);
    assert_eq!(
        new, prepared,
        "what is known of a change makes another object of it"
    );
    let _ = api::validate::update(row, "", old, &new, &unchanged);
    let mut whole = new.clone();
    api::strategy::settle(row, &mut whole, &Unchanged::default());
    api::strategy::settle(row, &mut new, &unchanged);
    assert_eq!(new, whole, "what stays wasn't settled");
    let unchanged = Unchanged::between(old, &new);
    api::managed::track(
        row,
        Some(old),
        &mut new,
        &unchanged,
        writer("update"),
        &OnlyVersion,
    );
}

fn writer(manager: &str) -> Writer<'_> {
    Writer {
        manager,
        subresource: "",
        now: "2026-01-01T00:00:00Z",
    }
}

/// A kind's number, then a JSON body.
pub fn json(input: &[u8]) {
    let Some((row, text)) = kind(input) else { return };
    let Ok(body) = kinds::parse_body(text, media::JSON) else {
        return;
    };
    let value = body.value;
    let unknown: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect();
    json::problems(text, &body.duplicates, &unknown);
    let again = json::parse(value.to_string().as_bytes()).expect("what is written can be read");
    assert_eq!(again.value, value);
    let Some(object) = create(row, value) else { return };
    let text = object.to_bytes();
    let _ = protobuf::encode::message(&row.schemas, &api::schema_name(&row.gvk), &text);
    let _ = protobuf::encode::metadata(&row.schemas, &text);
}

/// A YAML body.
pub fn yaml(input: &[u8]) {
    if let Ok(body) = kinds::parse_body(input, media::YAML) {
        json::parse(body.value.to_string().as_bytes()).expect("what is written can be read");
        kinds::yaml::duplicates(input);
    }
}

/// A kind's number, then a message, with or without an envelope.
pub fn protobuf(input: &[u8]) {
    let Some((row, bytes)) = kind(input) else { return };
    let raw = protobuf::open(bytes).map_or(bytes, |envelope| envelope.raw);
    let schema = api::schema_name(&row.gvk);
    let Ok(value) = protobuf::decode(&row.schemas, &schema, raw) else {
        return;
    };
    let Some(object) = create(row, value) else { return };
    let _ = protobuf::encode::message(&row.schemas, &schema, &object.to_bytes());
}

/// A kind's number, then `[OBJECT, PATCH]`: each form of patch, and the patch as an applied configuration.
pub fn patches(input: &[u8]) {
    let Some((row, text)) = kind(input) else { return };
    let Ok(json::Document {
        value: Value::Array(mut pair),
        ..
    }) = json::parse(text)
    else {
        return;
    };
    let (Some(patch), Some(object)) = (pair.pop(), pair.pop()) else {
        return;
    };
    let Some(old) = create(row, object) else { return };
    let mut new = old.to_whole();
    if patch::json::apply(&mut new, &patch).is_ok() {
        update(row, &old, Compact::of(new));
    }
    let mut new = old.to_whole();
    patch::merge::apply(&mut new, &patch);
    update(row, &old, Compact::of(new));
    let mut new = old.to_whole();
    if patch::strategic::apply(&row.schemas, row.schema_id, &mut new, &patch).is_ok() {
        update(row, &old, Compact::of(new));
    }
    if patch.is_object()
        && let Ok((applied, _)) =
            api::managed::apply(row, Some(&old), &patch, writer("applier"), true, &OnlyVersion)
    {
        update(row, &old, applied);
    }
}

/// A selector's text, or the JSON of a selector object.
pub fn selectors(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches_with(|key| (key.len() % 2 == 0).then_some("1"));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        selector.matches(|_| Some("a"));
    }
    if let Ok(document) = json::parse(input)
        && let Ok(selector) = LabelSelector::from_object(Some(&document.value))
    {
        selector.matches_with(|_| None);
    }
}

/// An expression as an admission policy may have it; with a budget that keeps one run short.
pub fn expressions(input: &[u8]) {
    const BUDGET: u64 = 20_000;
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let environment = cel::Environment::new()
        .with("object", cel::Decl::dynamic())
        .with("self", cel::Decl::bounded(cel::Shape::String, 100))
        .with_patch_types();
    let Ok(program) = cel::Program::compile(text, &environment) else {
        return;
    };
    let object = json!({
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"replicas": 3, "list": [1, 2.5, "c", null], "cidr": "10.0.0.0/8", "when": "2026-01-01T00:00:00Z"},
    });
    let variables = [
        Some(cel::from_json(
            &object,
            environment.decl("object").expect("declared"),
        )),
        Some(cel::Value::text("some text")),
    ];
    let _ = program.evaluate(&variables, BUDGET);
}

/// A definition with the version's schema, of which objects are of the given kind.
fn definition(version: &Value) -> Value {
    let names = json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "as.x.io", "uid": "u"},
        "spec": {
            "group": "x.io",
            "scope": "Cluster",
            "names": names,
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": version.get("schema").unwrap_or(version),
                "additionalPrinterColumns": version.get("additionalPrinterColumns"),
                "selectableFields": version.get("selectableFields"),
                "subresources": version.get("subresources"),
            }],
        },
        "status": {"acceptedNames": names},
    })
}

/// `[VERSION OF A DEFINITION, OBJECT]`, as the definition is checked and its objects are.
pub fn schemas(input: &[u8]) {
    let Ok(json::Document {
        value: Value::Array(mut pair),
        ..
    }) = json::parse(input)
    else {
        return;
    };
    let (Some(object), Some(version)) = (pair.pop(), pair.pop()) else {
        return;
    };
    let row = ROWS
        .iter()
        .find(|row| row.gvk.kind == "CustomResourceDefinition")
        .expect("a built-in kind");
    let mut definition = definition(&version);
    if decode::fit(&row.schemas, row.schema_id, &mut definition).is_err() {
        return;
    }
    api::defaults::apply(row, &mut definition);
    let _ = api::validate::create(row, &definition);
    let mut number = || 1;
    for row in api::custom::rows(&definition, &mut number) {
        let mut object = object.clone();
        if !object.is_object() {
            object = json!({ "spec": object });
        }
        object["apiVersion"] = json!("x.io/v1");
        object["kind"] = json!("A");
        object["metadata"] = json!({"name": "a"});
        api::defaults::apply(&row, &mut object);
        let old = object.clone();
        if api::strategy::prepare_create(&row, &mut object).is_err() {
            continue;
        }
        let _ = api::validate::create(&row, &object);
        let _ = api::validate::update(&row, "", &old, &object, &Unchanged::default());
        let _ = api::table::render(&row, std::slice::from_ref(&object), jiff::Timestamp::UNIX_EPOCH);
    }
}

/// A text as a pattern, as a path into objects, and as each of the formats that a schema may name.
pub fn texts(input: &[u8]) {
    static OF_FORMATS: LazyLock<Vec<Resource>> = LazyLock::new(|| {
        let properties: serde_json::Map<String, Value> = FORMATS
            .iter()
            .map(|format| ((*format).to_owned(), json!({"type": "string", "format": format})))
            .collect();
        let schema = json!({"openAPIV3Schema": {"type": "object", "properties": properties}});
        api::custom::rows(&definition(&schema), &mut || 1)
    });
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(pattern) = cel::go_regexp::compile(text, 1 << 20) {
        let _ = pattern.is_match("some text");
    }
    if let Ok(url) = Url::parse(text) {
        let _ = (url.query(), url.hostname(), url.port(), url.to_string());
    }
    let values = json!({"a": [{"b": 1, "c": "d"}, 2.5, null], "e": {"f": true}});
    if let Some(path) = api::custom::JsonPath::parse(text) {
        let _ = path.find(&values);
    }
    if let Some(path) = api::custom::SimplePath::parse(text) {
        let _ = path.get(&values);
    }
    let mut object = json!({"apiVersion": "x.io/v1", "kind": "A", "metadata": {"name": "a"}});
    for format in FORMATS {
        object[*format] = json!(text);
    }
    for row in OF_FORMATS.iter() {
        let _ = api::validate::create(row, &object);
    }
}

/// An object as it may stand in etcd: of any version there ever was, as JSON or as a message in its envelope.
pub fn stored(input: &[u8]) {
    let document = json::parse(input);
    let envelope = protobuf::open(input);
    let kind = match (&document, &envelope) {
        (Ok(document), _) => meta::kind(&document.value),
        (_, Ok(envelope)) => &envelope.kind,
        _ => return,
    };
    for row in STORED.iter().filter(|row| row.gvk.kind == kind) {
        let reader = StoredKind::new(Arc::clone(row));
        if let Ok(Some(decoded)) = reader.decode(input) {
            let again = reader.decode(&decoded.json).expect("what was read can be read");
            assert!(
                again.is_none_or(|again| again.json == decoded.json),
                "an object is another when it is read again"
            );
        }
    }
}

/// The text of a continue token.
pub fn continue_token(input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        let prefix = "/registry/pods/default/";
        if let Ok(key) = storage::continue_key(prefix, text) {
            assert!(key.starts_with(prefix));
            assert!(!key.split('/').any(|segment| segment == ".."), "{key}");
        }
    }
}

/// A client's certificate, a signing request, a key file, a web token.
pub fn certificates(input: &[u8]) {
    if let Some(identity) = authentication::x509::CertificateIdentity::read(input) {
        assert!(
            identity
                .user
                .groups
                .iter()
                .any(|group| group == "system:authenticated")
        );
    }
    let der = CertificateDer::from(input);
    let (roots, chain) = (Roots::new([der.clone()]), [der.clone(), der]);
    let _ = Verifier::new(Arc::new(roots), Usage::Server).verify(&chain, Some("a.b"), 1_900_000_000);
    let _ = tokens::keys::verifying_keys(input);
    let _ = tokens::keys::VerifyingKey::from_spki(input);
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = tokens::jwt::unverified::<Value>(text);
        let _ = tokens::jwt::verify::<Value>(text, &[]);
    }
    let pem = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(input)
    );
    let request = json!({ "spec": { "request": STANDARD.encode(pem), "signerName": "example.com/a" } });
    let _ = admission::certificates::requested(&request);
    let row = ROWS
        .iter()
        .find(|row| row.gvk.kind == "CertificateSigningRequest");
    let _ = api::validate::create(row.expect("a built-in kind"), &request);
}
