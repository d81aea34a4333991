use super::*;
use proptest::prelude::*;

/// What is told of a device of a slice, by its place in it.
fn of_device(members: Value) -> Vec<String> {
    of_placed(members, json!({"nodeName": "n"}))
}

fn of_placed(members: Value, place: Value) -> Vec<String> {
    let device = with(&json!({"name": "d"}), members);
    let spec = with(
        &json!({"driver": "a.example.com", "pool": {"name": "p", "resourceSliceCount": 1}, "devices": [device]}),
        place,
    );
    found("ResourceSlice", None, &json!({"spec": spec}))
}

fn under(path: &str, wrong: &[&str]) -> Vec<String> {
    wrong.iter().map(|wrong| format!("{path}{wrong}")).collect()
}

#[test]
fn attributes() {
    const ONE: &str = "exactly one value must be specified";
    const VERSION: &str = "must be a string compatible with semver.org spec 2.0.0";
    let long = "x".repeat(65);
    for (attribute, wrong) in [
        (json!({"int": 0}), vec![]),
        (json!({"bool": false}), vec![]),
        (json!({"string": ""}), vec![]),
        (json!({"version": "1.2.3-rc.1"}), vec![]),
        (json!({"strings": ["a", "a"]}), vec![]),
        (json!({}), vec![format!(": Invalid value: \"\": {ONE}")]),
        (
            json!({"int": 1, "string": "a"}),
            vec![format!(
                r#": Invalid value: {{"IntValue":1,"BoolValue":null,"StringValue":"a","VersionValue":null,"IntValues":null,"BoolValues":null,"StringValues":null,"VersionValues":null}}: {ONE}"#
            )],
        ),
        (
            json!({"string": long}),
            vec![".string: Too long: may not be more than 64 bytes".to_owned()],
        ),
        (
            json!({"version": long}),
            vec![
                format!(".version: Invalid value: {long:?}: {VERSION}"),
                ".version: Too long: may not be more than 64 bytes".to_owned(),
            ],
        ),
        (
            json!({"ints": []}),
            vec![".ints: Invalid value: []: must not be empty if specified".to_owned()],
        ),
        (
            json!({"versions": ["1.0.0", "1"]}),
            vec![format!(".versions[1]: Invalid value: \"1\": {VERSION}")],
        ),
        (
            json!({"strings": [long]}),
            vec![".strings[0]: Too long: may not be more than 64 bytes".to_owned()],
        ),
    ] {
        let wrong: Vec<String> = wrong
            .iter()
            .map(|wrong| format!("spec.devices[0].attributes[model]{wrong}"))
            .collect();
        assert_eq!(
            of_device(json!({"attributes": {"model": attribute}})),
            wrong,
            "{attribute}"
        );
    }
}

#[test]
fn names_and_numbers_of_facts() {
    let facts = |count: usize, value: Value| -> Value {
        Value::Object(
            (0..count)
                .map(|index| (format!("a{index}"), value.clone()))
                .collect(),
        )
    };
    let one = json!({"int": 1});
    let some = json!({"value": "1"});
    for (members, wrong) in [
        (
            json!({"attributes": facts(16, one.clone()), "capacity": facts(16, some.clone())}),
            vec![],
        ),
        (
            json!({"attributes": facts(16, one.clone()), "capacity": facts(17, some)}),
            vec![": Invalid value: 33: the total number of attributes and capacities must not exceed 32"],
        ),
        (
            json!({"attributes": facts(49, one)}),
            vec![
                ": Invalid value: 49: the total number of attributes and capacities must not exceed 32",
                ": Invalid value: 49: the total number of attribute values must not exceed 48",
            ],
        ),
        (
            json!({"attributes": facts(7, json!({"ints": [1, 2, 3, 4, 5, 6, 7]}))}),
            vec![": Invalid value: 49: the total number of attribute values must not exceed 48"],
        ),
        // What is wrong with a name is told of the map.
        (
            json!({"attributes": {"/x": {"int": 1}}, "capacity": {"a/": {"value": "1"}}}),
            vec![
                ".attributes: Invalid value: \"\": the domain must not be empty",
                ".capacity: Invalid value: \"\": the name must not be empty",
            ],
        ),
    ] {
        assert_eq!(of_device(members), under("spec.devices[0]", &wrong));
    }
}

