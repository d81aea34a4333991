use super::*;
use crate::identity::User;
use crate::request::ApiRequest;
use crate::request_info::{Query, RequestInfo};
use serde_json::json;

fn request() -> ApiRequest {
    ApiRequest::new(
        http::Method::POST,
        RequestInfo::default(),
        Query::parse(None),
        http::HeaderMap::new(),
        Arc::new(User::default()),
        bytes::Bytes::new(),
        std::time::Instant::now(),
    )
}

fn attributes<'a>(
    request: &'a ApiRequest,
    registry: &Registry,
    (group, version, plural): (&str, &str, &str),
    subresource: &str,
    operation: Operation,
    namespace: &str,
) -> Attributes<'a> {
    Attributes {
        request,
        user: Arc::default(),
        row: Arc::clone(registry.resource(group, version, plural).unwrap()),
        operation,
        namespace: namespace.to_owned(),
        name: "n".to_owned(),
        generate_name: String::new(),
        subresource: subresource.to_owned(),
        dry_run: false,
        options: Default::default(),
        unchanged: Default::default(),
    }
}

#[test]
fn rules() {
    let registry = Registry::built_in();
    let request = request();
    let rule = |groups: &[&str], versions: &[&str], resources: &[&str], operations: &[&str], scope: &str| json!({"apiGroups": groups, "apiVersions": versions, "resources": resources, "operations": operations, "scope": scope});
    let (pods, spaces, nodes) = (("", "v1", "pods"), ("", "v1", "namespaces"), ("", "v1", "nodes"));
    let (all, core) = (&["*"][..], &[""][..]);
    for (rule, resource, subresource, operation, namespace, expected) in [
        (
            rule(core, &["v1"], &["pods"], &["CREATE"], "*"),
            pods,
            "",
            Operation::Create,
            "a",
            true,
        ),
        (
            rule(core, &["v1"], &["pods"], &["CREATE"], "*"),
            pods,
            "",
            Operation::Update,
            "a",
            false,
        ),
        (
            rule(core, &["v1"], &["pods"], all, "*"),
            pods,
            "status",
            Operation::Update,
            "a",
            false,
        ),
        (
            rule(core, &["v1"], &["pods/*"], all, "*"),
            pods,
            "status",
            Operation::Update,
            "a",
            true,
        ),
        (
            rule(core, &["v1"], &["*/status"], all, "*"),
            pods,
            "status",
            Operation::Update,
            "a",
            true,
        ),
        (
            rule(core, &["v1"], &["*"], all, "*"),
            pods,
            "status",
            Operation::Update,
            "a",
            false,
        ),
        (
            rule(core, &["v1"], &["*/*"], all, "*"),
            pods,
            "status",
            Operation::Update,
            "a",
            true,
        ),
        (
            rule(&["apps"], all, &["*"], all, "*"),
            pods,
            "",
            Operation::Create,
            "a",
            false,
        ),
        (
            rule(all, &["v2"], &["*"], all, "*"),
            pods,
            "",
            Operation::Create,
            "a",
            false,
        ),
        (
            rule(all, all, &["*"], all, "Namespaced"),
            pods,
            "",
            Operation::Create,
            "a",
            true,
        ),
        (
            rule(all, all, &["*"], all, "Cluster"),
            pods,
            "",
            Operation::Create,
            "a",
            false,
        ),
        (
            rule(all, all, &["*"], all, "Cluster"),
            nodes,
            "",
            Operation::Create,
            "",
            true,
        ),
        (
            rule(all, all, &["*"], all, "Namespaced"),
            spaces,
            "",
            Operation::Create,
            "",
            false,
        ),
        (
            rule(all, all, &["*"], all, "Cluster"),
            spaces,
            "",
            Operation::Create,
            "",
            true,
        ),
        (
            rule(core, all, &["pods/exec"], &["CONNECT"], "*"),
            pods,
            "exec",
            Operation::Connect,
            "a",
            true,
        ),
    ] {
        let attributes = attributes(&request, &registry, resource, subresource, operation, namespace);
        let criteria = Criteria::of_webhook(&json!({"rules": [rule], "matchPolicy": "Exact"}));
        let found = criteria.matches_rules(&attributes, &registry);
        assert_eq!(found.is_some(), expected, "{rule} {resource:?} {subresource}");
    }
}

#[test]
fn equivalent_resources_are_found_in_another_version() {
    let registry = Registry::built_in();
    let request = request();
    let v1 = ("autoscaling", "v1", "horizontalpodautoscalers");
    let attributes = attributes(&request, &registry, v1, "", Operation::Create, "a");
    let hook = |policy: &str| json!({"matchPolicy": policy, "rules": [{"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["*"], "operations": ["*"]}]});
    let find = |policy| Criteria::of_webhook(&hook(policy)).matches_rules(&attributes, &registry);
    assert!(find("Exact").is_none());
    let found = find("Equivalent").unwrap();
    assert_eq!((found.kind.version.as_str(), found.converted), ("v2", true));
}

#[test]
fn policies_exclude_and_name() {
    let registry = Registry::built_in();
    let request = request();
    let attributes = attributes(
        &request,
        &registry,
        ("", "v1", "pods"),
        "",
        Operation::Create,
        "a",
    );
    let rule = |names: &[&str]| json!({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"], "resourceNames": names});
    for (resources, expected) in [
        (json!(null), true),
        (json!({"resourceRules": [rule(&[])]}), true),
        (json!({"resourceRules": [rule(&["n"])]}), true),
        (json!({"resourceRules": [rule(&["other"])]}), false),
        (
            json!({"resourceRules": [rule(&[])], "excludeResourceRules": [rule(&["n"])]}),
            false,
        ),
        (json!({"excludeResourceRules": [rule(&[])]}), false),
    ] {
        let found = Criteria::of_policy(&resources).matches_rules(&attributes, &registry);
        assert_eq!(found.is_some(), expected, "{resources}");
    }
}

#[test]
fn object_selectors_look_at_both_objects() {
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    let plain = json!({"metadata": {}});
    let options = json!({"kind": "PodExecOptions"});
    let criteria = Criteria::of_webhook(&json!({"objectSelector": {"matchLabels": {"a": "b"}}}));
    for (object, old, expected) in [
        (Some(&labelled), None, true),
        (Some(&plain), Some(&labelled), true),
        (Some(&plain), None, false),
        (None, None, false),
        (Some(&options), None, false),
    ] {
        assert_eq!(criteria.matches_object(object, old), Ok(expected));
    }
    assert_eq!(
        Criteria::of_webhook(&json!({})).matches_object(None, None),
        Ok(true)
    );
}
