use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::ops::Range;

fn parse(text: &str, fields: &[FieldSpec]) -> Result<StoredObject, StorageError> {
    StoredObject::parse(
        "/k",
        Revision::new(7),
        text.as_bytes(),
        fields.to_vec().into(),
        EventKind::Added,
        Found::default(),
    )
}

#[test]
fn resource_version_is_put_in_place_and_taken_out() {
    for (stored, sent) in [
        (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"7"}}"#),
        (
            r#"{"metadata":{"name":"a"}}"#,
            r#"{"metadata":{"resourceVersion":"7","name":"a"}}"#,
        ),
        (
            r#"{"metadata":{"uid":"u","generation":1},"spec":1}"#,
            r#"{"metadata":{"uid":"u","resourceVersion":"7","generation":1},"spec":1}"#,
        ),
        (
            r#" {"metadata": {"uid":"u" } } "#,
            r#"{"metadata": {"uid":"u","resourceVersion":"7" }}"#,
        ),
        (
            r#"{"apiVersion":"v1","data":{"a":"b"}, "kind":"X","metadata":{}, "z":1}"#,
            r#"{"kind":"X","apiVersion":"v1","data":{"a":"b"},"metadata":{"resourceVersion":"7"}, "z":1}"#,
        ),
        (
            r#"{"metadata":{},"kind":"X","apiVersion":"v1"}"#,
            r#"{"kind":"X","apiVersion":"v1","metadata":{"resourceVersion":"7"}}"#,
        ),
        (
            r#"{"metadata":{"resourceVersion":null}}"#,
            r#"{"metadata":{"resourceVersion":"7"}}"#,
        ),
    ] {
        let object = parse(stored, &[]).unwrap();
        assert_eq!(std::str::from_utf8(object.json_bytes()).unwrap(), sent);
        let mut untyped: Value = serde_json::from_str(sent).unwrap();
        untyped
            .as_object_mut()
            .unwrap()
            .retain(|key, _| key != "kind" && key != "apiVersion");
        let item = [b"{", &object.untyped_json()[..]].concat();
        assert_eq!(serde_json::from_slice::<Value>(&item).unwrap(), untyped);
        assert_eq!(
            &object.frame(EventKind::Added)[..],
            format!("{{\"type\":\"ADDED\",\"object\":{sent}}}\n").as_bytes()
        );
        assert_eq!(
            &object.frame(EventKind::Deleted)[..],
            format!("{{\"type\":\"DELETED\",\"object\":{sent}}}\n").as_bytes()
        );
    }
    for (sent, stored) in [
        (r#"{"metadata":{"resourceVersion":"7"}}"#, r#"{"metadata":{}}"#),
        (
            r#"{"metadata":{"resourceVersion":"7","name":"a"}}"#,
            r#"{"metadata":{"name":"a"}}"#,
        ),
        (
            r#"{"metadata":{"resourceVersion" : "7" , "name":"a"}}"#,
            r#"{"metadata":{ "name":"a"}}"#,
        ),
        (
            r#"{"metadata":{"name":"a","resourceVersion":"7"}}"#,
            r#"{"metadata":{"name":"a"}}"#,
        ),
        (
            r#"{"metadata":{"name":"a" , "resourceVersion":"","x":1}}"#,
            r#"{"metadata":{"name":"a","x":1}}"#,
        ),
    ] {
        let shape = Shape::scan(sent.as_bytes(), &[], &[]).unwrap();
        assert_eq!(
            String::from_utf8(shape.without_version(sent.as_bytes())).unwrap(),
            stored
        );
    }
}

#[test]
fn index_of_an_object() {
    let text = json!({
        "metadata": {
            "name": "p\u{00e9}\"1", "namespace": "ns", "uid": "u1", "labels": {"a": "b", "c": "d\\e"},
            "ownerReferences": [{"kind": "X", "uid": "o1"}, {"uid": "o2", "more": [[{}]]}],
        },
        "spec": {"nodeName": "n1", "hostNetwork": true, "deep": {"list": [1, {"x": "y"}]}},
        "reportingComponent": "r",
    })
    .to_string();
    let fields = [
        FieldSpec::path("spec.nodeName"),
        FieldSpec::with_default("spec.hostNetwork", "false"),
        FieldSpec::with_default("spec.absent", "none"),
        FieldSpec::path("spec.deep"),
        FieldSpec {
            name: "source".into(),
            paths: vec![
                vec!["source".into(), "component".into()],
                vec!["reportingComponent".into()],
            ],
            default: String::new(),
        },
    ];
    let object = parse(&text, &fields).unwrap();
    assert_eq!(
        (object.name(), object.namespace(), object.uid()),
        ("p\u{00e9}\"1", "ns", "u1")
    );
    assert_eq!(object.label("c"), Some("d\\e"));
    assert_eq!(object.owner_uids().collect::<Vec<_>>(), ["o1", "o2"]);
    for (name, want) in [
        ("spec.nodeName", Some("n1")),
        ("spec.hostNetwork", Some("true")),
        ("spec.absent", Some("none")),
        ("spec.deep", Some("")),
        ("source", Some("r")),
        ("metadata.name", Some("p\u{00e9}\"1")),
        ("unknown", None),
    ] {
        assert_eq!(object.field(name), want, "{name}");
    }
}

