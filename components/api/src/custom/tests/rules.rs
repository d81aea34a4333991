//! What rules say of objects, and of those that stay as they were.
use super::*;

/// What is said of an update: what is wrong, and what is warned of.
fn ratcheted(definition: &Definition, old: &Value, new: &Value) -> (Vec<String>, Vec<String>) {
    let mut warnings = Vec::new();
    let errors = check(definition, Some(old), new, false, ErrorList::new(), &mut warnings);
    (told(&errors), warnings)
}

#[test]
fn rules_are_not_held_against_what_stays_as_it_was() {
    let rule = |rule: &str| json!([{"rule": rule, "message": "bad"}]);
    let item = |rules: &Value| {
        json!({"type": "object", "x-kubernetes-validations": rules, "properties": {
            "k": {"type": "string"}, "v": {"type": "integer"},
        }})
    };
    let bad = rule("self.v < 0");
    let keyed = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item(&bad)});
    let definition = definition(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "other": {"type": "integer"},
            "n": {"type": "integer", "x-kubernetes-validations": rule("self < 0")},
            "broken": {"type": "integer", "x-kubernetes-validations": rule("1 / self == 1")},
            "change": {"type": "integer", "x-kubernetes-validations": rule("self > oldSelf")},
            "atomic": {"type": "array", "items": item(&bad)},
            "set": {"type": "array", "x-kubernetes-list-type": "set",
                "items": {"type": "string", "x-kubernetes-validations": rule("size(self) > 3")}},
            "keyed": keyed,
            "lists": {"type": "array", "items": {"type": "object", "properties": {"keyed": keyed}}},
            "map": {"type": "object", "additionalProperties": {"type": "integer", "x-kubernetes-validations": rule("self < 0")}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"v": {"type": "integer"}},
                "x-kubernetes-validations": bad},
        }}}}),
    );
    let object = |spec: &Value| json!({"metadata": {"name": "a"}, "spec": spec});
    let (a1, b1, b2) = (
        json!({"k": "a", "v": 1}),
        json!({"k": "b", "v": 1}),
        json!({"k": "b", "v": 2}),
    );
    for (old, new, errors, warnings) in [
        (
            json!({"n": 5}),
            json!({"n": 5}),
            &[][..],
            &["spec.n: Invalid value: 5: bad"][..],
        ),
        (
            json!({"n": 5}),
            json!({"n": 6}),
            &["spec.n: Invalid value: 6: bad"],
            &[],
        ),
        (
            json!({}),
            json!({"n": 6}),
            &["spec.n: Invalid value: 6: bad"],
            &[],
        ),
        // A rule that can't be evaluated fails whatever was before.
        (
            json!({"broken": 0}),
            json!({"broken": 0}),
            &["spec.broken: Invalid value: \"integer\": division by zero evaluating rule: bad"],
            &[],
        ),
        (
            json!({"change": 5}),
            json!({"change": 5}),
            &["spec.change: Invalid value: 5: bad"],
            &[],
        ),
        (json!({"change": null}), json!({"change": 5}), &[], &[]),
        // The items of a list without keys are as before if the list is.
        (
            json!({"atomic": [a1, b1]}),
            json!({"atomic": [a1, b1]}),
            &[],
            &[
                "spec.atomic[0]: Invalid value: bad",
                "spec.atomic[1]: Invalid value: bad",
            ],
        ),
        (
            json!({"atomic": [a1, b1]}),
            json!({"atomic": [a1]}),
            &["spec.atomic[0]: Invalid value: bad"],
            &[],
        ),
        (
            json!({"set": ["a"]}),
            json!({"set": ["a"]}),
            &[],
            &["spec.set[0]: Invalid value: \"a\": bad"],
        ),
        (
            json!({"set": ["a"]}),
            json!({"set": ["a", "b"]}),
            &[
                "spec.set[0]: Invalid value: \"a\": bad",
                "spec.set[1]: Invalid value: \"b\": bad",
            ],
            &[],
        ),
        (
            json!({"keyed": [a1, b1]}),
            json!({"keyed": [b2, a1]}),
            &["spec.keyed[0]: Invalid value: bad"],
            &["spec.keyed[1]: Invalid value: bad"],
        ),
        // What is new in a list with keys is new, though it stands in one without.
        (
            json!({"lists": [{"keyed": [a1]}]}),
            json!({"lists": [{"keyed": [a1]}, {"keyed": []}]}),
            &["spec.lists[0].keyed[0]: Invalid value: bad"],
            &[],
        ),
        (
            json!({"lists": [{"keyed": [a1]}]}),
            json!({"lists": [{"keyed": [a1]}]}),
            &[],
            &["spec.lists[0].keyed[0]: Invalid value: bad"],
        ),
        (
            json!({"map": {"x": 1}}),
            json!({"map": {"x": 1, "y": 2}}),
            &["spec.map[y]: Invalid value: 2: bad"],
            &["spec.map[x]: Invalid value: 1: bad"],
        ),
        (
            json!({"free": {"v": 1}}),
            json!({"free": {"v": 1}}),
            &[],
            &["spec.free: Invalid value: bad"],
        ),
        // Nobody can tell what unknown fields were.
        (
            json!({"free": {"v": 1, "x": 1}}),
            json!({"free": {"v": 1, "x": 1}}),
            &["spec.free: Invalid value: bad"],
            &[],
        ),
    ] {
        let mut changed = new.clone();
        changed["other"] = json!(1);
        let told = ratcheted(&definition, &object(&old), &object(&changed));
        let wanted = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told, (wanted(errors), wanted(warnings)), "{old} {new}");
    }
}

