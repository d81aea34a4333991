use super::*;

#[test]
fn what_all_versions_say_alike_stands_in_the_spec() {
    let odd = || with_properties(json!({"a": {}}));
    let scale = json!({"scale": {"specReplicasPath": "spec.a", "statusReplicasPath": ".spec.a"}});
    let columns = json!([{"name": "", "type": "odd", "jsonPath": ".a[0"}]);
    let selectable = json!([{"jsonPath": ".b"}]);
    let all = |mut version: Value| {
        version["subresources"] = scale.clone();
        version["additionalPrinterColumns"] = columns.clone();
        version["selectableFields"] = selectable.clone();
        version
    };
    const WRONG: &[&str] = &[
        "subresources.scale.specReplicasPath: Invalid value: \"spec.a\": must be a simple json path starting with .",
        "subresources.scale.statusReplicasPath: Invalid value: \".spec.a\": should be a json path under .status",
        "additionalPrinterColumns[0].name: Required value",
        "additionalPrinterColumns[0].type: Invalid value: \"odd\": must be one of boolean,date,integer,number,string",
        "selectableFields[0].jsonPath: Invalid value: \".b\": is an invalid path: does not refer to a valid field",
    ];
    const UNTYPED: &str = "properties[a].type: Required value: must not be empty for specified object fields";
    let at = |place: &str, schema: &str| {
        let of_schema = format!("{place}{schema}.openAPIV3Schema.{UNTYPED}");
        let others = WRONG.iter().map(|wrong| format!("{place}{wrong}"));
        std::iter::once(of_schema).chain(others).collect::<Vec<_>>()
    };
    let above = at("spec.", "validation");
    assert_eq!(told(None, &definition(&[all(odd())])), above);
    assert_eq!(told(None, &definition(&[all(odd()), all(odd())])), above);
    // Versions that differ in everything tell of their own.
    let plain = with_schema(json!({"type": "object"}));
    assert_eq!(
        told(None, &definition(&[all(odd()), plain])),
        at("spec.versions[0].", "schema")
    );
}

#[test]
fn versions_are_dumped_without_what_stands_above() {
    let mut twice = definition(&[
        with_schema(json!({"type": "object"})),
        with_schema(json!({"type": "object"})),
    ]);
    twice["spec"]["versions"][1]["name"] = json!("v1");
    let told = told(None, &twice);
    assert_eq!(told.len(), 1, "{told:?}");
    let version = |storage: bool| {
        format!(
            r#"{{"Name":"v1","Served":true,"Storage":{storage},"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}}"#
        )
    };
    assert_eq!(
        told[0],
        format!(
            "spec.versions: Invalid value: [{},{}]: must contain unique version names",
            version(true),
            version(false)
        )
    );
}

#[test]
fn deprecations_are_printed() {
    for (fields, wrong) in [
        (
            json!({"deprecationWarning": ""}),
            &["can only be set for deprecated versions"][..],
        ),
        (
            json!({"deprecated": true, "deprecationWarning": ""}),
            &["must not be an empty string"],
        ),
        (json!({"deprecated": true, "deprecationWarning": "gone, é"}), &[]),
        (
            json!({"deprecated": true, "deprecationWarning": "é\u{a0}"}),
            &["must only contain printable UTF-8 characters; non-printable character found at index 2"],
        ),
        (
            json!({"deprecated": true, "deprecationWarning": "x".repeat(257)}),
            &["must be <= 256 characters long"],
        ),
    ] {
        let mut version = with_schema(json!({"type": "object"}));
        for (name, value) in fields.as_object().cloned().into_iter().flatten() {
            version[name] = value;
        }
        let errors = check(None, &definition(&[version]));
        let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(details, wrong, "{fields}");
        assert!(
            errors
                .iter()
                .all(|error| error.field == "spec.versions[0].deprecationWarning")
        );
    }
}

#[test]
fn names_and_stored_versions() {
    let plain = || definition(&[with_schema(json!({"type": "object"}))]);
    let mut stored = plain();
    stored["status"]["storedVersions"] = json!(["v0", "v1", "v0"]);
    let said = told(None, &stored);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("status.storedVersions[2]: Invalid value: \"v0\": missing from spec.versions;")
    );
    // Whoever writes the status alone may empty the list.
    stored["status"]["storedVersions"] = json!([]);
    assert!(check_status(&stored).is_empty());
    let mut old = plain();
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    let mut new = old.clone();
    new["spec"]["names"]["kind"] = json!("Gadget");
    new["spec"]["scope"] = json!("Cluster");
    new["spec"]["names"]["singular"] = json!("gadget");
    assert_eq!(
        told(Some(&old), &new),
        [
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
            "spec.names.kind: Invalid value: \"Gadget\": field is immutable"
        ]
    );
}

