use super::*;
use serde_json::json;

fn found(kind: &str, object: &Value) -> Vec<String> {
    let errors = check(kind, object).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

/// What is at a path of names and numbers is replaced.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[last] = value;
}

fn schema() -> Value {
    json!({"metadata": {"name": "a"}, "spec": {
        "matchingPrecedence": 1000,
        "priorityLevelConfiguration": {"name": "a"},
        "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "u"}}],
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["n"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/", "/a", "/b/*"]}],
        }],
    }})
}

#[test]
fn flow_schemas_are_checked_field_by_field() {
    assert_eq!(found("FlowSchema", &schema()), [""; 0]);
    let account = |account: Value| json!({"kind": "ServiceAccount", "serviceAccount": account});
    for (pointer, value, wrong) in [
        (
            "/spec/matchingPrecedence",
            json!(0),
            "spec.matchingPrecedence: Invalid value: 0: must be a positive value",
        ),
        (
            "/spec/matchingPrecedence",
            json!(10_001),
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            "/spec/matchingPrecedence",
            json!(1),
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ),
        (
            "/spec/rules/0/subjects/0",
            account(json!({"name": "*", "namespace": "n"})),
            "",
        ),
        (
            "/spec/rules/0/subjects/0",
            account(json!({"name": "a", "namespace": "n/"})),
            "spec.rules[0].subjects[0].serviceAccount.namespace: Invalid value: \"n/\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
        (
            "/spec/rules/0/subjects/0",
            account(json!({"name": "A", "namespace": "n"})),
            "spec.rules[0].subjects[0].serviceAccount.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ),
        (
            "/spec/rules/0/subjects/0",
            json!({"kind": "User", "user": {"name": "u"}, "group": {"name": "g"}}),
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            "/spec/rules/0/subjects/0",
            json!({"kind": "Group"}),
            "spec.rules[0].subjects[0].group: Required value: group is required when subject kind is 'Group'",
        ),
        (
            "/spec/rules/0/resourceRules/0/resources",
            json!(["*", "pods"]),
            "spec.rules[0].resourceRules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources",
        ),
        (
            "/spec/rules/0/resourceRules/0/apiGroups",
            json!(["*", ""]),
            "spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"\"]: if '*' is present, must not specify other api groups",
        ),
        (
            "/spec/rules/0/resourceRules/0/namespaces",
            json!(["*", "A"]),
            "spec.rules[0].resourceRules[0].namespaces: Invalid value: [\"*\",\"A\"]: if '*' is present, must not specify other namespaces",
        ),
        (
            "/spec/rules/0/nonResourceRules/0/nonResourceURLs",
            json!(["*", "a"]),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other non-resource URLs",
        ),
        (
            "/spec/rules/0/nonResourceRules/0/nonResourceURLs",
            json!(["/a b"]),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"/a b\": must not contain white-space",
        ),
        (
            "/spec/rules/0/nonResourceRules/0/nonResourceURLs",
            json!(["/a//b"]),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"/a//b\": must not contain double slash",
        ),
        (
            "/spec/rules/0/nonResourceRules/0/nonResourceURLs",
            json!(["/a*"]),
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"/a*\": wildcard can only do suffix matching",
        ),
        (
            "/spec/rules/0/nonResourceRules/0/verbs",
            json!(["fly"]),
            "spec.rules[0].nonResourceRules[0].verbs: Unsupported value: [\"fly\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
        ),
    ] {
        let mut object = schema();
        // A list's element is replaced whole.
        match pointer.strip_suffix("/0") {
            Some(list) => *object.pointer_mut(list).unwrap() = json!([value]),
            None => put(&mut object, pointer, value),
        }
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("FlowSchema", &object), wanted, "{pointer}");
    }
}

#[test]
fn priority_levels_are_checked_field_by_field() {
    let queue = |queues: i64, hand: i64| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": 50});
        json!({"type": "Queue", "queuing": queuing})
    };
    for (field, value, wrong) in [
        ("nominalConcurrencyShares", json!(0), ""),
        (
            "nominalConcurrencyShares",
            json!(-1),
            "spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
        ),
        (
            "lendablePercent",
            json!(101),
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            "borrowingLimitPercent",
            json!(-1),
            "spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
        ),
        ("limitResponse", queue(64, 6), ""),
        (
            "limitResponse",
            queue(10_000_001, 1),
            "spec.limited.limitResponse.queuing.queues: Invalid value: 10000001: must not be greater than 10000000",
        ),
        (
            "limitResponse",
            queue(4, 5),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
        ),
        (
            "limitResponse",
            queue(512, 8),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
        ),
    ] {
        let mut limited = json!({"nominalConcurrencyShares": 5, "limitResponse": {"type": "Reject"}});
        limited[field] = value;
        let level = json!({"metadata": {"name": "a"}, "spec": {"type": "Limited", "limited": limited}});
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("PriorityLevelConfiguration", &level), wanted, "{field}");
    }
    let odd = json!({"metadata": {"name": "a", "annotations": {ZERO_SHARES: ""}}, "spec": {
        "type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}, "exempt": {},
    }});
    assert_eq!(
        found("PriorityLevelConfiguration", &odd),
        [
            "metadata.annotations: Forbidden: annotation 'flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares' is forbidden",
            "spec.exempt: Forbidden: must be nil if the type is Limited",
            "spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited",
        ]
    );
}

#[test]
fn what_every_server_has_stays_as_it_is() {
    let level = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let reject = |shares: i64| {
        json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
        }})
    };
    for (object, wrong) in [
        (
            level(
                "exempt",
                json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 7}}),
            ),
            "",
        ),
        (level("catch-all", reject(5)), ""),
        (
            level("catch-all", reject(6)),
            r#"spec: Invalid value: {"Type":"Limited","Limited":{"NominalConcurrencyShares":6,"LimitResponse":{"Type":"Reject","Queuing":null},"LendablePercent":0,"BorrowingLimitPercent":null},"Exempt":null}: spec of 'catch-all' must equal the fixed value"#,
        ),
    ] {
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("PriorityLevelConfiguration", &object), wanted);
    }
    let mut everything = schema();
    everything["metadata"]["name"] = json!("exempt");
    everything["spec"] = json!({
        "matchingPrecedence": 1,
        "priorityLevelConfiguration": {"name": "exempt"},
        "rules": [{
            "subjects": [{"kind": "Group", "group": {"name": "system:masters"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    });
    assert_eq!(found("FlowSchema", &everything), [""; 0]);
    everything["spec"]["matchingPrecedence"] = json!(2);
    let wrong = found("FlowSchema", &everything);
    assert!(
        wrong[0].starts_with(r#"spec: Invalid value: {"PriorityLevelConfiguration":{"Name":"exempt"},"MatchingPrecedence":2,"DistinguisherMethod":null,"Rules":[{"Subjects":[{"Kind":"Group","User":null,"Group":{"Name":"system:masters"},"ServiceAccount":null}],"#)
            && wrong[0].ends_with(": spec of 'exempt' must equal the fixed value"),
        "{wrong:?}"
    );
}
