//! kube-rs: every kind, and the life of an operator.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use anyhow::{Context, Result, bail, ensure};
use clients::sample::{self, Sample};
use clients::server;
use futures::StreamExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::json;
use std::time::Duration;

const WATCHED: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_kind_lives_through_all_verbs() {
    let running = server::start().await.unwrap();
    let client = running.api.admin().await.unwrap();
    let samples = sample::all().unwrap();
    let mut failures = Vec::new();
    for sample in &samples {
        if let Err(error) = life(&client, sample).await {
            failures.push(format!("{} {}: {error:#}", sample.api_version(), sample.kind()));
        }
    }
    assert!(samples.len() >= 59, "samples are missing");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

async fn life(client: &Client, sample: &Sample) -> Result<()> {
    let (group, version) = sample.group_version();
    let kind = GroupVersionKind::gvk(group, version, sample.kind());
    let (resource, capabilities) = pinned_kind(client, &kind).await?;
    let objects: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::default_namespaced_with(client.clone(), &resource),
    };
    let name = sample.name();
    let before = objects.list(&ListParams::default()).await?;
    let since = before
        .metadata
        .resource_version
        .context("a list has no version")?;
    let selected = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = objects.watch(&selected, &since).await?.boxed();

    let created = objects
        .create(&PostParams::default(), &serde_json::from_value(sample.0.clone())?)
        .await
        .context("create")?;
    ensure!(created.metadata.uid.is_some(), "created without a uid");
    let patch = |what: &str| json!({ "metadata": { "annotations": { what: "yes" } } });
    let parameters = PatchParams::default();
    objects
        .patch(
            name,
            &parameters,
            &Patch::<()>::Json(serde_json::from_value(json!([
                { "op": "add", "path": "/metadata/annotations", "value": { "json": "yes" } }
            ]))?),
        )
        .await
        .context("JSON patch")?;
    objects
        .patch(name, &parameters, &Patch::Merge(patch("merge")))
        .await
        .context("merge patch")?;
    objects
        .patch(name, &parameters, &Patch::Strategic(patch("strategic")))
        .await
        .context("strategic merge patch")?;
    let applied = objects
        .patch(
            name,
            &PatchParams::apply("every-kind"),
            &Patch::Apply(json!({
                "apiVersion": sample.api_version(), "kind": sample.kind(),
                "metadata": { "name": name, "labels": { "applied": "yes" } },
            })),
        )
        .await
        .context("apply")?;
    for annotation in ["json", "merge", "strategic"] {
        ensure!(
            applied
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|all| all.contains_key(annotation)),
            "the {annotation} patch is lost"
        );
    }
    replace(&objects, name).await.context("replace")?;
    let listed = objects
        .list(&ListParams::default().labels("applied=yes"))
        .await
        .context("list")?;
    ensure!(
        listed
            .items
            .iter()
            .any(|item| item.metadata.name.as_deref() == Some(name)),
        "not listed"
    );
    delete(client, &objects, sample).await.context("delete")?;

    let mut seen = Vec::new();
    loop {
        let event = tokio::time::timeout(WATCHED, events.next())
            .await
            .with_context(|| format!("no deletion among the events {seen:?}"))?
            .with_context(|| format!("the watch ended after {seen:?}"))??;
        match event {
            WatchEvent::Added(_) => seen.push("ADDED"),
            WatchEvent::Modified(_) => seen.push("MODIFIED"),
            WatchEvent::Deleted(_) => break,
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("the watch failed: {status:?}"),
        }
    }
    ensure!(
        seen.first() == Some(&"ADDED") && seen.len() >= 6,
        "events {seen:?}"
    );
    ensure!(!seen[1..].contains(&"ADDED"), "events {seen:?}");
    Ok(())
}

/// Reads it and writes it back changed; again when a controller was faster.
async fn replace(objects: &Api<DynamicObject>, name: &str) -> Result<()> {
    loop {
        let mut changed = objects.get(name).await?;
        let annotations = changed.metadata.annotations.get_or_insert_default();
        annotations.insert("replaced".to_owned(), "yes".to_owned());
        match objects.replace(name, &PostParams::default(), &changed).await {
            Err(kube::Error::Api(status)) if status.reason == "Conflict" => {}
            outcome => return outcome.map(|_| ()).map_err(Into::into),
        }
    }
}

/// Deletes it, and takes over the controllers' part for objects that are held by finalizers.
async fn delete(client: &Client, objects: &Api<DynamicObject>, sample: &Sample) -> Result<()> {
    let name = sample.name();
    objects.delete(name, &DeleteParams::default()).await?;
    let Some(mut left) = objects.get_opt(name).await? else {
        return Ok(());
    };
    ensure!(
        left.metadata.deletion_timestamp.is_some(),
        "still there, and not being deleted"
    );
    if sample.kind() == "Namespace" {
        left.data["spec"]["finalizers"] = json!([]);
        let request = kube::client::Body::from(serde_json::to_vec(&left)?);
        let request = http::Request::put(format!("/api/v1/namespaces/{name}/finalize"))
            .header("content-type", "application/json")
            .body(request)?;
        client.send(request).await?;
    } else {
        let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        match objects.patch(name, &PatchParams::default(), &released).await {
            // Its own controller was faster.
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => {}
            outcome => outcome.map(|_| ())?,
        }
    }
    Ok(())
}
