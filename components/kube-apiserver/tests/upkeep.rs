//! What an API server keeps right by itself: who else is alive, addresses of services, objects that every cluster has.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
/// A lease runs out after fifteen seconds, and is looked at every ten.
const PATIENCE: Duration = Duration::from_secs(45);

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    testkit::eventually(PATIENCE, what, async || {
        (!is_so().await).then(|| "not yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_died_leaves_the_endpoints() {
    let etcd = Etcd::start().await.unwrap();
    let first = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let mut second = ApiServer::start(Path::new(BINARY), &etcd, &["--advertise-address=192.0.2.3"])
        .await
        .unwrap();
    let admin = first.admin().await.unwrap();
    let endpoints: Api<Endpoints> = Api::default_namespaced(admin.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(admin.clone());
    let addresses = async || {
        let subsets = endpoints.get("kubernetes").await.unwrap().subsets.unwrap();
        let of_endpoints = subsets[0]
            .addresses
            .clone()
            .unwrap()
            .into_iter()
            .map(|one| one.ip);
        let slice = slices.get("kubernetes").await.unwrap();
        let of_slice = slice.endpoints.unwrap_or_default();
        let of_slice = of_slice.into_iter().flat_map(|endpoint| endpoint.addresses);
        (of_endpoints.collect::<Vec<_>>(), of_slice.collect::<Vec<_>>())
    };
    let both = || vec!["192.0.2.2".to_owned(), "192.0.2.3".to_owned()];
    eventually("both are told", async || addresses().await == (both(), both())).await;
    second.kill();
    let one = || vec!["192.0.2.2".to_owned()];
    eventually("the dead one is gone", async || {
        addresses().await == (one(), one())
    })
    .await;
}

#[tokio::test]
async fn servers_have_leases_and_those_of_lost_ones_go() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let leases: Api<Lease> = Api::namespaced(server.admin().await.unwrap(), "kube-system");
    let labelled = ListParams::default().labels("apiserver.kubernetes.io/identity=kube-apiserver");
    eventually("the lease is there", async || {
        leases.list(&labelled).await.unwrap().items.len() == 1
    })
    .await;
    let own = leases.list(&labelled).await.unwrap().items.remove(0);
    let name = own.metadata.name.clone().unwrap();
    let spec = own.spec.unwrap();
    assert!(name.starts_with("apiserver-") && name.len() == 36, "{name}");
    assert!(spec.holder_identity.unwrap().starts_with(&format!("{name}_")));
    assert_eq!(spec.lease_duration_seconds, Some(3600));
    assert!(
        own.metadata
            .labels
            .unwrap()
            .contains_key("kubernetes.io/hostname")
    );
    assert_eq!(
        own.metadata.managed_fields.unwrap()[0].manager.as_deref(),
        Some("kube-apiserver")
    );

    let lost = |name: &str, labels: Value| {
        let lease = json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "holderIdentity": "x", "leaseDurationSeconds": 3600, "renewTime": "2020-01-01T00:00:00.000000Z" },
        });
        serde_json::from_value::<Lease>(lease).unwrap()
    };
    let of_servers = json!({ "apiserver.kubernetes.io/identity": "kube-apiserver" });
    for lease in [lost("apiserver-lost", of_servers), lost("election", json!({}))] {
        leases.create(&PostParams::default(), &lease).await.unwrap();
    }
    server.kill();
    server.restart(Path::new(BINARY), &etcd, &[]).await.unwrap();
    eventually("the lost server's lease is gone", async || {
        leases.get_opt("apiserver-lost").await.unwrap().is_none()
    })
    .await;
    assert!(
        leases.get_opt("election").await.unwrap().is_some(),
        "somebody else's"
    );
    eventually("the server has taken its lease again", async || {
        let now = leases.get(&name).await.unwrap().spec.unwrap();
        now.renew_time > spec.renew_time
    })
    .await;
}

