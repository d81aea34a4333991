use super::*;

fn spec() -> Value {
    json!({
        "driver": "a.example.com", "nodeName": "n",
        "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "d", "attributes": {"model": {"string": "x"}}}],
    })
}

fn slice(members: Value) -> Value {
    json!({"spec": with(&spec(), members)})
}

const ONE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

#[test]
fn drivers_and_pools() {
    for (members, wrong) in [
        (json!({}), vec![]),
        (json!({"driver": "A.Example.com"}), vec![]),
        (json!({"pool": {"name": "a/b.c", "resourceSliceCount": 1}}), vec![]),
        (json!({"driver": ""}), vec!["spec.driver: Required value".to_owned()]),
        (
            json!({"pool": {"generation": -1}}),
            vec![
                "spec.pool.name: Required value".to_owned(),
                "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero".to_owned(),
                "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero".to_owned(),
            ],
        ),
        (
            json!({"pool": {"name": "a//b".repeat(64), "resourceSliceCount": 1}}),
            std::iter::once("spec.pool.name: Too long: may not be more than 253 bytes".to_owned())
                .chain(std::iter::repeat_n(
                    "spec.pool.name: Invalid value: \"\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".to_owned(),
                    64,
                ))
                .collect(),
        ),
    ] {
        assert_eq!(found("ResourceSlice", None, &slice(members.clone())), wrong, "{members}");
    }
}

#[test]
fn nodes_are_told_in_one_way() {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]});
    let selector = |terms: Value| json!({"nodeName": null, "nodeSelector": {"nodeSelectorTerms": terms}});
    let several =
        |given: &str| format!("spec: Invalid value: \"{{{given}}}\": {ONE}, but multiple fields are set");
    for (members, wrong) in [
        (json!({"nodeName": null, "allNodes": true}), vec![]),
        (selector(json!([term])), vec![]),
        (
            json!({"nodeName": null}),
            vec![format!("spec: Required value: {ONE}")],
        ),
        (
            json!({"nodeName": ""}),
            vec![
                "spec.nodeName: Invalid value: \"\": must be either unset or set to a non-empty string".to_owned(),
                format!("spec: Required value: {ONE}"),
            ],
        ),
        (json!({"allNodes": true}), vec![several("`nodeName`, `allNodes`")]),
        (
            json!({"allNodes": false, "perDeviceNodeSelection": false}),
            vec![
                "spec.allNodes: Invalid value: false: must be either unset or set to true".to_owned(),
                "spec.perDeviceNodeSelection: Invalid value: false: must be either unset or set to true".to_owned(),
            ],
        ),
        (
            json!({"nodeSelector": {"nodeSelectorTerms": [term]}, "nodeName": null, "perDeviceNodeSelection": true, "devices": null}),
            vec![several("`nodeSelector`, `perDeviceNodeSelection`")],
        ),
        (
            selector(json!([])),
            vec![
                "spec.nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term".to_owned(),
                "spec.nodeSelector.nodeSelectorTerms: Invalid value: []: must have exactly one node selector term".to_owned(),
            ],
        ),
        (
            selector(json!([term, {}])),
            vec![
                r#"spec.nodeSelector.nodeSelectorTerms: Invalid value: [{"MatchExpressions":null,"MatchFields":[{"Key":"metadata.name","Operator":"In","Values":["n"]}]},{"MatchExpressions":null,"MatchFields":null}]: must have exactly one node selector term"#.to_owned(),
            ],
        ),
    ] {
        assert_eq!(found("ResourceSlice", None, &slice(members.clone())), wrong, "{members}");
    }
}

