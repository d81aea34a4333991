//! delete and deletecollection: finalizers, grace periods, propagation.

mod body;

use super::list;
use super::options::DeleteOptions;
use super::target::{Target, check_key};
use super::write;
use crate::admission::{self, Attributes};
use crate::answer;
use crate::definitions::{self, conversion};
use crate::media::{self, Answer};
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::stores::Failure;
use api::Resource;
use apimachinery::managed_fields::Compact;
use apimachinery::status::{self, Details};
use apimachinery::{ApiError, GroupResource, meta};
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use storage::spans;
use storage::{Change, ObjectRef, Preconditions, StorageError, Updated};

/// Without these the control plane's own pods would have no priority.
const SYSTEM_PRIORITIES: [&str; 2] = ["system-node-critical", "system-cluster-critical"];
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";
const ORPHANED_PODS: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

pub async fn delete(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::Object)?;
    let options = body::options(request)?;
    if !request.body.is_empty() {
        spans::event("Decoded delete options");
        spans::event("Recorded the audit event");
    }
    check_key(&target.name)?;
    if target.row.gvk.group == "scheduling.k8s.io"
        && target.row.plural == "priorityclasses"
        && SYSTEM_PRIORITIES.contains(&target.name.as_str())
    {
        return Err(ApiError::forbidden(
            &target.resource(),
            &target.name,
            "this is a system priority class and cannot be deleted",
        ));
    }
    let attributes = Attributes::of_delete(request, target, &options);
    warn_of_orphans(request, target, &options);
    spans::event("About to delete object from database");
    let (object, gone) = delete_one(server, target, &options, Some((server, &attributes))).await?;
    spans::event("Object deleted from database");
    if gone {
        crate::services::release(server, &target.row, &object, options.dry_run).await;
    }
    if gone && !returns_object(&target.row) {
        let details = Details {
            name: meta::name(&object).to_owned(),
            group: target.row.gvk.group.clone(),
            kind: target.row.plural.clone(),
            uid: meta::uid(&object).to_owned(),
            ..Details::default()
        };
        let status = status::success(Some(details));
        return present::value(request, &target.row.gvk, &accepted, StatusCode::OK, &status);
    }
    let code = if !gone && options.orphan_dependents == Some(false) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let object = object.into_whole();
    present::told(request, &target.row.gvk, &accepted, || {
        let registry = server.registry.load();
        let shaped = present::shape_one(&registry, &target.row, object, &accepted.shape, request)?;
        Ok(answer::value(code, &shaped, &accepted))
    })
}

fn warn_of_orphans(request: &ApiRequest, target: &Target, options: &DeleteOptions) {
    if orphans_by_default(&target.row) && target.row.gvk.kind == "Job" && options.says_nothing_of_dependents()
    {
        request.warn(ORPHANED_PODS);
    }
}

/// Kinds whose deletion answers with the object that was deleted.
fn returns_object(row: &Resource) -> bool {
    if row.gvk.group == "resource.k8s.io" {
        return true;
    }
    if row.gvk.group == "storage.k8s.io" {
        return row.plural != "csistoragecapacities";
    }
    row.gvk.group.is_empty()
        && matches!(
            row.plural.as_str(),
            "pods"
                | "services"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "resourcequotas"
                | "serviceaccounts"
        )
}

/// Kinds whose dependents stay unless the client says otherwise, as they did before there was a choice.
fn orphans_by_default(row: &Resource) -> bool {
    matches!(
        (&*row.gvk.group, &*row.gvk.kind),
        ("", "ReplicationController") | ("batch", "Job")
    )
}