#[test]
fn many_items_of_a_list_that_stays_are_compared_once() {
    let definition = definition(
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "other": {"type": "integer"},
            "list": {"type": "array", "maxItems": 20_000, "items":
                {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 0"}]}},
        }}}}),
    );
    let list: Value = (0..20_000).collect();
    let object = |other: i64| json!({"metadata": {"name": "a"}, "spec": {"list": list, "other": other}});
    let began = std::time::Instant::now();
    let (errors, warnings) = ratcheted(&definition, &object(1), &object(2));
    assert_eq!((errors.len(), warnings.len()), (0, 20_000));
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn failed_rules_show_what_is_small() {
    let schema = |validation: Value, part: &str| {
        let mut parts = json!({
            "n": {"type": "integer"}, "s": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true},
            "list": {"type": "array", "items": {"type": "integer"}}, "o": {"type": "object", "properties": {"a": {"type": "string"}}},
        });
        parts[part]["x-kubernetes-validations"] = json!([validation]);
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": parts}}})
    };
    let value = json!({"n": 8, "s": "x", "port": "aa", "list": [5], "o": {"a": "y"}});
    let long = "x".repeat(5 * 1024);
    for (part, validation, wrong) in [
        (
            "n",
            json!({"rule": "self < 0"}),
            "spec.n: Invalid value: 8: failed rule: self < 0",
        ),
        (
            "s",
            json!({"rule": "self == 'z'", "message": " bad "}),
            "spec.s: Invalid value: \"x\": bad",
        ),
        (
            "port",
            json!({"rule": "type(self) == int", "message": "bad"}),
            "spec.port: Invalid value: \"aa\": bad",
        ),
        (
            "list",
            json!({"rule": "size(self) > 5", "message": "bad"}),
            "spec.list: Invalid value: bad",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad"}),
            "spec.o: Invalid value: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "reason": "FieldValueDuplicate"}),
            "spec.n: Duplicate value: 8",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad", "reason": "FieldValueDuplicate"}),
            "spec.o: Duplicate value",
        ),
        (
            "o",
            json!({"rule": "self.a == 'z'", "message": "bad", "reason": "FieldValueRequired", "fieldPath": ".a"}),
            "spec.o.a: Required value: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "reason": "FieldValueForbidden"}),
            "spec.n: Forbidden: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "messageExpression": "'is ' + string(self)"}),
            "spec.n: Invalid value: 8: is 8",
        ),
        // Messages that are none: of more than 5120 bytes, empty, of two lines, or not made.
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": format!("'{long}y'")}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'  '"}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'a\\nb'"}),
            "spec.n: Invalid value: 8: bad",
        ),
        (
            "n",
            json!({"rule": "self < 0", "message": "bad", "messageExpression": "'x'.substring(5)"}),
            "spec.n: Invalid value: 8: bad",
        ),
        // What a rule can't be evaluated over shows its type alone.
        (
            "o",
            json!({"rule": "1 / size(self.b) == 1"}),
            "spec.o: Invalid value: \"object\": rule compile error: ",
        ),
        (
            "list",
            json!({"rule": "self[3] == 1", "message": "bad"}),
            "spec.list: Invalid value: \"array\": index out of bounds: 3 evaluating rule: bad",
        ),
        (
            "port",
            json!({"rule": "self + 1 == 2"}),
            "spec.port: Invalid value: \"\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self + 1 == 2",
        ),
    ] {
        let definition = definition(schema(validation.clone(), part));
        let object = json!({"metadata": {"name": "a"}, "spec": value});
        let told = checked(&definition, None, &object, false);
        assert_eq!(told.len(), 1, "{validation}: {told:?}");
        assert!(told[0].starts_with(wrong), "{validation}: {told:?}");
        if !wrong.ends_with(": ") {
            assert_eq!(told[0], wrong);
        }
    }
    // The longest message that there may be.
    let validation = json!({"rule": "self < 0", "messageExpression": format!("'{long}'")});
    let definition = definition(schema(validation, "n"));
    let told = checked(&definition, None, &json!({"spec": {"n": 8}}), false);
    assert_eq!(told, [format!("spec.n: Invalid value: 8: {long}")]);
}

