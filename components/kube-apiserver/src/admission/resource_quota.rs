//! ResourceQuota: what a namespace may use is counted before it is used.

mod decision;
mod known;
pub mod limited;

use super::{Attributes, Operation};
use crate::server::Server;
use crate::stores::{self, Failure};
use api::quota::{Counter, Surroundings, Usage, is_ignored};
use apimachinery::managed_fields::Writer;
use apimachinery::{ApiError, GroupResource, Reason, meta, time};
use decision::{Change as Counted, Refusal};
use known::KnownDevices;
use serde_json::Value;
use std::sync::Arc;
use storage::{Change, ObjectRef, Preconditions};

/// Who the counts belong to: upstream's server writes them as a client of its own.
const MANAGER: &str = "kube-apiserver";

/// Counts a new or grown object against every quota of its namespace.
pub async fn admit(
    server: &Server,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let Some(object) = object.filter(|_| attributes.row.namespaced) else {
        return Ok(());
    };
    let (group, plural) = (attributes.row.gvk.group.as_str(), attributes.row.plural.as_str());
    let known = KnownDevices { server };
    let counter = Counter {
        group,
        plural,
        surroundings: Surroundings {
            now: jiff::Timestamp::now().as_second(),
            pod_level: server.has_feature("PodLevelResources"),
            devices: server.has_feature("DRAExtendedResource").then_some(&known),
        },
    };
    if is_ignored(group, plural) || !handles(attributes, &counter, object, old) {
        return Ok(());
    }
    let limited = &server.admission.configuration.resource_quota;
    let bounds = &server.admission.bounds;
    let quotas = bounds.of(server, "resourcequotas", &attributes.namespace).await?;
    if quotas.is_empty() && limited.is_empty() {
        return Ok(());
    }
    let change = Counted {
        counter,
        object,
        old,
        enforced: attributes.subresource != "status",
    };
    let decided = match decision::decide(&change, &quotas, limited) {
        // The cache may not know yet what was given back a moment ago.
        Err(_) => {
            let newest = server
                .stores
                .newest_list("", "resourcequotas", &attributes.namespace)
                .await
                .map_err(ApiError::internal)?;
            decision::decide(&change, &newest, limited)
                .map(|more| charges(&newest, more))
                .map_err(|refusal| refuse(attributes, refusal))?
        }
        Ok(more) => charges(&quotas, more),
    };
    if attributes.dry_run {
        return Ok(());
    }
    for (name, more) in decided {
        charge(server, attributes, &name, &more, change.enforced).await?;
    }
    Ok(())
}

/// Whether the request can use anything more.
fn handles(attributes: &Attributes<'_>, counter: &Counter<'_>, object: &Value, old: Option<&Value>) -> bool {
    match (attributes.operation, old) {
        (Operation::Create, _) => attributes.subresource.is_empty(),
        (Operation::Update, Some(old)) => counter.may_differ(&attributes.subresource, old, object),
        _ => false,
    }
}

fn charges(quotas: &[Arc<Value>], more: Vec<(usize, Usage)>) -> Vec<(String, Usage)> {
    more.into_iter()
        .filter_map(|(index, more)| Some((meta::name(quotas.get(index)?).to_owned(), more)))
        .collect()
}

/// That a scope isn't covered is no refusal upstream, but a failure with no reason.
fn refuse(attributes: &Attributes<'_>, refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Forbidden(why) => attributes.forbidden(&why),
        Refusal::Uncovered(why) => ApiError::new(500, Reason::Unknown, why, None),
    }
}

async fn charge(
    server: &Server,
    attributes: &Attributes<'_>,
    name: &str,
    more: &Usage,
    enforced: bool,
) -> Result<(), ApiError> {
    let Some(store) = server.stores.named("", "resourcequotas") else {
        return Ok(());
    };
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok(Change::Nothing);
        };
        let old = stores::parse(&current)?;
        let mut quota = old.clone();
        if let Err(why) = decision::add_to(&mut quota, more, enforced) {
            return Err(Failure::Api(attributes.forbidden(&why)));
        }
        if let Some(row) = server.registry.load().resource("", "v1", "resourcequotas") {
            let now = time::format_time(jiff::Timestamp::now());
            let writer = Writer {
                manager: MANAGER,
                subresource: "status",
                now: &now,
            };
            api::managed::track_whole(row, Some(&old), &mut quota, writer);
        }
        meta::remove(&mut quota, "resourceVersion");
        Ok(Change::Write {
            json: quota.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    match store
        .update::<_, _, Failure>(&attributes.namespace, name, &Preconditions::default(), decide)
        .await
    {
        Ok(_) => Ok(()),
        Err(failure) => Err(failure.into_api_error(&GroupResource::new("", "resourcequotas"), name)),
    }
}
