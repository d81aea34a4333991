//! API servers of one cluster that don't serve the same.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use testkit::api_server::ApiServer;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");
const PATIENCE: Duration = Duration::from_secs(60);
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    testkit::eventually(PATIENCE, what, async || {
        (!is_so().await).then(|| "not yet".to_owned())
    })
    .await;
}

/// A server that serves everything, and one on another host without CronJobs and without a group, which sends on.
struct Pair {
    whole: ApiServer,
    less: ApiServer,
}

impl Pair {
    async fn start(etcd: &Etcd) -> Self {
        let loopback = "--advertise-address=127.0.0.1";
        let whole = ApiServer::start(Path::new(BINARY), etcd, &[loopback])
            .await
            .unwrap();
        let authority = format!("--peer-ca-file={}", whole.pki().file("ca.crt").display());
        let flags = [
            loopback,
            &authority,
            "--runtime-config=batch/v1/cronjobs=false,node.k8s.io/v1=false",
        ];
        let less = whole
            .start_on("without-cronjobs", Path::new(BINARY), etcd, &flags)
            .await
            .unwrap();
        Self { whole, less }
    }
}

async fn groups(client: &kube::Client, accept: &str) -> Vec<Value> {
    let request = http::Request::get("/apis")
        .header("accept", accept)
        .body(Vec::new())
        .unwrap();
    let document: Value = client.request(request).await.unwrap();
    document["items"].as_array().unwrap().clone()
}

fn has(groups: &[Value], group: &str, resource: &str) -> bool {
    let group = groups.iter().find(|found| found["metadata"]["name"] == group);
    let versions = group.and_then(|group| group["versions"].as_array());
    let resources = versions
        .into_iter()
        .flatten()
        .flat_map(|version| version["resources"].as_array());
    resources.flatten().any(|found| found["resource"] == resource)
}

fn cron_job(name: &str) -> CronJob {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "schedule": "0 0 * * *", "jobTemplate": { "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "c", "image": "i" }],
        } } } } },
    }))
    .unwrap()
}