#[test]
fn fields_that_are_null_count_as_absent() {
    let rules: Vec<Value> = [
        "!has(self.x) || self.x.size() > 2",
        "!has(self.open.x) || self.open.x > 2",
        "self.?x.orValue('none') != ''",
        "self.list.all(item, type(item) == null_type || item.size() > 2)",
        "self.map.all(key, type(self.map[key]) == null_type || self.map[key].size() > 2)",
    ]
    .into_iter()
    .map(|rule| json!({"rule": rule}))
    .collect();
    let text = json!({"type": "string", "nullable": true, "maxLength": 9});
    let definition = definition(json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-validations": rules, "properties": {
            "x": text,
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"x": {"type": "integer", "nullable": true}}},
            "list": {"type": "array", "maxItems": 9, "items": text},
            "map": {"type": "object", "maxProperties": 9, "additionalProperties": text},
        },
    }}}));
    let object = |x: Value, open: Value, item: Value| {
        let spec = json!({"x": x, "open": {"x": open}, "list": [item], "map": {"k": item}});
        json!({"metadata": {"name": "a"}, "spec": spec})
    };
    let of = |object: Value| checked(&definition, None, &object, false);
    assert_eq!(of(object(Value::Null, Value::Null, Value::Null)), [""; 0]);
    assert_eq!(of(object(json!("abc"), json!(3), json!("abc"))), [""; 0]);
    assert_eq!(of(object(json!("a"), json!(1), json!("a"))).len(), 4);
}

#[test]
fn reserved_words_name_fields() {
    let rules: Vec<Value> = [
        "self.namespace == self.__namespace__",
        "has(self.if) && self.if + 0.5 == 1.5",
        "self.embedded.metadata.namespace == 'there'",
    ]
    .into_iter()
    .map(|rule| json!({"rule": rule}))
    .collect();
    let text = json!({"type": "string"});
    let definition = definition(json!({"type": "object", "properties": {"spec": {
        "type": "object", "x-kubernetes-validations": rules, "properties": {
            "namespace": text, "if": {"type": "number"},
            "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "apiVersion": text, "kind": text, "metadata": {"type": "object", "properties": {
                    "name": text, "generateName": text, "namespace": text,
                }},
            }},
        },
    }}}));
    let spec = |namespace: &str| {
        let embedded =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": namespace}});
        json!({"metadata": {"name": "a"}, "spec": {"namespace": "x", "if": 1, "embedded": embedded}})
    };
    assert_eq!(checked(&definition, None, &spec("there"), false), [""; 0]);
    assert_eq!(checked(&definition, None, &spec("elsewhere"), false).len(), 1);
}