#[tokio::test]
async fn authorities_are_published_beside_those_of_other_servers() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "kube-system");
    let name = "extension-apiserver-authentication";
    let told = async || {
        let map = maps.get_opt(name).await.unwrap();
        map.and_then(|map| map.data?.remove("client-ca-file"))
            .unwrap_or_default()
    };
    eventually("the authority is told", async || !told().await.is_empty()).await;
    let own = told().await;
    let folder = tempfile::tempdir().unwrap();
    let pki = testkit::cluster_pki::ClusterPki::write(folder.path()).unwrap();
    let other = std::fs::read_to_string(pki.file("ca.crt")).unwrap();
    // An API server with other files wrote what is its own, and somebody spoilt the rest.
    let of_other = Patch::Merge(json!({ "data": { "client-ca-file": other, "junk": "x" } }));
    maps.patch(name, &PatchParams::default(), &of_other)
        .await
        .unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let both = [lines(&other), lines(&own)].concat();
    eventually("both are told", async || lines(&told().await) == both).await;
    let map = maps.get(name).await.unwrap();
    assert!(!map.data.unwrap().contains_key("junk"));
    // Whoever is to forget one deletes the object.
    maps.delete(name, &DeleteParams::default()).await.unwrap();
    eventually("its own is told again", async || told().await == own).await;
}

#[tokio::test]
async fn since_when_tokens_are_tracked_is_told() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(server.admin().await.unwrap(), "kube-system");
    let name = "kube-apiserver-legacy-service-account-token-tracking";
    let today = async || {
        let map = maps.get_opt(name).await.unwrap();
        let since = map.and_then(|map| map.data?.remove("since"));
        since.is_some_and(|since| since.len() == 10 && since.starts_with("20"))
    };
    eventually("the date is there", &today).await;
    let nonsense = Patch::Merge(json!({ "data": { "since": "once" } }));
    maps.patch(name, &PatchParams::default(), &nonsense)
        .await
        .unwrap();
    server.kill();
    server.restart(Path::new(BINARY), &etcd, &[]).await.unwrap();
    eventually("the date is right again", &today).await;
}

#[tokio::test]
async fn the_kubernetes_service_has_the_port_of_the_last_server_that_started() {
    let etcd = Etcd::start().await.unwrap();
    let first = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let target = async |server: &ApiServer| {
        let services: Api<Service> = Api::default_namespaced(server.admin().await.unwrap());
        let spec = services.get("kubernetes").await.unwrap().spec.unwrap();
        serde_json::to_value(&spec.ports.unwrap()[0].target_port).unwrap()
    };
    assert_eq!(target(&first).await, json!(first.port()));
    let second = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    assert_eq!(target(&second).await, json!(second.port()));
}

#[tokio::test]
async fn the_default_range_of_services_comes_back() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let ranges: Api<ServiceCIDR> = Api::all(server.admin().await.unwrap());
    let first = ranges.get("kubernetes").await.unwrap().metadata.uid;
    ranges
        .delete("kubernetes", &DeleteParams::default())
        .await
        .unwrap();
    // Who looks after ranges is not there.
    let released = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    ranges
        .patch("kubernetes", &PatchParams::default(), &released)
        .await
        .unwrap();
    eventually("another one is there, and ready", async || {
        let Ok(range) = ranges.get("kubernetes").await else {
            return false;
        };
        let conditions = range.status.unwrap().conditions.unwrap();
        range.metadata.uid != first && conditions[0].status == "True"
    })
    .await;
}