#[tokio::test]
async fn what_only_another_server_serves_is_asked_of_that_one() {
    let etcd = Etcd::start().await.unwrap();
    let Pair { mut whole, less } = Pair::start(&etcd).await;
    let client = less.admin().await.unwrap();
    eventually("discovery tells of both", async || {
        let groups = groups(&client, AGGREGATED).await;
        has(&groups, "batch", "cronjobs") && has(&groups, "node.k8s.io", "runtimeclasses")
    })
    .await;
    let alone = groups(&client, &format!("{AGGREGATED};profile=nopeer")).await;
    assert!(has(&alone, "batch", "jobs") && !has(&alone, "batch", "cronjobs"));
    assert!(
        !alone
            .iter()
            .any(|group| group["metadata"]["name"] == "node.k8s.io")
    );

    let jobs: Api<CronJob> = Api::default_namespaced(client.clone());
    let made = jobs
        .create(&PostParams::default(), &cron_job("nightly"))
        .await
        .unwrap();
    // A user other than the administrator is who he is there too.
    let nobody: Api<CronJob> = Api::default_namespaced(less.client("nobody", &[]).await.unwrap());
    let refused = nobody.get("nightly").await.unwrap_err().to_string();
    assert!(
        refused.contains("User \"nobody\" cannot get resource \"cronjobs\""),
        "{refused}"
    );
    {
        use futures::StreamExt;
        let from = made.metadata.resource_version.clone().unwrap();
        let mut events = std::pin::pin!(jobs.watch(&WatchParams::default(), &from).await.unwrap());
        jobs.create(&PostParams::default(), &cron_job("weekly"))
            .await
            .unwrap();
        let event = tokio::time::timeout(PATIENCE, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(matches!(event, WatchEvent::Added(job) if job.metadata.name.as_deref() == Some("weekly")));
    }
    // What nobody serves is not found, and what was sent on once is answered where it came to.
    let missing = client
        .request_text(
            http::Request::get("/apis/batch/v1/nonsense")
                .body(Vec::new())
                .unwrap(),
        )
        .await;
    assert!(missing.unwrap_err().to_string().contains("404"));
    let sent_on = http::Request::get("/apis/batch/v1/cronjobs").header("x-kubernetes-peer-proxied", "true");
    let answered = client.request_text(sent_on.body(Vec::new()).unwrap()).await;
    assert!(answered.unwrap_err().to_string().contains("404"));

    let metrics = client
        .request_text(http::Request::get("/metrics").body(Vec::new()).unwrap())
        .await
        .unwrap();
    for told in [
        r#"apiserver_rerouted_request_total{code="201",group="batch",version="v1",resource="cronjobs"} 2"#,
        r#"apiserver_rerouted_request_total{code="200",group="",version="",resource=""}"#,
        "aggregator_discovery_nopeer_requests_total 1",
    ] {
        assert!(metrics.contains(told), "{told} in {metrics}");
    }

    // The other one goes: its address runs out, and until then nobody answers there.
    whole.kill();
    eventually("it is told that nobody is there", async || {
        let refused = jobs.get("nightly").await.unwrap_err().to_string();
        refused.contains("Error getting ip and port info of the remote server")
    })
    .await;
}

#[tokio::test]
async fn a_custom_resource_that_is_gone_is_not_taken_from_another_server() {
    let etcd = Etcd::start().await.unwrap();
    let Pair { whole, less } = Pair::start(&etcd).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(whole.admin().await.unwrap());
    let definition: CustomResourceDefinition = serde_json::from_value(json!({
        "metadata": { "name": "things.example.com" },
        "spec": { "group": "example.com", "scope": "Cluster", "names": { "plural": "things", "kind": "Thing" },
            "versions": [{ "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object" } } }] },
    }))
    .unwrap();
    let client = less.admin().await.unwrap();
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    eventually("it is served", async || {
        has(&groups(&client, AGGREGATED).await, "example.com", "things")
    })
    .await;
    // One more server comes, so that the others are asked again while the resource is there.
    let authority = format!("--peer-ca-file={}", whole.pki().file("ca.crt").display());
    let third = whole
        .start_on(
            "third",
            Path::new(BINARY),
            &etcd,
            &["--advertise-address=127.0.0.1", &authority],
        )
        .await
        .unwrap();
    eventually("both know CronJobs", async || {
        has(&groups(&client, AGGREGATED).await, "batch", "cronjobs")
            && has(
                &groups(&third.admin().await.unwrap(), AGGREGATED).await,
                "batch",
                "cronjobs",
            )
    })
    .await;
    definitions
        .delete("things.example.com", &Default::default())
        .await
        .unwrap();
    eventually("it is gone", async || {
        !has(&groups(&client, AGGREGATED).await, "example.com", "things")
    })
    .await;
    let request = http::Request::get("/apis/example.com/v1/things")
        .body(Vec::new())
        .unwrap();
    assert!(
        client
            .request_text(request)
            .await
            .unwrap_err()
            .to_string()
            .contains("404")
    );
}

#[tokio::test]
async fn each_server_tells_where_it_is_reached_and_takes_it_away() {
    let etcd = Etcd::start().await.unwrap();
    let Pair { whole, mut less } = Pair::start(&etcd).await;
    drop(whole);
    let flags = ["--peer-advertise-ip=192.0.2.7"];
    let refused = less.restart(Path::new(BINARY), &etcd, &flags).await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("--peer-advertise-ip and --peer-advertise-port belong together"),
        "{refused:#}"
    );
    let flags = ["--peer-advertise-ip=192.0.2.7", "--peer-advertise-port=7000"];
    less.restart(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let client = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    let addresses = async || {
        let options = etcd_client::GetOptions::new().with_prefix();
        let found = client
            .clone()
            .get("/registry/peerserverleases/", Some(options))
            .await
            .unwrap();
        let value = |kv: &etcd_client::KeyValue| serde_json::from_slice::<Value>(kv.value()).unwrap();
        let told = |value: Value| {
            let subset = &value["subsets"][0];
            format!(
                "{}:{}",
                subset["addresses"][0]["ip"].as_str().unwrap(),
                subset["ports"][0]["port"]
            )
        };
        found.kvs().iter().map(value).map(told).collect::<Vec<_>>()
    };
    eventually("its address is there", async || {
        addresses().await == ["192.0.2.7:7000"]
    })
    .await;
    less.terminate(PATIENCE).unwrap();
    assert_eq!(addresses().await, [""; 0]);
}
