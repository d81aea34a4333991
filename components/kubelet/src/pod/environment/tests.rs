use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"app": "x", "tier": "y"}},
        "spec": {"nodeName": "node", "serviceAccountName": "sa", "containers": [{
            "name": "c",
            "resources": {"limits": {"cpu": "250m", "memory": "64Mi"}},
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "value": "$(A)-$(P_key)-$(LATER)-$$(A)-$(WEB_SERVICE_HOST)"},
                {"name": "LATER", "value": "l"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "CPU_M", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "OPTIONAL", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "no", "optional": true}}}
            ]}]}
    }))
    .unwrap()
}

fn objects() -> Objects {
    let service = json!({"metadata": {"name": "web", "namespace": "n"}, "spec": {"clusterIP": "10.0.0.9", "ports": [{"name": "http", "port": 80}]}});
    Objects {
        config_maps: [(
            "cm".to_owned(),
            serde_json::from_value(json!({"data": {"key": "value"}})).unwrap(),
        )]
        .into(),
        secrets: [(
            "s".to_owned(),
            serde_json::from_value(json!({"data": {"k": "c2VjcmV0"}})).unwrap(),
        )]
        .into(),
        services: vec![serde_json::from_value(service).unwrap()],
    }
}

fn context<'a>(
    ips: &'a [String],
    allocatable: &'a BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>,
) -> FieldContext<'a> {
    FieldContext {
        node_name: "node",
        host_ips: ips,
        pod_ips: ips,
        allocatable,
    }
}

#[test]
fn variables_come_from_all_sources_in_order() {
    let pod = pod();
    let (ips, allocatable) = (["10.1.0.2".to_owned()], BTreeMap::new());
    let variables = environment(
        &pod,
        &pod.containers()[0],
        &objects(),
        &context(&ips, &allocatable),
    )
    .unwrap();
    let get = |name: &str| {
        variables
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(variables[0].0, "P_key");
    for (name, want) in [
        ("B", Some("1-value-$(LATER)-$(A)-10.0.0.9")),
        ("NODE", Some("node")),
        ("LABEL", Some("x")),
        ("IP", Some("10.1.0.2")),
        ("CPU", Some("1")),
        ("CPU_M", Some("250")),
        ("MEM", Some("64")),
        ("SECRET", Some("secret")),
        ("OPTIONAL", None),
        ("WEB_SERVICE_PORT_HTTP", Some("80")),
        ("WEB_PORT_80_TCP", Some("tcp://10.0.0.9:80")),
    ] {
        assert_eq!(get(name), want, "{name}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let pod = pod();
    let (ips, allocatable) = ([], BTreeMap::new());
    let mut objects = objects();
    objects.secrets.clear();
    let error = environment(&pod, &pod.containers()[0], &objects, &context(&ips, &allocatable)).unwrap_err();
    assert_eq!(error.to_string(), "secret \"s\" not found");
    let (config_maps, secrets) = referenced(&pod.containers()[0]);
    assert_eq!((config_maps.len(), secrets.len()), (1, 2));
}

#[test]
fn without_links_only_the_api_server_is_told() {
    let mut services = objects().services;
    let api = json!({"metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "https", "port": 443}]}});
    services.push(serde_json::from_value(api).unwrap());
    let variables = service_variables(&services, "n", false);
    assert_eq!(variables["KUBERNETES_SERVICE_HOST"], "10.0.0.1");
    assert!(!variables.contains_key("WEB_SERVICE_HOST"));
}
