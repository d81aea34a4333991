use super::*;
use crate::validate::resource::claim_status;

const SHARE: &str = "123e4567-e89b-12d3-a456-426614174000";

fn device(name: &str) -> Value {
    json!({"driver": "a.example.com", "pool": "p", "device": name})
}

fn result(name: &str) -> Value {
    with(&device(name), json!({"request": "r"}))
}

/// A claim with the requests `r`, and `s` with the alternative `x`.
fn claim(status: Value) -> Value {
    json!({
        "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "r"}, {"name": "s", "firstAvailable": [{"name": "x"}]}]}},
        "status": status,
    })
}

fn results(results: Value) -> Value {
    json!({"devices": {"results": results}})
}

fn told_of(old: Value, new: Value) -> Vec<String> {
    told(claim_status(&claim(old), &claim(new)))
}

#[test]
fn consumers() {
    let pod = |uid: &str| json!({"resource": "pods", "name": "a", "uid": uid});
    let with_pods = |pods: Value| json!({"allocation": results(json!([])), "reservedFor": pods});
    let path = "status.reservedFor";
    for (consumers, wrong) in [
        (json!([pod("1"), pod("2")]), vec![]),
        (
            json!([{}, pod("1"), pod("1")]),
            vec![
                format!("{path}[0].resource: Required value"),
                format!("{path}[0].name: Required value"),
                format!("{path}[0].uid: Required value"),
                format!("{path}[2]: Duplicate value: \"1\""),
            ],
        ),
        (
            many(257, |_| json!({})),
            vec![format!("{path}: Too many: 257: must have at most 256 items")],
        ),
    ] {
        assert_eq!(told_of(json!({}), with_pods(consumers)), wrong);
    }
    assert_eq!(
        told_of(json!({}), json!({"reservedFor": [pod("1")]})),
        [format!(
            "{path}: Forbidden: may not be specified when `allocated` is not set"
        )]
    );
    let deleted = |pods: Value| {
        let mut claim = claim(with_pods(pods));
        claim["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
        claim
    };
    let two = deleted(json!([pod("1"), pod("2")]));
    for (after, added) in [
        (json!([pod("2")]), false),
        (json!([with(&pod("1"), json!({"apiGroup": ""}))]), false),
        (json!([pod("1"), pod("3")]), true),
    ] {
        let wrong = format!(
            "{path}: Forbidden: new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        );
        let wrong: Vec<String> = Some(wrong).filter(|_| added).into_iter().collect();
        assert_eq!(told(claim_status(&two, &deleted(after))), wrong);
    }
}

#[test]
fn allocations() {
    let path = "status.allocation";
    let of_result = |members: Value| results(json!([with(&result("d"), members)]));
    let of_config = |config: Value| json!({"devices": {"config": [config]}});
    let opaque = json!({"driver": "a.example.com", "parameters": {}});
    for (allocation, wrong) in [
        (json!({}), vec![]),
        (of_result(json!({"request": "s/x", "shareID": SHARE})), vec![]),
        (of_config(json!({"source": "FromClass", "opaque": opaque})), vec![]),
        (
            results(json!([{}])),
            vec![
                format!(".devices.results[0].request: Invalid value: \"\": {LABEL}"),
                ".devices.results[0].request: Invalid value: \"\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'".to_owned(),
                ".devices.results[0].driver: Required value".to_owned(),
                ".devices.results[0].pool: Required value".to_owned(),
                format!(".devices.results[0].device: Invalid value: \"\": {LABEL}"),
            ],
        ),
        (
            of_result(json!({"bindingConditions": ["a"], "tolerations": [{}], "shareID": "x"})),
            vec![
                ".devices.results[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions".to_owned(),
                ".devices.results[0].tolerations[0].operator: Required value".to_owned(),
                ".devices.results[0].shareID: Invalid value: \"x\": error validating uid: invalid UUID length: 1".to_owned(),
            ],
        ),
        (
            results(many(33, |_| json!({}))),
            vec![".devices.results: Too many: 33: must have at most 32 items".to_owned()],
        ),
        (
            of_config(json!({"requests": ["z"]})),
            vec![
                ".devices.config[0].source: Required value".to_owned(),
                ".devices.config[0].requests[0]: Invalid value: \"z\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'".to_owned(),
                ".devices.config[0].opaque: Required value".to_owned(),
            ],
        ),
        (
            of_config(json!({"source": "Else", "opaque": opaque})),
            vec![".devices.config[0].source: Unsupported value: \"Else\": supported values: \"FromClaim\", \"FromClass\"".to_owned()],
        ),
        (
            json!({"devices": {"config": many(65, |_| json!({}))}}),
            vec![".devices.config: Too many: 65: must have at most 64 items".to_owned()],
        ),
        (
            json!({"nodeSelector": {}}),
            vec![".nodeSelector.nodeSelectorTerms: Required value: must have at least one node selector term".to_owned()],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}{wrong}")).collect();
        let status = json!({"allocation": allocation});
        assert_eq!(told_of(json!({}), status.clone()), wrong, "{allocation}");
        // What is there is not looked at again.
        assert_eq!(told_of(status.clone(), status), Vec::<String>::new());
    }
}

#[test]
fn an_allocation_stays_until_it_goes() {
    let allocated = |name: &str| json!({"allocation": results(json!([result(name)]))});
    assert_eq!(
        told_of(allocated("d"), allocated("e")),
        [
            r#"status.allocation: Invalid value: {"Devices":{"Results":[{"Request":"r","Driver":"a.example.com","Pool":"p","Device":"e","AdminAccess":null,"Tolerations":null,"BindingConditions":null,"BindingFailureConditions":null,"ShareID":null,"ConsumedCapacity":null}],"Config":null},"NodeSelector":null,"AllocationTimestamp":null}: field is immutable"#
        ]
    );
    assert_eq!(told_of(allocated("d"), json!({})), Vec::<String>::new());
}

#[test]
fn statuses_of_devices() {
    let path = "status.devices[0]";
    let condition = json!({"type": "Ready", "status": "True", "reason": "A", "message": "", "lastTransitionTime": "2024-01-01T00:00:00Z"});
    let unknown = |device: &str, share: &str| {
        format!(
            r#": Invalid value: {{"Driver":"a.example.com","Pool":"p","Device":"{device}","ShareID":"{share}"}}: must be an allocated device in the claim"#
        )
    };
    let allocation = results(json!([
        result("d"),
        with(&result("e"), json!({"shareID": SHARE}))
    ]));
    for (status, wrong) in [
        (
            with(&device("d"), json!({"conditions": [condition], "data": {"a": 1}})),
            vec![],
        ),
        (with(&device("e"), json!({"shareID": SHARE})), vec![]),
        (device("e"), vec![unknown("e", "")]),
        (
            with(&device("d"), json!({"shareID": SHARE})),
            vec![unknown("d", SHARE)],
        ),
        (
            with(&device("d"), json!({"data": [1]})),
            vec![".data: Invalid value: \"<value omitted>\": must be a valid JSON object".to_owned()],
        ),
        (
            with(&device("d"), json!({"data": {"a": "x".repeat(10 * 1024)}})),
            vec![".data: Too long: may not be more than 10240 bytes".to_owned()],
        ),
        (
            with(&device("d"), json!({"conditions": [condition, condition]})),
            vec![".conditions[1].type: Duplicate value: \"Ready\"".to_owned()],
        ),
        (
            with(
                &device("d"),
                json!({"conditions": many(9, |index| with(&condition, json!({"type": format!("A{index}")})))}),
            ),
            vec![".conditions: Too many: 9: must have at most 8 items".to_owned()],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}{wrong}")).collect();
        let found = told_of(json!({}), json!({"allocation": allocation, "devices": [status]}));
        assert_eq!(found, wrong, "{status}");
    }
    assert_eq!(
        told_of(
            json!({}),
            json!({"allocation": allocation, "devices": [device("d"), device("d")]})
        ),
        [
            r#"status.devices[1]: Duplicate value: {"Driver":"a.example.com","Pool":"p","Device":"d","ShareID":""}"#
        ]
    );
}

#[test]
fn network_interfaces() {
    let path = "status.devices[0].networkData";
    const FORM: &str = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
    let of_ips = |ips: &[&str]| json!({"ips": ips});
    let usual = |text: &str, usual: &str| {
        vec![format!(
            ".ips[0]: Invalid value: {text:?}: must be in canonical form ({usual:?})"
        )]
    };
    let invalid = |text: &str| vec![format!(".ips[0]: Invalid value: {text:?}: {FORM}")];
    for (network, wrong) in [
        (
            json!({"interfaceName": "x".repeat(256), "hardwareAddress": "x".repeat(128)}),
            vec![],
        ),
        (
            json!({"interfaceName": "x".repeat(257), "hardwareAddress": "x".repeat(129)}),
            vec![
                ".interfaceName: Too long: may not be more than 256 bytes".to_owned(),
                ".hardwareAddress: Too long: may not be more than 128 bytes".to_owned(),
            ],
        ),
        (of_ips(&["10.9.8.7/24", "2001:db8::1/64"]), vec![]),
        (of_ips(&["010.9.08.7/24"]), usual("010.9.08.7/24", "10.9.8.7/24")),
        (of_ips(&["10.9.8.7/024"]), usual("10.9.8.7/024", "10.9.8.7/24")),
        (
            of_ips(&["2001:DB8::1/64"]),
            usual("2001:DB8::1/64", "2001:db8::1/64"),
        ),
        (
            of_ips(&["::ffff:10.9.8.7/120"]),
            usual("::ffff:10.9.8.7/120", "10.9.8.7/24"),
        ),
        (
            of_ips(&["::ffff:10.9.8.7/40"]),
            usual("::ffff:10.9.8.7/40", "10.9.8.7/-56"),
        ),
        (of_ips(&["10.9.8.7"]), invalid("10.9.8.7")),
        (of_ips(&["10.9.8.7/33"]), invalid("10.9.8.7/33")),
        (of_ips(&["2001:db8::1/129"]), invalid("2001:db8::1/129")),
        (of_ips(&["10.9.8.7/+8"]), invalid("10.9.8.7/+8")),
        (of_ips(&["10.9.8.7/"]), invalid("10.9.8.7/")),
        (of_ips(&["10..8.7/8"]), invalid("10..8.7/8")),
        (of_ips(&["00000::1/64"]), usual("00000::1/64", "::1/64")),
        (
            of_ips(&["10.9.8.7/24", "10.9.8.7/24"]),
            vec![".ips[1]: Duplicate value: \"10.9.8.7/24\"".to_owned()],
        ),
        (
            json!({"ips": many(17, |_| json!("x"))}),
            vec![".ips: Too many: 17: must have at most 16 items".to_owned()],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{path}{wrong}")).collect();
        let status = with(&device("d"), json!({"networkData": network}));
        let new = json!({"allocation": results(json!([result("d")])), "devices": [status]});
        assert_eq!(told_of(json!({}), new), wrong, "{network}");
    }
}