#[test]
fn lists_have_bounds() {
    let named = |index: usize| json!({"name": format!("d{index}")});
    let counters = json!({"c": {"value": "1"}});
    let advanced = |member: &str, value: Value| {
        let mut devices = many(65, named);
        devices[0][member] = value;
        devices
    };
    let too_many = |count: usize, most: usize| {
        vec![format!(
            "spec.devices: Too many: {count}: must have at most {most} items"
        )]
    };
    for (devices, wrong) in [
        (many(128, named), vec![]),
        (many(129, |_| json!({"name": "!"})), too_many(129, 128)),
        (
            advanced("taints", json!([{"key": "a", "effect": "None"}])),
            too_many(65, 64),
        ),
        (
            advanced(
                "consumesCounters",
                json!([{"counterSet": "a", "counters": counters}]),
            ),
            too_many(65, 64),
        ),
        (
            advanced("attributes", json!({"a": {"ints": [1]}})),
            too_many(65, 64),
        ),
        (
            json!([{"name": "a"}, {"name": "b"}, {"name": "a"}]),
            vec!["spec.devices[2]: Duplicate value: \"a\"".to_owned()],
        ),
    ] {
        assert_eq!(
            found("ResourceSlice", None, &slice(json!({"devices": devices}))),
            wrong
        );
    }
}

#[test]
fn shared_counters() {
    let counters = |count: usize| -> Value {
        Value::Object(
            (0..count)
                .map(|index| (format!("c{index}"), json!({"value": "1"})))
                .collect(),
        )
    };
    let set = |name: &str, count: usize| json!({"name": name, "counters": counters(count)});
    for (sets, wrong) in [
        (json!([set("a", 1), set("b", 32)]), vec![]),
        (
            json!([{}, set("A", 33), set("a", 1), set("a", 1)]),
            vec![
                "spec.sharedCounters[0].name: Required value".to_owned(),
                "spec.sharedCounters[0].counters: Required value".to_owned(),
                format!("spec.sharedCounters[1].name: Invalid value: \"A\": {LABEL}"),
                "spec.sharedCounters[1].counters: Too many: 33: must have at most 32 items".to_owned(),
                "spec.sharedCounters[3]: Duplicate value: \"a\"".to_owned(),
            ],
        ),
        (
            json!([{"name": "a", "counters": {"X": {"value": "1"}}}]),
            vec![format!(
                "spec.sharedCounters[0].counters: Invalid value: \"X\": {LABEL}"
            )],
        ),
        (
            many(9, |_| json!({})),
            vec!["spec.sharedCounters: Too many: 9: must have at most 8 items".to_owned()],
        ),
    ] {
        let members = json!({"devices": null, "sharedCounters": sets});
        assert_eq!(
            found("ResourceSlice", None, &slice(members.clone())),
            wrong,
            "{members}"
        );
    }
    assert_eq!(
        found(
            "ResourceSlice",
            None,
            &slice(json!({"devices": [], "sharedCounters": []}))
        ),
        ["spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed"]
    );
}

#[test]
fn what_a_slice_is_of_stays() {
    let old = slice(json!({}));
    for (members, wrong) in [
        (
            json!({"pool": {"name": "p", "generation": 2, "resourceSliceCount": 2}}),
            vec![],
        ),
        (
            json!({"driver": "b.example.com", "nodeName": "m", "pool": {"name": "q", "resourceSliceCount": 1}}),
            vec![
                "spec.pool.name: Invalid value: \"q\": field is immutable",
                "spec.driver: Invalid value: \"b.example.com\": field is immutable",
                "spec.nodeName: Invalid value: \"m\": field is immutable",
            ],
        ),
        (
            json!({"nodeName": null, "allNodes": true}),
            vec!["spec.nodeName: Invalid value: null: field is immutable"],
        ),
    ] {
        let new = slice(members);
        assert_eq!(found("ResourceSlice", Some(&old), &new), wrong, "{new}");
    }
}

#[test]
fn taints_that_stay_are_not_looked_at_again() {
    let tainted =
        |effect: &str| slice(json!({"devices": [{"name": "d", "taints": [{"key": "a", "effect": effect}]}]}));
    let wrong = |effect: &str| {
        format!(
            "spec.devices[0].taints[0].effect: Unsupported value: {effect:?}: supported values: \"NoExecute\", \"NoSchedule\", \"None\""
        )
    };
    let old = tainted("Later");
    assert_eq!(found("ResourceSlice", None, &old), [wrong("Later")]);
    assert_eq!(found("ResourceSlice", Some(&old), &old), Vec::<String>::new());
    assert_eq!(
        found("ResourceSlice", Some(&old), &tainted("Other")),
        [wrong("Other")]
    );
}