#[test]
fn bad_objects_are_refused() {
    for text in [
        "",
        "[]",
        "1",
        "{",
        r#"{"metadata"#,
        r#"{"metadata":"#,
        r#"{"metadata":{"a":"\"#,
        r#"{"a":1}"#,
        r#"{"metadata":1}"#,
        r#"{"metadata":{}} x"#,
        r#"{"metadata":{"name":"\x"}}"#,
        r#"{"metadata":{} "a":1}"#,
        r#"{"metadata":{"labels":{"a" 1}}}"#,
    ] {
        assert!(parse(text, &[]).is_err(), "{text:?}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z\"\\\\]{0,4}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Where the maps and lists of a text are, in order.
fn spans(text: &str) -> Vec<Range<u32>> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                while let Some((_, byte)) = bytes.next().filter(|(_, byte)| *byte != b'"') {
                    if byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'{' | b'[' => open.push(at as u32),
            b'}' | b']' => found.push(open.pop().unwrap()..at as u32 + 1),
            _ => {}
        }
    }
    found.sort_by_key(|span: &Range<u32>| span.start);
    found
}

proptest! {
    #[test]
    fn splicing_agrees_with_a_parser(metadata in prop::collection::btree_map("name|uid|resourceVersion|labels|[a-z]{1,3}", value(), 0..6), spec in value(), extra in prop::collection::btree_map("kind|apiVersion|a|l|z", value(), 0..5), pretty in any::<bool>()) {
        let mut object = json!({"metadata": metadata, "spec": spec});
        for (key, value) in extra {
            object[key] = value;
        }
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let shape = Shape::scan(text.as_bytes(), &[], &[]).unwrap();
        let sent: Value = serde_json::from_slice(&shape.with_version(text.as_bytes(), 9, b"", b"").text).unwrap();
        let stored: Value = serde_json::from_slice(&shape.without_version(text.as_bytes())).unwrap();
        object["metadata"]["resourceVersion"] = json!("9");
        prop_assert_eq!(&sent, &object);
        let with_version = shape.with_version(text.as_bytes(), 9, b"", b"").text;
        prop_assert!(shape.is_with_version(text.as_bytes(), 9, &with_version));
        prop_assert!(!shape.is_with_version(text.as_bytes(), 8, &with_version));
        prop_assert!(!shape.is_with_version(text.as_bytes(), 9, &with_version[1..]));
        prop_assert!(!shape.is_with_version(text.as_bytes(), 9, &with_version[..with_version.len() - 1]));
        prop_assert!(!shape.is_with_version(text.as_bytes(), 9, &[&with_version[..], b" "].concat()));
        object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        prop_assert_eq!(&stored, &object);
    }

    /// What is made of the object at hand is what is made of its text.
    #[test]
    fn an_object_under_another_revision_is_read_anew(metadata in prop::collection::btree_map("name|uid|resourceVersion|[a-z]{1,3}", "[0-9\"a]{0,3}", 0..5), extra in prop::collection::btree_map("kind|apiVersion|a|z", value(), 0..4), revisions in (0..2000i64, 0..2000i64)) {
        let mut object = json!({"metadata": metadata, "spec": {"resourceVersion": "7"}});
        for (key, value) in extra {
            object[key] = value;
        }
        let fields: Arc<[FieldSpec]> = Arc::new([FieldSpec::path("spec.resourceVersion")]);
        let read = |text: &[u8], revision, kind| StoredObject::parse("/k", Revision::new(revision), text, fields.clone(), kind, Found::default()).unwrap();
        let first = read(&serde_json::to_vec(&object).unwrap(), revisions.0, EventKind::Modified);
        prop_assert!(first.frame_at(Revision::new(revisions.1), EventKind::Deleted).is_some());
        let made = first.at_revision(Revision::new(revisions.1), EventKind::Deleted).unwrap();
        let again = made.at_revision(Revision::new(revisions.0), EventKind::Added).unwrap();
        for (made, anew) in [
            (made, read(first.json_bytes(), revisions.1, EventKind::Deleted)),
            (again, read(first.json_bytes(), revisions.0, EventKind::Added)),
        ] {
            prop_assert_eq!(made.json_bytes(), anew.json_bytes());
            prop_assert_eq!(made.untyped_json(), anew.untyped_json());
            prop_assert_eq!(made.version_at, anew.version_at);
            prop_assert_eq!(made.frame(EventKind::Modified), anew.frame(EventKind::Modified));
            prop_assert_eq!((made.name(), made.field("spec.resourceVersion")), (anew.name(), Some("7")));
        }
    }

    #[test]
    fn passing_what_is_known_changes_nothing(object in value(), labels in value(), pretty in any::<bool>(), known in prop::collection::vec(any::<bool>(), 64)) {
        let object = json!({"metadata": {"labels": labels, "more": object}, "spec": object, "a": {"m": object}});
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
        let mut spans = spans(&text);
        let mut known = known.into_iter().cycle();
        spans.retain(|_| known.next() == Some(true));
        let fields = [FieldSpec::path("a.m"), FieldSpec::path("spec.a")];
        let (with, without) = (Shape::scan(text.as_bytes(), &spans, &fields), Shape::scan(text.as_bytes(), &[], &fields));
        prop_assert_eq!(format!("{with:?}"), format!("{without:?}"));
    }

    #[test]
    fn wrong_spans_are_survived(spans in prop::collection::vec((0..80u32).prop_flat_map(|start| (Just(start), 0..90u32)), 0..5)) {
        let spans: Vec<_> = spans.into_iter().map(|(start, end)| start..end).collect();
        let _ = Shape::scan(br#"{"metadata":{"labels":{"a":"b"},"x":[{}]},"spec":{"a":{"m":1}}}"#, &spans, &[FieldSpec::path("spec.a.m")]);
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..64), text in "[{}\\[\\]\":,\\\\a1 metad]{0,40}") {
        let _ = Shape::scan(&bytes, &[], &[]);
        let _ = Shape::scan(text.as_bytes(), &[], &[FieldSpec::path("a.m")]);
        let _ = Shape::scan(format!("{{\"metadata\":{text}").as_bytes(), &[], &[FieldSpec::path("a.m")]);
    }
}
