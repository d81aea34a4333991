use super::*;

#[test]
fn schemas_are_structural() {
    const ONLY_NAMES: &str = "properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified";
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    for (schema, wrong) in [
        (json!({"type": "object"}), &[][..]),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), &[]),
        (
            json!({}),
            &["type: Required value: must not be empty at the root"],
        ),
        (
            json!({"type": "string"}),
            &["type: Invalid value: \"string\": must be object at the root"],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            &["additionalProperties: Forbidden: must not be used at the root"],
        ),
        // Told in the order of their words, whatever their place.
        (
            json!({"type": "object", "properties": {"b": {"type": "array"}, "a": {"type": "array", "items": {}}}}),
            &[
                "properties[a].items.type: Required value: must not be empty for specified array items",
                "properties[b].items: Required value: must be specified",
            ],
        ),
        (
            json!({"type": "object", "properties": {"kind": {"type": "object"}, "metadata": {"type": "string"}}}),
            &[
                "properties[kind].type: Invalid value: \"object\": must be string",
                "properties[metadata].type: Invalid value: \"string\": must be object",
            ],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "description": "d"}}}),
            &[ONLY_NAMES],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "pattern": "^a"}}}}}),
            &[],
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            &[ONLY_NAMES],
        ),
    ] {
        assert_eq!(of_schema(schema.clone()), wrong, "{schema}");
    }
    for (property, wrong) in [
        (json!({"x-kubernetes-int-or-string": true}), &[][..]),
        (
            json!({"type": "integer", "x-kubernetes-int-or-string": true}),
            &[],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "x-kubernetes-preserve-unknown-fields": true}),
            &[
                "x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
            ],
        ),
        (json!({"x-kubernetes-int-or-string": true, "anyOf": both}), &[]),
        (
            json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": both}, {"pattern": "a"}]}),
            &[],
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "oneOf": both}),
            &[
                "oneOf[0].type: Forbidden: must be empty to be structural",
                "oneOf[1].type: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"x-kubernetes-embedded-resource": true}),
            &[
                "properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
                "type: Required value: must be object if x-kubernetes-embedded-resource is true",
            ],
        ),
        // Embedded metadata may be described.
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "metadata": {"type": "object", "properties": {"labels": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            }}),
            &[],
        ),
        // Only the root must have what it checks.
        (
            json!({"type": "object", "anyOf": [{"properties": {"x": {"minimum": 1}}}]}),
            &[],
        ),
        (
            json!({"type": "object", "not": {"properties": {"metadata": {}}, "title": "t"}}),
            &[
                "not.properties[metadata]: Forbidden: must not be specified in a nested context",
                "not.title: Forbidden: must be empty to be structural",
            ],
        ),
        (
            json!({"type": "object", "additionalProperties": true, "properties": {"a": {"type": "string"}}}),
            &[],
        ),
        (json!({"type": "object", "additionalProperties": false}), &[]),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}, "properties": {"a": {"type": "string"}}}),
            &["additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            json!({"type": "null"}),
            &[
                "type: Unsupported value: \"null\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
                "type: Forbidden: type cannot be set to null, use nullable as an alternative",
            ],
        ),
        (
            json!({"type": "string", "id": "a", "$ref": "b", "uniqueItems": true}),
            &[
                "id: Forbidden: id is not supported",
                "$ref: Forbidden: $ref is not supported",
                "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ],
        ),
    ] {
        let told = of_properties(json!({ "p": property }));
        let told: Vec<&str> = told
            .iter()
            .filter_map(|error| error.strip_prefix("properties[p]."))
            .collect();
        assert_eq!(told, wrong, "{property}");
    }
    // The name of a schema's language alone is told by the attempt to make a structure of it.
    assert_eq!(
        of_schema(json!({"type": "object", "$schema": "s"})),
        [": Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"]
    );
    let parts = json!({"type": "object", "allOf": [{"properties": {"x": {"items": {"minimum": 1}}}}]});
    assert_eq!(
        of_schema(parts),
        [
            "properties[x]: Required value: because it is defined in spec.validation.openAPIV3Schema.allOf[0].properties[x]"
        ]
    );
}

#[test]
fn lists_say_how_they_are_merged() {
    let keyed = |items: Value, keys: Value| json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": items});
    let text = json!({"type": "string"});
    for (property, wrong) in [
        (
            json!({"type": "array", "items": text, "x-kubernetes-list-type": "odd"}),
            &[
                "x-kubernetes-list-type: Unsupported value: \"odd\": supported values: \"atomic\", \"set\", \"map\"",
            ][..],
        ),
        (
            json!({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            &[
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            json!({"type": "array", "items": {"type": "string", "nullable": true}, "x-kubernetes-list-type": "set"}),
            &["items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"],
        ),
        (
            keyed(
                json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "object"}}}),
                json!(["a", "b", "a"]),
            ),
            &[
                "items.properties[a].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
                "x-kubernetes-list-map-keys: Invalid value: [\"a\",\"b\",\"a\"]: entries must all be names of item properties",
                "items.properties[a].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
                "x-kubernetes-list-map-keys: Invalid value: [\"a\",\"b\",\"a\"]: must not contain duplicate entries",
            ],
        ),
        (
            keyed(text.clone(), json!([])),
            &[
                "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
                "items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
            ],
        ),
        (
            json!({"type": "array", "items": text, "x-kubernetes-list-map-keys": ["a"]}),
            &[
                "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ],
        ),
        (
            json!({"type": "string", "x-kubernetes-map-type": "odd"}),
            &[
                "type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
                "x-kubernetes-map-type: Unsupported value: \"odd\": supported values: \"atomic\", \"granular\"",
            ],
        ),
    ] {
        let told = of_properties(json!({ "p": property }));
        let told: Vec<&str> = told
            .iter()
            .filter_map(|error| error.strip_prefix("properties[p]."))
            .collect();
        assert_eq!(told, wrong, "{property}");
    }
}

