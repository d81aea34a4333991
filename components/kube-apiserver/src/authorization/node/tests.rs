use super::*;
use crate::authorization::selection::of_fields;
use crate::identity::User;
use serde_json::json;

fn node_user(name: &str) -> User {
    User {
        name: format!("system:node:{name}"),
        groups: vec!["system:nodes".into()],
        ..User::default()
    }
}

fn authorizer() -> NodeAuthorizer {
    let authorizer = NodeAuthorizer::default();
    let pod = json!({
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"nodeName": "n1", "serviceAccountName": "sa", "volumes": [
            {"name": "s", "secret": {"secretName": "mounted"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}}]}
    });
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "claim"},
        "csi": {"nodePublishSecretRef": {"name": "storage", "namespace": "x"}}}});
    authorizer.graph.write().set_pod(&pod);
    authorizer.graph.write().set_volume(&volume);
    let slice = json!({"metadata": {"name": "n1-gpu"}, "spec": {"nodeName": "n1"}});
    authorizer.graph.write().set_own(Kind::Slice, &slice);
    authorizer
}

#[test]
fn a_node_reads_what_its_pods_need_and_no_more() {
    let authorizer = authorizer();
    let table = [
        ("n1", "get", "", "secrets", "", "a", "mounted", true),
        ("n2", "get", "", "secrets", "", "a", "mounted", false),
        ("n1", "get", "", "secrets", "", "b", "mounted", false),
        ("n1", "update", "", "secrets", "", "a", "mounted", false),
        ("n1", "list", "", "secrets", "", "a", "", false),
        ("n1", "get", "", "secrets", "", "x", "storage", true),
        ("n2", "get", "", "secrets", "", "x", "storage", false),
        ("n1", "get", "", "persistentvolumes", "", "", "pv", true),
        ("n1", "create", "", "serviceaccounts", "token", "a", "sa", true),
        (
            "n1",
            "create",
            "",
            "serviceaccounts",
            "token",
            "a",
            "other",
            false,
        ),
        (
            "n1",
            "get",
            "resource.k8s.io",
            "resourceslices",
            "",
            "",
            "n1-gpu",
            true,
        ),
        (
            "n1",
            "delete",
            "resource.k8s.io",
            "resourceslices",
            "",
            "",
            "n1-gpu",
            true,
        ),
        (
            "n2",
            "get",
            "resource.k8s.io",
            "resourceslices",
            "",
            "",
            "n1-gpu",
            false,
        ),
        (
            "n1",
            "get",
            "resource.k8s.io",
            "resourceslices",
            "",
            "",
            "gone",
            false,
        ),
        (
            "n1",
            "update",
            "",
            "persistentvolumeclaims",
            "status",
            "a",
            "claim",
            true,
        ),
        (
            "n1",
            "get",
            "",
            "persistentvolumeclaims",
            "status",
            "a",
            "claim",
            false,
        ),
        ("n1", "get", "", "pods", "", "a", "p", true),
        ("n2", "get", "", "pods", "", "a", "p", false),
        ("n1", "list", "", "pods", "", "", "", false),
        ("n1", "get", "", "nodes", "", "", "n2", false),
        (
            "n1",
            "update",
            "coordination.k8s.io",
            "leases",
            "",
            "kube-node-lease",
            "n1",
            true,
        ),
        (
            "n1",
            "update",
            "coordination.k8s.io",
            "leases",
            "",
            "kube-node-lease",
            "n2",
            false,
        ),
        (
            "n1",
            "update",
            "coordination.k8s.io",
            "leases",
            "",
            "default",
            "n1",
            false,
        ),
    ];
    for (node, verb, group, resource, sub, namespace, name, expected) in table {
        let user = node_user(node);
        let question = Attributes::resource(&user, verb, group, resource)
            .of_subresource(sub)
            .in_namespace(namespace)
            .named(name);
        assert_eq!(
            authorizer.authorize(&question).allowed(),
            expected,
            "{question:?}"
        );
    }
}

#[test]
fn a_deleted_pod_takes_its_rights_with_it() {
    let authorizer = authorizer();
    authorizer.graph.write().remove(Kind::Pod, "a", "p");
    let user = node_user("n1");
    let question = Attributes::resource(&user, "get", "", "secrets")
        .in_namespace("a")
        .named("mounted");
    assert!(!authorizer.authorize(&question).allowed());
}

#[test]
fn pods_may_be_listed_by_own_node_name() {
    let authorizer = authorizer();
    let user = node_user("n1");
    let mut question = Attributes::resource(&user, "list", "", "pods");
    question.fields = of_fields("spec.nodeName=n1");
    assert!(authorizer.authorize(&question).allowed());
    question.fields = of_fields("spec.nodeName=n2");
    assert!(!authorizer.authorize(&question).allowed());
}

#[test]
fn only_what_kubelets_use_of_a_volumes_secrets_is_theirs() {
    let authorizer = authorizer();
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "claim"},
        "csi": {"nodeStageSecretRef": {"name": "stage", "namespace": "x"},
            "controllerPublishSecretRef": {"name": "publish", "namespace": "x"},
            "controllerExpandSecretRef": {"name": "expand", "namespace": "x"}}}});
    authorizer.graph.write().set_volume(&volume);
    let reads = |namespace: &str, name: &str| {
        authorizer
            .graph
            .read()
            .reaches("n1", Kind::Secret, namespace, name)
    };
    assert!(reads("x", "stage"));
    assert!(!reads("x", "publish") && !reads("x", "expand"));
    for (given, namespace) in [(json!("y"), "y"), (json!(null), "a")] {
        let volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"namespace": "a", "name": "claim"},
            "azureFile": {"secretName": "share", "secretNamespace": given}}});
        authorizer.graph.write().set_volume(&volume);
        assert!(reads(namespace, "share"), "{namespace}");
    }
}

#[test]
fn claims_that_are_made_for_a_pod_later_are_taken_in() {
    let authorizer = authorizer();
    let mut pod = json!({"metadata": {"name": "p", "namespace": "a"}, "spec": {"nodeName": "n1"}});
    let reads = |name: &str| {
        authorizer
            .graph
            .read()
            .reaches("n1", Kind::ResourceClaim, "a", name)
    };
    assert!(!reads("made") && !reads("extended"));
    pod["status"] = json!({
        "resourceClaimStatuses": [{"name": "c", "resourceClaimName": "made"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "extended"},
    });
    authorizer.graph.write().set_pod(&pod);
    assert!(reads("made") && reads("extended"));
    for field in [
        "resourceClaimStatuses",
        "extendedResourceClaimStatus",
        "ephemeralContainers",
    ] {
        let text = format!("{{\"status\":{{\"{field}\":[]}}}}");
        assert!(graph::may_refer_to_more(text.as_bytes()), "{field}");
    }
    assert!(!graph::may_refer_to_more(b"{\"status\":{}}"));
}