/// Deletes or marks one object; gives it as it is then, and whether it is gone. Admission is asked if given.
pub async fn delete_one(
    server: &Server,
    target: &Target,
    options: &DeleteOptions,
    admit: Option<(&Server, &Attributes<'_>)>,
) -> Result<(Compact, bool), ApiError> {
    let last: Mutex<Option<(Compact, bool)>> = Mutex::new(None);
    let decide = |current: Option<ObjectRef>| {
        let last = &last;
        async move {
            let Some(current) = current else {
                return Err(Failure::Api(write::missing(target)));
            };
            let old = conversion::compact(server, &target.row, &current).await?;
            check(target, options, &old)?;
            let waiting = left(&target.row, &old).is_some_and(|left| shorter(options, left).is_none());
            if let Some((server, attributes)) = admit.filter(|_| !waiting) {
                admission::remove(server, attributes, &old).await?;
            }
            let (mut object, gone) = plan(&target.row, options, &old, server.flags.enable_garbage_collector);
            let marks = object != old && (!gone || is_pod(&target.row));
            let change = match gone {
                _ if options.dry_run => Change::Nothing,
                _ if marks => Change::Write {
                    json: write::bytes_of(server, &target.row, &mut object).await?,
                    ttl: None,
                },
                true => Change::Delete,
                false => Change::Nothing,
            };
            *last.lock() = Some((object, gone));
            Ok::<Change, Failure>(change)
        }
    };
    let updated = target
        .store
        .update::<_, _, Failure>(&target.namespace, &target.name, &Preconditions::default(), decide)
        .await;
    let last = last.into_inner();
    match updated {
        Ok(Updated::Deleted(object)) => Ok((conversion::compact(server, &target.row, &object).await?, true)),
        Ok(Updated::Written(object) | Updated::Created(object)) => {
            let gone = last.is_some_and(|(_, gone)| gone);
            let object = match gone {
                true => remove_marked(target, object).await?,
                false => object,
            };
            Ok((conversion::compact(server, &target.row, &object).await?, gone))
        }
        Ok(Updated::Unchanged(_)) => last.ok_or_else(|| ApiError::internal("the deletion had no outcome")),
        Err(failure) => Err(failure.into_api_error(&target.resource(), &target.name)),
    }
}

/// Takes away a pod that was just marked, so that watchers see its end announced as any other; gives it as it last was.
async fn remove_marked(target: &Target, marked: ObjectRef) -> Result<ObjectRef, ApiError> {
    let removed = target.store.remove(&marked).await;
    if let Some(removed) = removed.map_err(|error| target.error(error))? {
        return Ok(removed);
    }
    // It has changed meanwhile, or somebody else was faster.
    let uid = marked.uid();
    let decide = |current: Option<ObjectRef>| async move {
        let same = current.is_some_and(|current| current.uid() == uid);
        Ok::<_, StorageError>(if same { Change::Delete } else { Change::Nothing })
    };
    let removed = target
        .store
        .update(&target.namespace, &target.name, &Preconditions::default(), decide)
        .await;
    match removed.map_err(|error| target.error(error))? {
        Updated::Deleted(removed) => Ok(removed),
        _ => Ok(marked),
    }
}

/// What the client requires of the object that is to go.
pub fn check(target: &Target, options: &DeleteOptions, old: &Value) -> Result<(), ApiError> {
    // Upstream's texts name the kind here, except for namespaces, which have a path of their own.
    let namespace = is_namespace(&target.row);
    let named = GroupResource::new(
        &*target.row.gvk.group,
        if namespace {
            &*target.row.plural
        } else {
            &*target.row.gvk.kind
        },
    );
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != meta::uid(old)) {
        let why = if namespace {
            format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta::uid(old)
            )
        } else {
            format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                meta::uid(old)
            )
        };
        return Err(ApiError::conflict(&named, &target.name, &why));
    }
    if let Some(version) = options
        .resource_version
        .as_deref()
        .filter(|version| *version != meta::resource_version(old))
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            meta::resource_version(old)
        );
        return Err(ApiError::conflict(&named, &target.name, &why));
    }
    Ok(())
}

fn is_namespace(row: &Resource) -> bool {
    row.gvk.group.is_empty() && row.plural == "namespaces"
}

/// What deleting does to the object: the object afterwards, and whether it is gone. Where nobody collects garbage nothing may
/// wait for it: only the finalizers that are there count then. Namespaces wait for their own controller in either case.
fn plan(row: &Resource, options: &DeleteOptions, old: &Compact, collected: bool) -> (Compact, bool) {
    let mut object = old.clone();
    if is_namespace(row) {
        return plan_namespace(options, object);
    }
    if row.gvk.group == definitions::GROUP && row.plural == definitions::PLURAL {
        // It stays until the objects that it defines are gone.
        let gone = meta::deletion_timestamp(old).is_some() && meta::finalizers(old).next().is_none();
        return match meta::deletion_timestamp(old) {
            None => {
                definitions::begin_deletion(&mut object);
                (object, false)
            }
            // Who deletes it again marks it as any other.
            Some(_) => {
                meta::set(&mut object, "deletionGracePeriodSeconds", 0);
                (object, gone)
            }
        };
    }
    let left = left(row, old);
    let shortened = left.and_then(|left| shorter(options, left));
    if left.is_some() && shortened.is_none() {
        // Its time is running, and nothing else about its end changes any more.
        return (object, false);
    }
    let finalizers = match collected {
        // Nothing depends on events.
        true if is_event(row) => without_dependents(old),
        true => finalizers_after(options, orphans_by_default(row), old),
        false => meta::finalizers(old).map(str::to_owned).collect(),
    };
    let deleting = meta::deletion_timestamp(old).is_some();
    set_finalizers(&mut object, &finalizers);
    if let (Some(left), Some(shortened)) = (left, shortened) {
        metadata::shorten_deletion(&mut object, left, shortened, jiff::Timestamp::now());
        return (object, shortened == 0 && finalizers.is_empty());
    }
    let grace = if deleting {
        0
    } else {
        grace_period(row, options, old)
    };
    if grace > 0 {
        metadata::mark_deleted(&mut object, grace);
        bump(&mut object);
        return (object, false);
    }
    if finalizers.is_empty() && !is_pod(row) {
        return (object, true);
    }
    if !deleting {
        metadata::mark_deleted(&mut object, 0);
        bump(&mut object);
    }
    (object, finalizers.is_empty())
}

