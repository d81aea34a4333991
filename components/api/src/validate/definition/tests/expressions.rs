use super::*;

fn with_rule(schema: Value, rule: Value) -> Value {
    let mut schema = schema;
    schema["x-kubernetes-validations"] = json!([rule]);
    schema
}

/// What is told of a rule of a text.
fn of_rule(rule: Value) -> Vec<String> {
    let text = json!({"type": "string", "maxLength": 10});
    let told = of_properties(json!({"p": with_rule(text, rule)}));
    const PLACE: &str = "properties[p].x-kubernetes-validations[0].";
    told.iter()
        .map(|error| error.strip_prefix(PLACE).unwrap_or(error).to_owned())
        .collect()
}

#[test]
fn rules_are_written_well() {
    for (rule, wrong) in [
        (json!({"rule": "self == 'a'"}), &[][..]),
        (
            json!({"rule": " ", "message": " "}),
            &["rule: Required value: rule is not specified"],
        ),
        (
            json!({"rule": "true", "message": " "}),
            &["message: Invalid value: \" \": must be non-empty if specified"],
        ),
        (
            json!({"rule": "true", "message": "a\rb"}),
            &["message: Invalid value: \"a\\rb\": must not contain line breaks"],
        ),
        (
            json!({"rule": "true\n && true", "messageExpression": "'a'"}),
            &["message: Required value: message must be specified if rule contains line breaks"],
        ),
        (
            json!({"rule": "true", "messageExpression": " "}),
            &["messageExpression: Required value: messageExpression must be non-empty if specified"],
        ),
        (
            json!({"rule": "true", "fieldPath": ".a"}),
            &["fieldPath: Invalid value: \".a\": must be a valid path"],
        ),
        (
            json!({"rule": "true", "reason": "Odd"}),
            &[
                "reason: Unsupported value: \"Odd\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            ],
        ),
        (
            json!({"rule": "true", "optionalOldSelf": false}),
            &["optionalOldSelf: Invalid value: false: may not be set if oldSelf is not used in rule"],
        ),
        // What only the expression is wrong in is told of the whole rule, and nothing of its message.
        (
            json!({"rule": "1", "messageExpression": "odd("}),
            &[
                "rule: Invalid value: {\"Rule\":\"1\",\"Message\":\"\",\"MessageExpression\":\"odd(\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: cel expression must evaluate to a bool",
            ],
        ),
        (
            json!({"rule": "true", "messageExpression": "1"}),
            &[
                "messageExpression: Invalid value: {\"Rule\":\"true\",\"Message\":\"\",\"MessageExpression\":\"1\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}: messageExpression must evaluate to a string",
            ],
        ),
    ] {
        assert_eq!(of_rule(rule.clone()), wrong, "{rule}");
    }
}

#[test]
fn rules_wait_until_the_schema_is_right() {
    let told = of_properties(json!({
        "p": with_rule(json!({"type": "object", "properties": {"a": {"type": "string", "uniqueItems": true}}}), json!({"rule": "odd("})),
    }));
    assert_eq!(told.len(), 1, "{told:?}");
    // A schema beside is none of its concern.
    let told = of_properties(json!({
        "a": {"type": "string", "uniqueItems": true},
        "p": with_rule(json!({"type": "string"}), json!({"rule": "odd("})),
    }));
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn former_values_are_found_again() {
    let compares = || with_rule(json!({"type": "string"}), json!({"rule": "self == oldSelf"}));
    let within = |place: &str| {
        format!(
            "Invalid value: \"self == oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.{place}"
        )
    };
    let told = of_properties(json!({"l": {"type": "array", "maxItems": 3, "items": compares()}}));
    assert_eq!(
        told,
        [format!(
            "properties[l].items.x-kubernetes-validations[0].rule: {}",
            within("properties[l]")
        )]
    );
    // Applied as a whole or not, fields have names.
    let told = of_properties(
        json!({"m": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": compares()}}}),
    );
    assert_eq!(told, [""; 0]);
    let told = of_properties(
        json!({"m": {"type": "object", "maxProperties": 3, "additionalProperties": compares()}}),
    );
    assert_eq!(told, [""; 0]);
}

#[test]
fn costs_count_how_many_values_there_may_be() {
    let rule = json!({"rule": "self.a + self.b > 0"});
    let pair = |required: Value| {
        let number = json!({"type": "integer"});
        json!({"type": "object", "required": required, "properties": {"a": number, "b": number}})
    };
    let list = |items: Value, max: Value| {
        of_properties(
            json!({"l": {"type": "array", "maxItems": max, "items": with_rule(items, rule.clone())}}),
        )
    };
    // Values that take more bytes are fewer in a request.
    assert_eq!(list(pair(json!(["a", "b"])), Value::Null), [""; 0]);
    let told = list(pair(json!([])), json!(10_000_000));
    assert!(
        told[0].starts_with("properties[l].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of"),
        "{told:?}"
    );
    // A message is made once.
    let with_message = json!({"rule": "true", "messageExpression": "'a' + string(self)"});
    let told = of_properties(json!({
        "l": {"type": "array", "maxItems": 500_000, "items": with_rule(json!({"type": "integer"}), with_message)},
    }));
    assert_eq!(told, [""; 0]);
}

#[test]
fn rules_that_cost_too_much_together_are_told() {
    let dear = json!({"rule": "self.all(a, self.all(b, a == b || a != b))"});
    let list = json!({"type": "array", "maxItems": 1000, "items": {"type": "integer"}});
    let properties: serde_json::Map<String, Value> = (0..30)
        .map(|number| (format!("p{number}"), with_rule(list.clone(), dear.clone())))
        .collect();
    let definition = definition(&[with_properties(Value::Object(properties))]);
    let said = told(None, &definition);
    let alone = said
        .iter()
        .filter(|error| error.contains("estimated rule cost exceeds budget"))
        .count();
    assert_eq!(alone, 0, "{said:?}");
    assert_eq!(said.len(), 5, "{said:?}");
    assert!(said[..4].iter().all(|error| error.ends_with(
        "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
    )));
    assert!(said[4].starts_with(
        "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of"
    ));
}

#[test]
fn common_rules_are_within_the_budget() {
    let unbounded =
        json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}});
    let rules = [
        // Objects compare for nothing, whatever is in them.
        with_rule(
            json!({"type": "object", "properties": {"l": unbounded}}),
            json!({"rule": "self == oldSelf"}),
        ),
        // The name of a type counts as the value that has the rule.
        with_rule(
            json!({"x-kubernetes-int-or-string": true}),
            json!({"rule": "type(self) == int ? self > 0 : true"}),
        ),
        // The prefix counts, not the text.
        json!({"type": "array", "items": with_rule(json!({"type": "string"}), json!({"rule": "self.startsWith('a')"}))}),
        with_rule(
            json!({"type": "string", "maxLength": 316}),
            json!({"rule": "self in ['a/b', 'c/d'] || !self.find('^([^/]+)').endsWith('example.com')"}),
        ),
    ];
    for rule in rules {
        assert_eq!(of_properties(json!({ "p": rule })), [""; 0], "{rule}");
    }
}
