use super::*;

fn found(kind: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(kind, old, new, Features::default()).unwrap();
    errors.iter().map(ToString::to_string).collect()
}

fn policy(peer: Value) -> Value {
    json!({"spec": {"podSelector": {}, "ingress": [{"from": [peer]}]}})
}

fn block(cidr: &str, except: &[&str]) -> Value {
    policy(json!({"ipBlock": {"cidr": cidr, "except": except}}))
}

#[test]
fn blocks_are_checked_to_their_end() {
    let path = "spec.ingress[0].from[0].ipBlock";
    let subset = "must be a strict subset of `cidr`";
    let bits = "must not have bits set beyond the prefix length";
    for (policy, wrong) in [
        (block("10.0.0.0/8", &["10.1.0.0/16"]), vec![]),
        (
            block("10.0.0.0/8", &["10.0.0.0/8"]),
            vec![format!(
                "{path}.except[0]: Invalid value: \"10.0.0.0/8\": {subset}"
            )],
        ),
        (
            block("10.0.0.1/8", &["11.0.0.1/16"]),
            vec![
                format!("{path}.cidr: Invalid value: \"10.0.0.1/8\": {bits}"),
                format!("{path}.except[0]: Invalid value: \"11.0.0.1/16\": {bits}"),
                format!("{path}.except[0]: Invalid value: \"11.0.0.1/16\": {subset}"),
            ],
        ),
        (
            block("x", &["y"]),
            vec![format!(
                "{path}.cidr: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            )],
        ),
    ] {
        assert_eq!(found("NetworkPolicy", None, &policy), wrong, "{policy}");
    }
    // What was there may stay, and is compared all the same.
    let old = block("10.0.0.1/8", &["11.0.0.0/16"]);
    assert_eq!(
        found("NetworkPolicy", Some(&old), &old),
        [format!(
            "{path}.except[0]: Invalid value: \"11.0.0.0/16\": {subset}"
        )]
    );
}

#[test]
fn values_of_older_selectors_may_stay() {
    let selector = json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]});
    let mut old = policy(json!({"podSelector": selector}));
    assert_eq!(found("NetworkPolicy", Some(&old), &old).len(), 1);
    old["spec"]["podSelector"] = selector;
    assert_eq!(found("NetworkPolicy", None, &old).len(), 2);
    assert_eq!(found("NetworkPolicy", Some(&old), &old), [""; 0]);
}

fn ingress(host: &str, secret: &str, path: &str) -> Value {
    let backend = json!({"service": {"name": "a", "port": {"number": 80}}});
    let paths = json!([{"path": path, "pathType": "Prefix", "backend": backend}]);
    json!({"spec": {"rules": [{"host": host, "http": {"paths": paths}}], "tls": [{"secretName": secret}]}})
}

#[test]
fn older_ingresses_keep_what_was_let_through() {
    let relative = "spec.rules[0].http.paths[0].path: Invalid value: \"a\": must be an absolute path";
    for (new, wrong) in [
        (ingress("a.b", "s", "/"), vec![]),
        (ingress("*.a.b", "s", "a"), vec![relative]),
        (ingress("a.b", "s", "a"), vec![relative]),
        (
            ingress("1.2.3.4", "s", "/"),
            vec!["spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"],
        ),
    ] {
        assert_eq!(found("Ingress", None, &new), wrong, "{new}");
    }
    assert_eq!(found("Ingress", None, &ingress("::1", "s", "/")).len(), 2);
    let (wildcard, plain) = (ingress("*.a.b", "s", "a"), ingress("a.b", "s", "a"));
    assert_eq!(found("Ingress", Some(&wildcard), &wildcard), [""; 0]);
    assert_eq!(found("Ingress", Some(&wildcard), &plain), [relative]);
    assert_eq!(found("Ingress", Some(&plain), &wildcard), [relative]);
    let odd = ingress("a.b", "S", "/");
    assert_eq!(found("Ingress", None, &odd).len(), 1);
    assert_eq!(found("Ingress", Some(&odd), &odd), [""; 0]);
}

#[test]
fn parameters_of_classes_have_a_namespace_or_not() {
    for (scope, namespace, wrong) in [
        ("Cluster", Value::Null, ""),
        (
            "Cluster",
            json!(""),
            "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        ("Namespace", json!("a"), ""),
        (
            "Namespace",
            Value::Null,
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            "Namespace",
            json!(""),
            "spec.parameters.namespace: Invalid value: \"\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ),
    ] {
        let mut parameters = json!({"kind": "K", "name": "n", "scope": scope});
        if !namespace.is_null() {
            parameters["namespace"] = namespace;
        }
        let class = json!({"spec": {"controller": "a.b/c", "parameters": parameters}});
        let wanted: Vec<&str> = Some(wrong)
            .filter(|wrong| !wrong.is_empty())
            .into_iter()
            .collect();
        assert_eq!(found("IngressClass", None, &class), wanted, "{class}");
    }
}