/// Seconds of the grace period that a pod has which is being deleted already.
fn left(row: &Resource, old: &Value) -> Option<i64> {
    meta::deletion_timestamp(old)?;
    meta::deletion_grace_period_seconds(old).filter(|left| is_pod(row) && *left > 0)
}

/// The grace period that a client now asks for, if that is shorter.
fn shorter(options: &DeleteOptions, left: i64) -> Option<i64> {
    let wanted = options.grace_period_seconds?;
    // A negative period means as little as there is.
    let wanted = if wanted < 0 { 1 } else { wanted };
    (wanted < left).then_some(wanted)
}

fn is_pod(row: &Resource) -> bool {
    row.gvk.kind == "Pod" && row.gvk.group.is_empty()
}

/// Only kinds that count generations have one to add to.
fn bump(object: &mut Value) {
    if meta::generation(object) > 0 {
        metadata::bump_generation(object);
    }
}

fn plan_namespace(options: &DeleteOptions, mut object: Compact) -> (Compact, bool) {
    let finalizers = finalizers_after(options, false, &object);
    set_finalizers(&mut object, &finalizers);
    let spec_finalizers = object["spec"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if meta::deletion_timestamp(&object).is_none() {
        meta::set(
            &mut object,
            "deletionTimestamp",
            apimachinery::time::format_time(jiff::Timestamp::now()),
        );
        object["status"]["phase"] = json!("Terminating");
        return (object, false);
    }
    let gone = !spec_finalizers && finalizers.is_empty();
    (object, gone)
}

fn finalizers_after(options: &DeleteOptions, orphans: bool, old: &Value) -> Vec<String> {
    let mut finalizers: Vec<String> = meta::finalizers(old).map(str::to_owned).collect();
    let (orphan, foreground) = match (options.propagation_policy.as_deref(), options.orphan_dependents) {
        (Some("Orphan"), _) | (None, Some(true)) => (Some(true), Some(false)),
        (Some("Foreground"), _) => (Some(false), Some(true)),
        (Some(_), _) | (None, Some(false)) => (Some(false), Some(false)),
        // A client that set either finalizer before has decided.
        (None, None) if orphans && !finalizers.iter().any(|name| name == ORPHAN || name == FOREGROUND) => {
            (Some(true), None)
        }
        (None, None) => (None, None),
    };
    for (wanted, name) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
        let present = finalizers.iter().any(|finalizer| finalizer == name);
        match wanted {
            Some(true) if !present => finalizers.push(name.to_owned()),
            Some(false) => finalizers.retain(|finalizer| finalizer != name),
            _ => {}
        }
    }
    finalizers
}

fn is_event(row: &Resource) -> bool {
    row.gvk.kind == "Event" && row.custom.is_none()
}

/// The finalizers but for those that have to do with dependents.
fn without_dependents(old: &Value) -> Vec<String> {
    let kept = meta::finalizers(old).filter(|name| !matches!(*name, ORPHAN | FOREGROUND));
    kept.map(str::to_owned).collect()
}

fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        meta::remove(object, "finalizers");
    } else {
        meta::set(object, "finalizers", json!(finalizers));
    }
}

/// Seconds that the object still has; only pods that run somewhere get any.
fn grace_period(row: &Resource, options: &DeleteOptions, old: &Value) -> i64 {
    if !is_pod(row) {
        return 0;
    }
    let unscheduled = old["spec"]["nodeName"].as_str().unwrap_or("").is_empty();
    let finished = matches!(old["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unscheduled || finished {
        return 0;
    }
    let wanted = options
        .grace_period_seconds
        .or_else(|| old["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(30);
    // A negative period means as little as there is.
    if wanted < 0 { 1 } else { wanted }
}

/// Answers with the list of what was there, as it was then: also of what waits for its finalizers now, or was gone already.
pub async fn delete_collection(
    server: &Arc<Server>,
    request: &Arc<ApiRequest>,
    target: &Target,
) -> Result<Response, ApiError> {
    let accepted = media::negotiate(request, &target.row, Answer::List)?;
    let options = body::options(request)?;
    warn_of_orphans(request, target, &options);
    let page = list::page_to_delete(server, request, target).await?;
    for object in &page.items {
        let one = Target {
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            ..target.clone()
        };
        // As with upstream the request names no object, not even while each is looked at.
        let attributes = Attributes::of_delete(request, target, &options);
        match delete_one(server, &one, &options, Some((server, &attributes))).await {
            Ok((object, true)) => {
                crate::services::release(server, &target.row, &object, options.dry_run).await;
            }
            Ok((_, false)) => {}
            Err(error) if error.code() == 404 => {}
            Err(error) => return Err(error),
        }
    }
    spans::event("About to write a response");
    let answer = list::show(server, request, target, page, accepted).await;
    spans::event("Writing http response done");
    answer
}
