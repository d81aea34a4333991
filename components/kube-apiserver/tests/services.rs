//! Addresses, families and ports of services.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use k8s_openapi::api::core::v1::{Event, Service};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::path::Path;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

async fn started(flags: &[&str]) -> (Etcd, ApiServer, Api<Service>) {
    let etcd = Etcd::start().await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let server = ApiServer::start(binary, &etcd, flags).await.unwrap();
    let services = Api::namespaced(server.admin().await.unwrap(), "default");
    (etcd, server, services)
}

fn service(name: &str, spec: Value) -> Service {
    let mut spec = spec;
    spec["selector"] = json!({"a": "b"});
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{"port": 80}]);
    }
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

async fn create(services: &Api<Service>, name: &str, spec: Value) -> Result<Value, kube::Error> {
    let made = services
        .create(&PostParams::default(), &service(name, spec))
        .await?;
    Ok(serde_json::to_value(made.spec).unwrap())
}

async fn patch(services: &Api<Service>, name: &str, spec: Value) -> Result<Value, kube::Error> {
    let patch = Patch::Merge(json!({"spec": spec}));
    let made = services.patch(name, &PatchParams::default(), &patch).await?;
    Ok(serde_json::to_value(made.spec).unwrap())
}

fn why<T: std::fmt::Debug>(outcome: Result<T, kube::Error>) -> String {
    match outcome.unwrap_err() {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn services_get_addresses_and_give_them_back() {
    let (_etcd, _server, services) = started(&[]).await;
    let of = |address: &str| json!({"type": "NodePort", "clusterIP": address});
    let made = create(&services, "a", of("10.32.0.77")).await.unwrap();
    assert_eq!(made["clusterIPs"], json!(["10.32.0.77"]));
    let port = made["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port));
    assert_eq!(
        why(create(&services, "b", of("10.32.0.77")).await),
        "422 Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.32.0.77\"]: failed to allocate IP 10.32.0.77: provided IP is already allocated"
    );
    services.delete("a", &DeleteParams::default()).await.unwrap();
    create(&services, "b", of("10.32.0.77")).await.unwrap();
}

#[tokio::test]
async fn another_name_has_no_traffic_policy() {
    let (_etcd, _server, services) = started(&[]).await;
    let named = json!({"type": "ExternalName", "externalName": "a.b", "internalTrafficPolicy": "Local"});
    let made = create(&services, "a", named).await.unwrap();
    assert_eq!(made["internalTrafficPolicy"], Value::Null);
    let made = create(&services, "b", json!({})).await.unwrap();
    assert_eq!(made["internalTrafficPolicy"], "Cluster");
    let named = json!({"type": "ExternalName", "externalName": "a.b", "clusterIP": null, "clusterIPs": null, "ipFamilies": null, "ipFamilyPolicy": null});
    let made = patch(&services, "b", named).await.unwrap();
    assert_eq!(made["internalTrafficPolicy"], Value::Null);
}

#[tokio::test]
async fn a_dry_run_takes_no_port_twice() {
    let (_etcd, _server, services) = started(&[]).await;
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 30077,
        "ports": [{"port": 80, "nodePort": 30077}]});
    for dry_run in [true, false] {
        let params = PostParams {
            dry_run,
            ..PostParams::default()
        };
        assert_eq!(
            why(services.create(&params, &service("a", spec.clone())).await),
            "500 Internal error occurred: failed to allocate requested HealthCheck NodePort 30077: provided port is already allocated",
            "{dry_run}"
        );
    }
}

#[tokio::test]
async fn ports_of_one_number_share_a_node_port_whichever_names_it() {
    let (_etcd, _server, services) = started(&[]).await;
    let ports = json!([
        {"name": "u", "port": 53, "protocol": "UDP"},
        {"name": "t", "port": 53, "protocol": "TCP", "nodePort": 30053},
        {"name": "v", "port": 54, "protocol": "UDP"},
        {"name": "w", "port": 54, "protocol": "TCP"},
    ]);
    let made = create(&services, "dns", json!({"type": "NodePort", "ports": ports}))
        .await
        .unwrap();
    let number = |index: usize| made["ports"][index]["nodePort"].as_i64().unwrap();
    assert_eq!((number(0), number(1)), (30053, 30053));
    assert_eq!(number(2), number(3));
    // A manifest without numbers keeps them, by the ports' names.
    let sent = json!([{"name": "t", "port": 5353, "protocol": "TCP"}]);
    let kept = patch(&services, "dns", json!({"ports": sent})).await.unwrap();
    assert_eq!(kept["ports"][0]["nodePort"], 30053);
}

#[tokio::test]
async fn a_second_family_comes_and_goes_with_the_policy() {
    let ranges = "--service-cluster-ip-range=10.32.0.0/24,fd00:32::/112";
    let (_etcd, _server, services) = started(&[ranges]).await;
    let single = create(&services, "s", json!({})).await.unwrap();
    assert_eq!(
        (&single["ipFamilyPolicy"], &single["ipFamilies"]),
        (&json!("SingleStack"), &json!(["IPv4"]))
    );
    let both = patch(&services, "s", json!({"ipFamilyPolicy": "PreferDualStack"}))
        .await
        .unwrap();
    assert_eq!(both["ipFamilies"], json!(["IPv4", "IPv6"]));
    let (first, second) = (
        both["clusterIPs"][0].as_str().unwrap(),
        both["clusterIPs"][1].as_str().unwrap(),
    );
    assert_eq!(single["clusterIP"], first);
    assert!(second.starts_with("fd00:32::"), "{second}");
    // The second address is taken, and free again when it was given up.
    let wants = json!({"clusterIP": second, "clusterIPs": [second]});
    assert!(why(create(&services, "t", wants.clone()).await).contains("already allocated"));
    assert_eq!(
        why(patch(&services, "s", json!({"clusterIPs": [first]})).await),
        "422 Service \"s\" is invalid: spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the secondary cluster IP"
    );
    let again = patch(&services, "s", json!({"ipFamilyPolicy": "SingleStack"}))
        .await
        .unwrap();
    assert_eq!(
        (&again["clusterIPs"], &again["ipFamilies"]),
        (&json!([first]), &json!(["IPv4"]))
    );
    let taken = create(&services, "t", wants).await.unwrap();
    assert_eq!(taken["ipFamilies"], json!(["IPv6"]));
    let named = json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]});
    let turned = create(&services, "u", named).await.unwrap();
    assert!(turned["clusterIP"].as_str().unwrap().starts_with("fd00:32::"));
    assert!(turned["clusterIPs"][1].as_str().unwrap().starts_with("10.32.0."));
    assert_eq!(
        why(patch(&services, "t", json!({"clusterIP": "fd00:32::77"})).await),
        "422 Service \"t\" is invalid: spec.clusterIPs[0]: Invalid value: [\"fd00:32::77\"]: may not change once set"
    );
}