#[test]
fn conversions() {
    let convert = |webhook: Value| {
        let mut definition = definition(&[with_schema(json!({"type": "object"}))]);
        definition["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": webhook});
        definition
    };
    const PLACE: &str = "spec.conversion.webhookClientConfig";
    for (webhook, wrong) in [
        (
            json!({"clientConfig": {"url": ""}, "conversionReviewVersions": ["v1", "v1", "V"]}),
            vec![
                format!("{PLACE}.url: Invalid value: \"\": 'https' is the only allowed URL scheme; desired format: https://host[/path]"),
                format!("{PLACE}.url: Invalid value: \"\": host must be specified; desired format: https://host[/path]"),
                "spec.conversion.conversionReviewVersions[1]: Invalid value: \"v1\": duplicate version".into(),
                "spec.conversion.conversionReviewVersions[2]: Invalid value: \"V\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')".into(),
            ],
        ),
        (
            json!({"clientConfig": {"service": {"name": "n", "namespace": "n", "path": "//"}}, "conversionReviewVersions": ["v2"]}),
            vec![
                format!("{PLACE}.service.path: Invalid value: \"//\": segment[0] may not be empty"),
                "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1".into(),
            ],
        ),
        (
            json!({"clientConfig": {}}),
            vec![
                format!("{PLACE}: Required value: exactly one of url or service is required"),
                "spec.conversion.conversionReviewVersions: Required value".into(),
            ],
        ),
    ] {
        assert_eq!(told(None, &convert(webhook.clone())), wrong, "{webhook}");
    }
    // What was stored so may stay.
    let service = json!({"service": {"name": "n", "namespace": "n"}});
    let reviews = convert(json!({"clientConfig": service, "conversionReviewVersions": ["v2"]}));
    assert_eq!(told(Some(&reviews), &reviews), [""; 0]);
    let with_bundle = |text: &str| {
        use base64::Engine;
        let bundle = base64::engine::general_purpose::STANDARD.encode(text);
        let client = json!({"service": {"name": "n", "namespace": "n"}, "caBundle": bundle});
        let mut definition = convert(json!({"clientConfig": client, "conversionReviewVersions": ["v1"]}));
        definition["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        definition
    };
    let (odd, none) = (with_bundle("odd"), with_bundle(""));
    assert_eq!(told(None, &odd), [""; 0]);
    assert_eq!(told(Some(&odd), &odd), [""; 0]);
    assert_eq!(
        told(Some(&none), &odd),
        [format!(
            "{PLACE}.caBundle: Invalid value: \"b2Rk\": unable to load root certificates: unable to parse bytes as PEM block"
        )]
    );
}

#[test]
fn selectable_fields_are_scalars_of_the_schema() {
    let select = |paths: &[&str]| {
        let fields: Vec<Value> = paths.iter().map(|path| json!({"jsonPath": path})).collect();
        let mut version = with_properties(json!({
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": {"type": "object", "properties": {
                "a": {"type": "string"}, "n": {"type": "number"},
                "m": {"type": "object", "additionalProperties": {"type": "integer"}},
            }},
        }));
        version["selectableFields"] = json!(fields);
        told(None, &definition(&[version]))
    };
    let invalid = |path: &str, why: &str| {
        vec![format!(
            "spec.selectableFields[0].jsonPath: Invalid value: {path:?}: {why}"
        )]
    };
    assert_eq!(select(&[".spec.a", ".spec.m.key"]), [""; 0]);
    for (path, why) in [
        (
            ".spec",
            "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
        ),
        (".metadata.name", "must not point to fields in metadata"),
        ("a.b", "is an invalid path: expected [ or . but got: a"),
        (".spec['a']", "is an invalid path: array notation is not allowed"),
        (".spec.a.b", "is an invalid path: does not refer to a valid field"),
        (".spec.", "is an invalid path: unexpected end of JSON path"),
    ] {
        assert_eq!(select(&[path]), invalid(path, why));
    }
    assert_eq!(
        select(&[".spec.a", ".spec.a"]),
        ["spec.selectableFields[1].jsonPath: Duplicate value: \".spec.a\""]
    );
    // Paths that lead nowhere don't count.
    let nine: Vec<String> = (0..9).map(|number| format!(".spec.m.k{number}")).collect();
    let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
    assert_eq!(
        select(&nine),
        ["spec.selectableFields: Too many: 9: must have at most 8 items"]
    );
}

#[test]
fn definitions_may_stay_as_older_servers_took_them() {
    let set = json!({"a": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}}});
    let keyed = json!({"a": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
    }});
    let unpruned =
        json!({"a": {"type": "object", "default": {"odd": 1}, "properties": {"b": {"type": "string"}}}});
    for properties in [set, keyed, unpruned] {
        let old = definition(&[with_properties(properties.clone())]);
        assert_eq!(told(None, &old).len(), 1, "{properties}");
        assert_eq!(told(Some(&old), &old), [""; 0], "{properties}");
    }
    let mut bare = definition(&[json!({}), json!({"served": false})]);
    assert_eq!(
        told(None, &bare),
        [
            "spec.versions[0].schema.openAPIV3Schema: Required value",
            "spec.versions[1].schema.openAPIV3Schema: Required value"
        ]
    );
    let old = bare.clone();
    assert_eq!(
        told(Some(&old), &bare),
        ["spec.versions[0].schema.openAPIV3Schema: Required value: because otherwise all fields are pruned"]
    );
    bare["spec"]["preserveUnknownFields"] = json!(true);
    let old = bare.clone();
    assert_eq!(told(Some(&old), &bare), [""; 0]);
    // Types and structure too, where unknown fields are kept.
    let mut odd = definition(&[with_properties(json!({"a": {"type": "odd"}, "b": {}}))]);
    odd["spec"]["preserveUnknownFields"] = json!(true);
    let old = odd.clone();
    assert_eq!(told(Some(&old), &odd), [""; 0]);
    odd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["b"]["default"] = json!(1);
    let said = told(Some(&old), &odd);
    assert_eq!(
        said,
        [
            "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema",
            "spec.validation.openAPIV3Schema.properties[b].type: Required value: must not be empty for specified object fields"
        ]
    );
}