#[test]
fn policies_of_requests() {
    let range = |range: Value| json!({"default": "4", "validRange": range});
    let values = |default: &str, values: Value| json!({"default": default, "validValues": values});
    let path = "spec.devices[0].capacity[memory].requestPolicy";
    const DEFAULT: &str = "default value is not valid according to the requestPolicy";
    for (policy, wrong) in [
        (json!({}), vec![]),
        (json!({"default": "100"}), vec![]),
        (values("2", json!(["1", "2", "10"])), vec![]),
        (range(json!({"min": "1"})), vec![]),
        (range(json!({"min": "2", "max": "10", "step": "2"})), vec![]),
        (
            json!({"validValues": ["1"], "validRange": {}}),
            vec![
                ": Forbidden: exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time",
            ],
        ),
        (
            json!({"validValues": ["1"]}),
            vec![".default: Required value: required when validValues is defined"],
        ),
        (
            json!({"validRange": {"min": "1"}}),
            vec![".default: Required value: required when validRange is defined"],
        ),
        (
            values("3", json!(["2", "1", "1", "11"])),
            vec![
                ".validValues[1]: Invalid value: \"1\": values must be sorted in ascending order",
                ".validValues[3]: Invalid value: \"11\": option is larger than capacity value: 10",
                ".validValues[2]: Duplicate value: \"1\"",
                &format!(".validValues: Invalid value: \"3\": {DEFAULT}"),
            ],
        ),
        // Those that round to the same number are the same.
        (
            values("1500m", json!(["1500m", "2"])),
            vec![".validValues[1]: Duplicate value: \"2\""],
        ),
        (
            values("1", many(11, |index| json!(index))),
            vec![
                ".validValues: Too many: 11: must have at most 10 items",
                &format!(".validValues: Invalid value: \"1\": {DEFAULT}"),
            ],
        ),
        (
            range(json!({"max": "1"})),
            vec![".validRange.min: Required value: required when validRange is defined"],
        ),
        (
            range(json!({"min": "12", "max": "11"})),
            vec![
                ".validRange.min: Invalid value: \"12\": min is larger than capacity value: 10",
                ".validRange.min: Invalid value: \"4\": default is less than min: 12",
                ".validRange.max: Invalid value: \"12\": min is larger than max: 11",
                ".validRange.max: Invalid value: \"11\": max is larger than capacity value: 10",
            ],
        ),
        (
            range(json!({"min": "1", "max": "3"})),
            vec![".validRange.max: Invalid value: \"4\": default is more than max: 3"],
        ),
        (
            range(json!({"min": "1", "step": "0"})),
            vec![".validRange.step: Invalid value: \"0\": must be greater than zero"],
        ),
        (
            range(json!({"min": "3", "max": "9", "step": "8"})),
            vec![
                ".validRange.step: Invalid value: \"8\": one step 11 is larger than capacity value: 10",
                ".validRange.step: Invalid value: \"4\": value is not a multiple of a given step (8) from (3)",
                ".validRange.step: Invalid value: \"9\": value is not a multiple of a given step (8) from (3)",
            ],
        ),
    ] {
        let capacity = json!({"memory": {"value": "10", "requestPolicy": policy}});
        let members = json!({"allowMultipleAllocations": true, "capacity": capacity});
        assert_eq!(of_device(members), under(path, &wrong), "{policy}");
        assert_eq!(
            of_device(json!({"capacity": capacity})),
            [format!(
                "{path}: Forbidden: allowMultipleAllocations must be true"
            )]
        );
    }
}

#[test]
fn taints_and_counters() {
    let path = "spec.devices[0]";
    let counters = json!({"c": {"value": "1"}});
    for (members, wrong) in [
        (
            json!({"taints": [{"key": "a", "value": "b", "effect": "NoExecute"}]}),
            vec![],
        ),
        (
            json!({"taints": [{}]}),
            vec![
                ".taints[0].key: Invalid value: \"\": name part must be non-empty",
                ".taints[0].key: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                ".taints[0].effect: Required value",
            ],
        ),
        (
            json!({"taints": many(17, |_| json!({}))}),
            vec![".taints: Too many: 17: must have at most 16 items"],
        ),
        (
            json!({"consumesCounters": [
                {"counterSet": "a", "counters": counters}, {"counterSet": "a", "counters": {}},
            ]}),
            vec![
                ".consumesCounters[1].counters: Required value",
                ".consumesCounters[1]: Duplicate value: \"a\"",
            ],
        ),
        (
            json!({"consumesCounters": [{"counters": counters}]}),
            vec![".consumesCounters[0].counterSet: Required value"],
        ),
        (
            json!({"consumesCounters": many(3, |_| json!({}))}),
            vec![".consumesCounters: Too many: 3: must have at most 2 items"],
        ),
    ] {
        assert_eq!(of_device(members.clone()), under(path, &wrong), "{members}");
    }
}