#[tokio::test]
async fn the_default_range_gets_the_second_family_when_the_flag_has_it() {
    let etcd = Etcd::start().await.unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let single = ["--service-cluster-ip-range=10.32.0.0/24"];
    let dual = ["--service-cluster-ip-range=10.32.0.0/24,fd00:32::/112"];
    for (flags, expected) in [
        (&single, vec!["10.32.0.0/24"]),
        (&dual, vec!["10.32.0.0/24", "fd00:32::/112"]),
        // Addresses of the second family may be in use.
        (&single, vec!["10.32.0.0/24", "fd00:32::/112"]),
    ] {
        let server = ApiServer::start(binary, &etcd, flags).await.unwrap();
        let ranges: Api<ServiceCIDR> = Api::all(server.admin().await.unwrap());
        let range = ranges.get("kubernetes").await.unwrap();
        assert_eq!(range.spec.unwrap().cidrs.unwrap(), expected, "{flags:?}");
    }
}

/// Who was told another range, of ports or of addresses, gives nothing that a server told the first one could give, too.
#[tokio::test]
async fn servers_that_were_told_different_ranges_give_nothing_twice() {
    let (etcd, first, services) = started(&[]).await;
    let port = |port: u16| json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    create(&services, "a", port(30500)).await.unwrap();
    let flags = [
        "--service-node-port-range=29000-31000",
        "--service-cluster-ip-range=10.96.0.0/24",
    ];
    let binary = Path::new(env!("CARGO_BIN_EXE_kube-apiserver"));
    let second = ApiServer::start(binary, &etcd, &flags).await.unwrap();
    let elsewhere: Api<Service> = Api::namespaced(second.admin().await.unwrap(), "default");
    // Ports go by their numbers: the second server has taken the set over.
    assert!(why(create(&elsewhere, "b", port(30500)).await).ends_with("provided port is already allocated"));
    let made = create(&elsewhere, "b", port(29500)).await.unwrap();
    let address = made["clusterIP"].as_str().unwrap();
    assert!(address.starts_with("10.32.0."), "{address}");
    assert_eq!(
        why(create(&services, "c", port(30600)).await),
        "422 Service \"c\" is invalid: spec.ports[0].nodePort: Invalid value: 30600: the provided range does not match the current range"
    );
    assert_eq!(
        why(create(&elsewhere, "c", json!({"clusterIP": "10.96.0.77"})).await),
        "422 Service \"c\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.77\"]: failed to allocate IP 10.96.0.77: the provided network does not match the current range"
    );
    // The first one is told what no longer fits when it looks the next time.
    let mut first = first;
    first.restart(binary, &etcd, &[]).await.unwrap();
    let events: Api<Event> = Api::default_namespaced(first.admin().await.unwrap());
    testkit::eventually(std::time::Duration::from_secs(20), "both are told", async || {
        let told: Vec<(Option<String>, Option<String>)> = events
            .list(&Default::default())
            .await
            .unwrap()
            .into_iter()
            .map(|event| (event.reason, event.message))
            .collect();
        let wanted = [
            ("PortOutOfRange", "Port 29500 is not within the port range 30000-32767; please recreate service"),
            (
                "KubernetesDefaultServiceCIDRInconsistent",
                "The default ServiceCIDR [10.32.0.0/24] does not match the controller flag configurations [10.96.0.0/24]",
            ),
        ];
        let is_told = |(reason, message): &(&str, &str)| {
            let wanted = (Some((*reason).to_owned()), Some((*message).to_owned()));
            told.contains(&wanted)
        };
        (!wanted.iter().all(is_told)).then(|| format!("{told:?}"))
    })
    .await;
}
