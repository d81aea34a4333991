//! pods/eviction: deletion that disruption budgets may refuse.

mod budget;
mod mark;

use crate::admission::{self, Attributes, Operation};
use crate::media;
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::stores;
use crate::verbs::body;
use crate::verbs::delete::delete_one;
use crate::verbs::options::{self, DeleteOptions};
use crate::verbs::target::Target;
use apimachinery::{ApiError, GroupVersionKind, Reason, meta, status};
use budget::Verdict;
use http::StatusCode;
use serde_json::Value;

/// How often a pod is looked at that changes while it is deleted, upstream's.
const TRIES: usize = 20;

pub async fn evict(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let options = options::write(request, "CreateOptions", false)?;
    let kind = GroupVersionKind::new("policy", "v1", "Eviction");
    let mut eviction = body::object(&target.row, &kind, request, &options)?;
    metadata::wipe_system_fields(&mut eviction);
    metadata::ensure_namespace(&target.row, &target.namespace, &mut eviction)?;
    let attributes = Attributes::of_write(request, target, Operation::Create, &options);
    admission::mutate(server, &attributes, &mut eviction, None).await?;
    if meta::name(&eviction) != target.name {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let asked: Vec<&str> = request
        .query
        .all("dryRun")
        .filter(|value| !value.is_empty())
        .collect();
    let delete = delete_options(&eviction, &asked)?;
    admission::validate(server, &attributes, Some(&eviction), None).await?;
    if let Some(pod) = delete_unguarded(server, target, &delete).await? {
        delete_guarded(server, target, &delete, &pod).await?;
    }
    let status = status::success(None);
    present::value(request, &kind, &accepted, StatusCode::CREATED, &status)
}

/// The options of the deletion, which is a dry run if the eviction is. They are checked where a pod is about to be deleted.
fn delete_options(eviction: &Value, asked: &[&str]) -> Result<DeleteOptions, ApiError> {
    let body = eviction.get("deleteOptions").filter(|body| body.is_object());
    let mut delete = DeleteOptions::of_body(body.unwrap_or(&Value::Null));
    if delete.dry_runs.is_empty() {
        delete.dry_runs = asked.iter().map(|value| (*value).to_owned()).collect();
    } else if !asked.is_empty() && delete.dry_runs != asked {
        let (asked, given) = (asked.join(" "), delete.dry_runs.join(" "));
        return Err(ApiError::new(
            500,
            Reason::Unknown,
            format!("Non-matching dry-run options in request and content: [{asked}] and [{given}]"),
            None,
        ));
    }
    delete.dry_run = !delete.dry_runs.is_empty();
    Ok(delete)
}

async fn read(target: &Target) -> Result<Value, ApiError> {
    let pod = target
        .store
        .get(&target.namespace, &target.name, storage::RequestedRevision::Unset)
        .await
        .map_err(|error| target.error(error))?;
    stores::parse(&pod).map_err(ApiError::internal)
}

/// Deletes a pod that budgets have nothing to do with; gives one that they guard.
async fn delete_unguarded(
    server: &Server,
    target: &Target,
    wanted: &DeleteOptions,
) -> Result<Option<Value>, ApiError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let pod = read(target).await?;
        if !evicts_freely(&pod) {
            return Ok(Some(pod));
        }
        // A pending pod may become ready meanwhile.
        let pinned = !is_going(&pod) && wanted.resource_version.is_none();
        let mut delete = wanted.clone();
        if pinned {
            delete.resource_version = Some(meta::resource_version(&pod).to_owned());
        }
        match delete_marked(server, target, delete).await {
            Ok(()) => return Ok(None),
            Err(error)
                if error.reason() == Reason::Conflict
                    && pinned
                    && tries < TRIES
                    && wanted.uid.as_deref().is_none_or(|uid| uid == meta::uid(&pod)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Deletes a pod if its budget allows.
async fn delete_guarded(
    server: &Server,
    target: &Target,
    wanted: &DeleteOptions,
    pod: &Value,
) -> Result<(), ApiError> {
    let Verdict::Unhealthy(budget) = budget::ask(server, target, pod, wanted.dry_run).await? else {
        return delete_marked(server, target, wanted.clone()).await;
    };
    // The pod wasn't counted because it isn't ready: it may go only as it was then.
    let mut delete = wanted.clone();
    delete.resource_version = Some(meta::resource_version(pod).to_owned());
    match delete_marked(server, target, delete).await {
        Err(error) if error.reason() == Reason::Conflict && wanted.resource_version.is_none() => {
            Err(budget::not_yet_known(&budget))
        }
        outcome => outcome,
    }
}

async fn delete_marked(server: &Server, target: &Target, mut delete: DeleteOptions) -> Result<(), ApiError> {
    if !delete.dry_run {
        let marked = mark::mark(target, &delete).await?;
        // The mark made a new version of the same pod.
        if delete.resource_version.is_some() {
            delete.resource_version = Some(marked);
        }
    }
    delete.check()?;
    delete_one(server, target, &delete, None).await?;
    Ok(())
}

/// Finished, pending and terminating pods don't count for budgets.
fn evicts_freely(pod: &Value) -> bool {
    is_going(pod) || pod["status"]["phase"] == "Pending"
}

/// Finished and terminating pods never get ready.
fn is_going(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
        || meta::deletion_timestamp(pod).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_eviction_is_a_dry_run_where_either_says_so() {
        let both = "Non-matching dry-run options in request and content: [All] and [All All]";
        for (body, asked, expected) in [
            (json!({}), &[][..], Ok(false)),
            (json!({}), &["All"], Ok(true)),
            (json!({"deleteOptions": null}), &["All"], Ok(true)),
            (json!({"deleteOptions": {}}), &["All"], Ok(true)),
            (json!({"deleteOptions": {"dryRun": ["All"]}}), &[], Ok(true)),
            // Refused later, by the check of the options.
            (json!({"deleteOptions": {"dryRun": ["Some"]}}), &[], Ok(true)),
            (json!({"deleteOptions": {"dryRun": ["All"]}}), &["All"], Ok(true)),
            (
                json!({"deleteOptions": {"dryRun": ["All", "All"]}}),
                &["All"],
                Err((500, both.to_owned())),
            ),
        ] {
            let found = delete_options(&body, asked)
                .map(|options| options.dry_run)
                .map_err(|error| (error.code(), error.message().to_owned()));
            assert_eq!(found, expected, "{body} {asked:?}");
        }
    }

    #[test]
    fn some_pods_are_nothing_to_budgets() {
        for (pod, freely, going) in [
            (json!({"status": {"phase": "Running"}}), false, false),
            (json!({"status": {}}), false, false),
            (json!({"status": {"phase": "Pending"}}), true, false),
            (json!({"status": {"phase": "Succeeded"}}), true, true),
            (json!({"status": {"phase": "Failed"}}), true, true),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}}),
                true,
                true,
            ),
        ] {
            assert_eq!((evicts_freely(&pod), is_going(&pod)), (freely, going), "{pod}");
        }
    }
}