#[test]
fn nodes_of_each_device() {
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let path = "spec.devices[0]";
    for (members, wrong) in [
        (json!({"nodeName": "n"}), vec![]),
        (json!({"allNodes": true}), vec![]),
        (json!({}), vec![format!(": Required value: {ONE}")]),
        (
            json!({"nodeName": "", "allNodes": false}),
            vec![
                ".nodeName: Invalid value: \"\": must not be empty".to_owned(),
                ".allNodes: Invalid value: false: must be either unset or set to true".to_owned(),
                format!(": Required value: {ONE}"),
            ],
        ),
        (
            json!({"nodeName": "n", "nodeSelector": {}}),
            vec![
                ".nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term"
                    .to_owned(),
                format!(": Invalid value: \"{{`nodeName`, `nodeSelector`}}\": {ONE}"),
            ],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}{wrong}")).collect();
        let place = json!({"perDeviceNodeSelection": true});
        assert_eq!(of_placed(members.clone(), place), wrong, "{members}");
    }
    for members in [
        json!({"nodeName": ""}),
        json!({"nodeSelector": {}}),
        json!({"allNodes": false}),
    ] {
        assert_eq!(
            of_device(members),
            [format!(
                "{path}: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
            )]
        );
    }
}

#[test]
fn binding_conditions() {
    for (fine, failed, wrong) in [
        (json!(["a"]), json!(["b"]), vec![]),
        (json!([]), Value::Null, vec![]),
        (
            json!(["a"]),
            json!([]),
            vec![
                ".bindingFailureConditions: Invalid value: []: bindingFailureConditions are required to use bindingConditions",
            ],
        ),
        (
            Value::Null,
            json!(["a"]),
            vec![
                ".bindingConditions: Invalid value: null: bindingConditions are required to use bindingFailureConditions",
            ],
        ),
        (
            json!(["a", "a"]),
            json!(["b", "a", "b"]),
            vec![
                ".bindingConditions[1]: Duplicate value: \"a\"",
                ".bindingFailureConditions[1]: Invalid value: \"a\": bindingFailureConditions must not overlap with bindingConditions",
                ".bindingFailureConditions[2]: Duplicate value: \"b\"",
            ],
        ),
        (
            many(5, |index| json!(format!("a{index}"))),
            json!(["b"]),
            vec![".bindingConditions: Too many: 5: must have at most 4 items"],
        ),
    ] {
        let members = json!({"bindingConditions": fine, "bindingFailureConditions": failed});
        assert_eq!(
            of_device(members),
            under("spec.devices[0]", &wrong),
            "{fine} {failed}"
        );
    }
}

#[test]
fn resources_of_nodes() {
    let path = "spec.devices[0].nodeAllocatableResourceMappings";
    for (name, mapping, wrong) in [
        (
            "cpu",
            json!({"allocationMultiplier": "2", "capacityKey": "cores"}),
            vec![],
        ),
        ("hugepages-2Mi", json!({"allocationMultiplier": "1"}), vec![]),
        (
            "example.com/gpu",
            json!({}),
            vec![
                "[example.com/gpu]: Invalid value: \"example.com/gpu\": must be a node allocatable resource name",
                "[example.com/gpu]: Invalid value: \"\": at least one of allocationMultiplier or capacityKey must be set",
            ],
        ),
        (
            "cpu",
            json!({"allocationMultiplier": "0", "capacityKey": "a"}),
            vec![
                "[cpu].allocationMultiplier: Invalid value: \"0\": must be positive",
                "[cpu].capacityKey: Not found: \"a\"",
            ],
        ),
        (
            "cpu",
            json!({"capacityKey": ""}),
            vec!["[cpu].capacityKey: Invalid value: \"\": capacityKey must not be an empty string"],
        ),
    ] {
        let members = json!({"capacity": {"cores": {"value": "4"}}, "nodeAllocatableResourceMappings": {name: mapping}});
        assert_eq!(of_device(members), under(path, &wrong), "{name} {mapping}");
    }
}

proptest! {
    /// Amounts of any size and sign are compared, added and divided.
    #[test]
    fn no_policy_is_too_odd(
        amounts in prop::collection::vec("-?[0-9]{1,20}(m|k|E|Ei)?", 5),
        which in 0..4,
    ) {
        let [default, value, min, max, step] = &amounts[..] else { unreachable!() };
        let mut range = json!({"min": min, "max": max, "step": step});
        if which == 0 {
            range["max"] = Value::Null;
        }
        let policy = if which == 3 {
            json!({"default": default, "validValues": [min, max, step]})
        } else {
            json!({"default": default, "validRange": range})
        };
        of_device(json!({
            "allowMultipleAllocations": true,
            "capacity": {"a": {"value": value, "requestPolicy": policy}},
        }));
    }
}
