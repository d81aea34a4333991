//! Operators as people write them: custom resources, webhooks, finalizers, leader election.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use clients::process::Process;
use clients::{python, server};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

fn greeting_resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("sample.example", "v1", "Greeting"))
}

fn greetings(client: &Client) -> Api<DynamicObject> {
    Api::default_namespaced_with(client.clone(), &greeting_resource())
}

fn greeting(name: &str, spec: serde_json::Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &greeting_resource());
    object.data = json!({ "spec": spec });
    object
}

/// Defines the custom resource and waits until it is served.
async fn define(client: &Client) {
    let definition: CustomResourceDefinition =
        serde_yaml_ng::from_str(include_str!("../greetings.yaml")).unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions
        .create(&PostParams::default(), &definition)
        .await
        .unwrap();
    let established = await_condition(
        definitions,
        "greetings.sample.example",
        conditions::is_crd_established(),
    );
    tokio::time::timeout(WITHIN, established).await.unwrap().unwrap();
}

/// Waits until the object meets the condition; says what was last seen.
async fn until<K>(objects: &Api<K>, name: &str, what: &str, met: impl Fn(Option<&K>) -> bool)
where
    K: Clone + std::fmt::Debug + for<'de> serde::Deserialize<'de> + Send + Sync + 'static + kube::Resource,
    K::DynamicType: Default,
{
    let reached = await_condition(objects.clone(), name, |object: Option<&K>| met(object));
    if tokio::time::timeout(WITHIN, reached).await.is_err() {
        panic!("{what}: {:?}", objects.get_opt(name).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_written_with_kopf_lives_its_life() {
    let running = server::start().await.unwrap();
    let client = running.api.admin().await.unwrap();
    define(&client).await;
    running.api.pki().leaf("webhook", "webhook", &[]).unwrap();
    let mut command = std::process::Command::new(python::interpreter().unwrap());
    let port = testkit::etcd::free_ports(1).unwrap()[0];
    command
        .args(["-m", "kopf", "run", "--standalone", "--namespace", "default"])
        .arg(python::path("operator_kopf.py"))
        .env(
            "KUBECONFIG",
            running.api.kubeconfig("admin", &["system:masters"]).unwrap(),
        )
        .env("CERTIFICATES", running.api.pki().file(""))
        .env("PORT", port.to_string())
        .env("PYTHONUNBUFFERED", "1");
    let operator = Process::start(command).unwrap();
    operator
        .says("Reconfiguring the validating webhook", WITHIN)
        .unwrap();

    // The webhook: refuses with its own words and code once its configuration is in force.
    let objects = greetings(&client);
    let rude = greeting("rude", json!({ "text": "a curse" }));
    let deadline = tokio::time::Instant::now() + WITHIN;
    let refused = loop {
        match objects
            .create(
                &PostParams {
                    dry_run: true,
                    ..PostParams::default()
                },
                &rude,
            )
            .await
        {
            Err(kube::Error::Api(status)) => break status,
            other => assert!(tokio::time::Instant::now() < deadline, "not refused: {other:?}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.code, 422, "{refused:?}");
    assert!(refused.message.contains("greetings are polite"), "{refused:?}");

    // Creation: defaults, the child with its owner, the status.
    objects
        .create(
            &PostParams::default(),
            &greeting("hello", json!({ "text": "hello" })),
        )
        .await
        .unwrap();
    let children: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let text = |wanted: &'static str| {
        move |child: Option<&ConfigMap>| {
            child.and_then(|child| child.data.as_ref()?.get("text").map(String::as_str)) == Some(wanted)
        }
    };
    until(&children, "hello", "the child is made", text("hello")).await;
    let child = children.get("hello").await.unwrap();
    assert_eq!(child.owner_references()[0].kind, "Greeting");
    wait_for(&objects, "hello", "the status is set", |object| {
        object.is_some_and(|object| object.data["status"]["phase"] == "Ready")
    })
    .await;
    let seen = objects.get("hello").await.unwrap();
    assert_eq!(seen.data["spec"]["times"], 1, "not defaulted");
    assert!(!seen.finalizers().is_empty(), "kopf put no finalizer");

    // Update and deletion.
    objects
        .patch(
            "hello",
            &PatchParams::default(),
            &Patch::Merge(json!({ "spec": { "times": 2 } })),
        )
        .await
        .unwrap();
    until(&children, "hello", "the child follows", text("hello hello")).await;
    objects.delete("hello", &DeleteParams::default()).await.unwrap();
    until(
        &children,
        "hello-farewell",
        "the finalizer's work is done",
        text("goodbye"),
    )
    .await;
    wait_for(&objects, "hello", "the object goes", |object| object.is_none()).await;
    println!("{}", operator.output());
}

/// [`until`] for custom resources, whose type is known at run time only.
async fn wait_for(
    objects: &Api<DynamicObject>,
    name: &str,
    what: &str,
    met: impl Fn(Option<&DynamicObject>) -> bool,
) {
    let selected = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut seen = watcher::watch_object(objects.clone(), name).boxed();
    let reached = async {
        while let Some(object) = seen.next().await {
            if let Ok(object) = object
                && met(object.as_ref())
            {
                return;
            }
        }
    };
    if tokio::time::timeout(WITHIN, reached).await.is_err() {
        panic!("{what} ({selected:?}): {:?}", objects.get_opt(name).await);
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

/// The kube-rs operator's step for one object.
async fn reconcile(object: Arc<DynamicObject>, client: Arc<Client>) -> Result<Action, Failed> {
    let objects = greetings(&client);
    let children: Api<ConfigMap> = Api::default_namespaced((*client).clone());
    finalizer(&objects, "sample.example/farewell", object, |event| async {
        match event {
            Event::Apply(object) => {
                let name = object.name_any();
                let child = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": { "name": name, "ownerReferences": [{
                        "apiVersion": "sample.example/v1", "kind": "Greeting", "name": name,
                        "uid": object.uid(), "controller": true,
                    }] },
                    "data": { "text": object.data["spec"]["text"] },
                });
                let apply = PatchParams::apply("greeter").force();
                children.patch(&name, &apply, &Patch::Apply(child)).await?;
                let status = json!({
                    "apiVersion": "sample.example/v1", "kind": "Greeting",
                    "status": { "phase": "Ready", "observedGeneration": object.metadata.generation },
                });
                objects.patch_status(&name, &apply, &Patch::Apply(status)).await?;
            }
            Event::Cleanup(object) => {
                let farewell = ConfigMap {
                    metadata: kube::core::ObjectMeta {
                        name: Some(format!("{}-farewell", object.name_any())),
                        ..Default::default()
                    },
                    ..ConfigMap::default()
                };
                children.create(&PostParams::default(), &farewell).await?;
            }
        }
        Ok::<_, kube::Error>(Action::await_change())
    })
    .await
    .map_err(|error| Failed(error.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_written_with_kube_rs_lives_its_life() {
    let running = server::start().await.unwrap();
    let client = running.api.admin().await.unwrap();
    define(&client).await;
    let objects = greetings(&client);
    let children: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let controller = Controller::new_with(objects.clone(), watcher::Config::default(), greeting_resource())
        .owns(children.clone(), watcher::Config::default())
        .run(
            reconcile,
            |_, error, _| {
                println!("reconcile: {error}");
                Action::requeue(Duration::from_millis(200))
            },
            Arc::new(client.clone()),
        )
        .try_for_each(|_| async { Ok(()) });
    let life = async {
        objects
            .create(
                &PostParams::default(),
                &greeting("hello", json!({ "text": "hello" })),
            )
            .await
            .unwrap();
        wait_for(&objects, "hello", "the status is set", |object| {
            object.is_some_and(|object| object.data["status"]["observedGeneration"] == 1)
        })
        .await;
        // A child that somebody removes is made again.
        let first = children.get("hello").await.unwrap().uid();
        children.delete("hello", &DeleteParams::default()).await.unwrap();
        until(
            &children,
            "hello",
            "the child is made again",
            |child: Option<&ConfigMap>| child.is_some_and(|child| child.uid() != first),
        )
        .await;
        objects
            .patch(
                "hello",
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": { "text": "good morning" } })),
            )
            .await
            .unwrap();
        wait_for(&objects, "hello", "the status follows the generation", |object| {
            object.is_some_and(|object| object.data["status"]["observedGeneration"] == 2)
        })
        .await;
        let child = children.get("hello").await.unwrap();
        assert_eq!(child.data.unwrap()["text"], "good morning");
        objects.delete("hello", &DeleteParams::default()).await.unwrap();
        wait_for(&objects, "hello", "the object goes", |object| object.is_none()).await;
        children.get("hello-farewell").await.unwrap();
    };
    tokio::select! {
        ended = controller => panic!("the operator ended: {ended:?}"),
        () = life => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_of_the_python_client_is_followed_by_the_other_candidate() {
    let running = server::start().await.unwrap();
    let kubeconfig = running.api.kubeconfig("admin", &["system:masters"]).unwrap();
    let candidate = |identity: &str| {
        let mut command = python::script("leader.py").unwrap();
        command.arg(&kubeconfig).arg(identity);
        Process::start(command).unwrap()
    };
    let first = candidate("first");
    first.says("leading", WITHIN).unwrap();
    let second = candidate("second");
    second.says("lease held by first", WITHIN).unwrap();
    drop(first);
    second.says("leading", WITHIN).unwrap();
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> =
        Api::default_namespaced(running.api.admin().await.unwrap());
    let lease = leases.get("operator").await.unwrap().spec.unwrap();
    assert_eq!(lease.holder_identity.as_deref(), Some("second"));
}