#[test]
fn defaults_are_valid() {
    for (properties, wrong) in [
        // Both are told.
        (
            json!({"p": {"type": "object", "default": {"odd": 1, "a": 1}, "properties": {"a": {"type": "string"}}}}),
            &[
                "properties[p].default: Invalid value: {\"a\":1,\"odd\":1}: must not have unknown fields",
                "properties[p].default.a: Invalid value: \"integer\": a in body must be of type string: \"integer\"",
            ][..],
        ),
        (
            json!({"p": {"type": "integer", "default": 1, "x-kubernetes-validations": [{"rule": "self > 1"}]}}),
            &["properties[p].default: Invalid value: 1: failed rule: self > 1"],
        ),
        (
            json!({"p": {"type": "object", "default": {}, "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}),
            &[
                "properties[p].default.apiVersion: Required value",
                "properties[p].default.kind: Required value",
            ],
        ),
        (
            json!({"kind": {"type": "string", "default": "a"}, "metadata": {"type": "object", "default": {}}}),
            &[
                "properties[kind].default: Forbidden: must not be set in top-level kind",
                "properties[metadata].default: Forbidden: must not be set in top-level metadata",
            ],
        ),
    ] {
        let told = of_properties(properties.clone());
        let told: Vec<String> = told
            .iter()
            .map(|error| error.replace("Invalid value: : ", "Invalid value: "))
            .collect();
        assert_eq!(told, wrong, "{properties}");
    }
}

#[test]
fn beside_a_status_the_root_says_less() {
    let beside = |schema: Value| {
        let mut version = with_schema(schema);
        version["subresources"] = json!({"status": {}});
        told(None, &definition(&[version]))
    };
    assert_eq!(beside(json!({"type": "object", "required": ["a"]})), [""; 0]);
    let said = beside(json!({"type": "object", "anyOf": [{"required": ["a"]}]}));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with(
        "spec.validation.openAPIV3Schema: Invalid value: {\"ID\":\"\",\"Schema\":\"\",\"Ref\":null,"
    ));
    assert!(
        said[0]
            .ends_with("fields are allowed at the root of the schema if the status subresource is enabled")
    );
}

#[test]
fn defaults_of_metadata_make_sound_metadata() {
    let embedded = |metadata: Value| {
        json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": {
            "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
            "properties": {"metadata": metadata},
        }}}}})
    };
    let name = |default: &str| json!({"type": "object", "properties": {"name": {"type": "string", "default": default}}});
    let kind = |default: &str| {
        let mut schema = embedded(json!({"type": "object"}));
        schema["properties"]["spec"]["properties"]["template"]["properties"]["kind"] =
            json!({"type": "string", "default": default});
        schema
    };
    let root = |metadata: Value| json!({"type": "object", "properties": {"metadata": metadata}});
    for (schema, wrong) in [
        (embedded(name("a")), None),
        (
            root(name("a")),
            Some(
                "properties[metadata].properties[name].default: Forbidden: must not be set in top-level metadata",
            ),
        ),
        (
            embedded(name("a/b")),
            Some(
                "properties[spec].properties[template].properties[metadata].properties[name].default: Invalid value: \"a/b\": must result in valid metadata: metadata.name: Invalid value: \"a/b\": may not contain '/'",
            ),
        ),
        (
            embedded(
                json!({"type": "object", "properties": {"labels": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"a": "b"}}}}),
            ),
            None,
        ),
        (kind("Pod"), None),
        (
            kind("%"),
            Some(
                "properties[spec].properties[template].properties[kind].default: Invalid value: \"%\": must result in valid metadata: kind: Invalid value: \"%\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ),
        ),
    ] {
        let told = of_schema(schema.clone());
        assert_eq!(told, Vec::from_iter(wrong), "{schema}");
    }
}

#[test]
fn defaults_of_whole_objects_are_resources() {
    let schema = |default: Value| json!({"type": "object", "default": default, "properties": {"foo": {"type": "string"}}});
    assert_eq!(
        of_schema(schema(json!({"foo": "abc"}))),
        [
            "default.apiVersion: Required value",
            "default.kind: Required value",
        ]
    );
    let whole = json!({"apiVersion": "example.com/v1", "kind": "A", "foo": "abc"});
    assert_eq!(of_schema(schema(whole)), [""; 0]);
    // What can't be read as one is told alone.
    assert_eq!(
        of_schema(schema(json!({"metadata": {"name": 42}}))),
        [
            "default.metadata: Invalid value: {\"name\":42}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string"
        ]
    );
    assert_eq!(
        of_schema(schema(json!({"kind": 1}))),
        ["default.kind: Invalid value: 1: must be a string"]
    );
}

#[test]
fn patterns_are_those_of_go() {
    for (pattern, why) in [
        ("^[a-z]+$", None),
        ("\\Q[\\E", None),
        ("(a", Some("missing closing ): `(a`")),
        ("a{2,1}", Some("invalid repeat count: `{2,1}`")),
        ("(?=a)", Some("invalid or unsupported Perl syntax: `(?=`")),
    ] {
        let schema = json!({"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}});
        let wanted = why.map(|why| {
            let shown = apimachinery::field::quote(pattern);
            format!(
                "properties[a].pattern: Invalid value: {shown}: must be a valid regular expression, but isn't: error parsing regexp: {why}"
            )
        });
        assert_eq!(of_schema(schema), Vec::from_iter(wanted), "{pattern}");
    }
}