#[tokio::test]
async fn an_address_is_recorded_for_the_service_that_has_it() {
    let etcd = Etcd::start().await.unwrap();
    let mut server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let services: Api<Service> = Api::default_namespaced(admin.clone());
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let service = services
        .create(&PostParams::default(), &serde_json::from_value(service).unwrap())
        .await
        .unwrap();
    let address = service.spec.unwrap().cluster_ip.unwrap();
    // As if it had been given to another one long ago; and one that nobody has.
    let mut direct = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    let key = |address: &str| format!("/registry/ipaddresses/{address}");
    let stored = direct.get(key(&address), None).await.unwrap();
    let mut record: Value = serde_json::from_slice(stored.kvs()[0].value()).unwrap();
    // Nobody knows any more which ports are taken.
    let ports = "/registry/ranges/servicenodeports";
    let node_port = json!({"metadata": {"name": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let node_port = serde_json::from_value(node_port).unwrap();
    let made = services.create(&PostParams::default(), &node_port).await.unwrap();
    direct.delete(ports, None).await.unwrap();
    // A record that has lost its labels.
    let bare = made.spec.unwrap().cluster_ip.unwrap();
    let unlabelled = direct.get(key(&bare), None).await.unwrap();
    let mut unlabelled: Value = serde_json::from_slice(unlabelled.kvs()[0].value()).unwrap();
    unlabelled["metadata"]["labels"].take();
    direct
        .put(key(&bare), unlabelled.to_string(), None)
        .await
        .unwrap();
    record["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    record["spec"]["parentRef"]["name"] = json!("other");
    direct.put(key(&address), record.to_string(), None).await.unwrap();
    record["metadata"]["name"] = json!("10.32.0.254");
    record["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    direct
        .put(key("10.32.0.254"), record.to_string(), None)
        .await
        .unwrap();
    // It looks when it starts.
    server.restart(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let records: Api<IPAddress> = Api::all(server.admin().await.unwrap());
    eventually("the record names the service", async || {
        let Some(record) = records.get_opt(&address).await.unwrap() else {
            return false;
        };
        record.spec.parent_ref.name == "s"
    })
    .await;
    eventually("the other record is gone", async || {
        records.get_opt("10.32.0.254").await.unwrap().is_none()
    })
    .await;
    eventually("the labels are there again", async || {
        let labels = records
            .get(&bare)
            .await
            .unwrap()
            .metadata
            .labels
            .unwrap_or_default();
        labels
            .get("ipaddress.kubernetes.io/managed-by")
            .map(String::as_str)
            == Some("ipallocator.k8s.io")
            && labels
                .get("ipaddress.kubernetes.io/ip-family")
                .map(String::as_str)
                == Some("IPv4")
    })
    .await;
    let admin = server.admin().await.unwrap();
    let events: Api<Event> = Api::default_namespaced(admin.clone());
    eventually("the repairs are told", async || {
        let told: Vec<(String, String)> = events
            .list(&Default::default())
            .await
            .unwrap()
            .into_iter()
            .map(|event| (event.reason.unwrap(), event.message.unwrap()))
            .collect();
        let is_told = |reason: &str, message: String| told.contains(&(reason.to_owned(), message));
        is_told(
            "ClusterIPNotAllocated",
            format!("the ClusterIP [IPv4]: {address} for Service default/s has a wrong reference; repairing"),
        ) && is_told(
            "IPAddressNotAllocated",
            "IPAddress: 10.32.0.254 for Service default/other appears to have leaked: cleaning up".to_owned(),
        ) && told.iter().any(|(reason, _)| reason == "PortNotAllocated")
    })
    .await;
    eventually("the repairs are counted", async || {
        let request = http::Request::get("/metrics").body(vec![]).unwrap();
        let metrics = admin.request_text(request).await.unwrap();
        let has = |line: &str| metrics.lines().any(|found| found == line);
        has("apiserver_clusterip_repair_ip_errors_total{type=\"repair\"} 1")
            && has("apiserver_clusterip_repair_ip_errors_total{type=\"leak\"} 1")
            && has("apiserver_clusterip_repair_reconcile_errors_total 0")
            && has("apiserver_nodeport_repair_port_errors_total{type=\"repair\"} 1")
            && has("apiserver_nodeport_repair_reconcile_errors_total 0")
    })
    .await;
}
