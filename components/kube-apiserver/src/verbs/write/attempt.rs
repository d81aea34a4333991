//! One try to change an object: from the existing one to what would be stored.
use super::new::admit_new;
use super::store::{bytes_of, time_to_live};
use super::{Existing, Made, OtherVersions, View, Write, dedup_owners, missing, track};
use super::{device_claims, expressions, policy_params, version};
use crate::admission::{self, Operation};
use crate::kinds;
use crate::metadata;
use crate::metrics::certificates::Issued;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services::{self, Reserved, reserve};
use crate::verbs::options::WriteOptions;
use crate::verbs::target::{Target, outdated};
use api::{Resource, strategy};
use apimachinery::decode::Unchanged;
use apimachinery::managed_fields::{Compact, is_same_but_for_times};
use apimachinery::{ApiError, meta};
use serde_json::Value;
use storage::Change;

/// What a try came to.
pub(super) struct Attempt {
    pub reserved: Reserved,
    pub object: Compact,
    pub change: Change,
    pub created: bool,
    /// A certificate that comes with it.
    pub issued: Option<Issued>,
}

/// With `rewrite`, an unchanged object is written as well: what is stored was encrypted with another key than the first.
/// With `unowned` it is stored without its managers.
pub(super) async fn attempt(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: &Write,
    old: Option<Compact>,
    rewrite: bool,
    unowned: bool,
    make: &(impl Fn(&Existing<'_>) -> Result<Made, ApiError> + Send + Sync),
) -> Result<Attempt, ApiError> {
    let row = &target.row;
    let versions = OtherVersions::new(server, row, &target.subresource);
    let existing = Existing {
        old,
        versions: &versions,
    };
    let Some(old) = &existing.old else {
        let Made { object, .. } = make(&existing)?;
        return create_missing(server, request, target, options, wanted, object, unowned).await;
    };
    check_preconditions(target, wanted, old)?;
    let Made {
        object: mut new,
        mut unchanged,
    } = versions.settled(|| make(&existing)).await?;
    if unchanged.is_empty() {
        unchanged = Unchanged::between(old, &new);
    }
    // What is applied may say a version, too.
    version::check(target, meta::resource_version(&new), old)?;
    version::require(target, wanted, &new)?;
    if !wanted.apply {
        let subresource = &target.subresource;
        track(
            server,
            row,
            Some(old),
            &mut new,
            &unchanged,
            request,
            options,
            subresource,
        )
        .await;
    }
    let mut attributes = admission::Attributes::of_write(request, target, Operation::Update, options);
    unchanged.forget("metadata");
    let version = meta::resource_version(&new).to_owned();
    let seen = |view: View, object: &Compact| (view.of)(row, object).map(Compact::of);
    let mut mutated = false;
    let seen_before = wanted.view.map(|view| seen(view, old)).transpose()?;
    match (wanted.view, &seen_before) {
        (Some(view), Some(before)) => {
            let sent = seen(view, &new)?;
            let mut admitted = sent.clone();
            admission::mutate(server, &attributes, &mut admitted, Some(before)).await?;
            if admitted != sent {
                new = (view.back)(target, &new, &admitted)?;
                unchanged = Unchanged::default();
            }
        }
        _ => {
            mutated = admission::mutate(server, &attributes, &mut new, Some(old)).await?;
            if mutated {
                unchanged = Unchanged::default();
            }
        }
    }
    dedup_owners(request, &mut new, true);
    if meta::resource_version(&new) != version {
        version::check_admitted(target, old, &new)?;
    }
    metadata::ensure_namespace(row, &target.namespace, &mut new)?;
    metadata::prepare_update(old, &mut new);
    let mut unchanged = strategy::prepare_update(row, &target.subresource, old, &mut new, unchanged)
        .map_err(ApiError::internal)?;
    if target.subresource.is_empty() {
        services::fit(server, row, Some(old), &mut new)?;
    }
    let wrong = device_claims::wrong_with_change(server, request, target, old, &new).await;
    let mut warnings = Vec::new();
    let checked = expressions::checked(server, row, Some(old), || {
        let (subresource, warnings) = (&target.subresource, &mut warnings);
        api::validate::update_with(row, subresource, old, &new, &unchanged, wrong, warnings)
    });
    // They go with a refusal, too.
    warnings.into_iter().for_each(|warning| request.warn(warning));
    checked?;
    if target.subresource.is_empty() {
        policy_params::check(server, request, row, Some(old), &new).await?;
    }
    strategy::settle(row, &mut new, &unchanged);
    if unowned {
        meta::remove(&mut new, "managedFields");
    }
    api::warnings::update(row, &target.subresource, old, &new)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    // Before admission, which is to see what the object gets.
    let reserved = if target.subresource.is_empty() {
        reserve(server, row, Some(old), &mut new, options.dry_run).await?
    } else {
        Reserved::default()
    };
    if services::is_service(row) {
        // It may have other addresses now.
        unchanged = Unchanged::default();
    }
    let admitted = match (wanted.view, &seen_before) {
        (Some(view), Some(before)) => {
            let seen = seen(view, &new)?;
            admission::validate(server, &attributes, Some(&seen), Some(before)).await
        }
        _ => {
            attributes.unchanged = unchanged;
            admission::validate(server, &attributes, Some(&new), Some(old)).await
        }
    };
    if let Err(error) = admitted {
        reserved.give_back(server).await;
        return Err(error);
    }
    if mutated {
        kinds::settle_admitted(row, &mut new)?;
    }
    let gone = meta::deletion_timestamp(&new).is_some()
        && meta::finalizers(&new).next().is_none()
        && !holds_on(row, &new);
    let change = if gone {
        Change::Delete
    } else if !rewrite && is_same_but_for_times(old, &new, &attributes.unchanged) {
        // Whoever says again what is so has not written it again.
        if let Some(managers) = meta::get(old, "managedFields") {
            meta::set(&mut new, "managedFields", managers.clone());
        }
        Change::Nothing
    } else {
        Change::Write {
            json: bytes_of(server, row, &mut new).await?,
            ttl: time_to_live(server, row),
        }
    };
    Ok(Attempt {
        issued: Issued::between(row, &target.subresource, old, &new),
        reserved,
        object: new,
        change,
        created: false,
    })
}

async fn create_missing(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: &Write,
    mut object: Compact,
    unowned: bool,
) -> Result<Attempt, ApiError> {
    let row = &target.row;
    if !target.subresource.is_empty() {
        return Err(missing(target));
    }
    if !meta::uid(&object).is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            meta::uid(&object)
        );
        return Err(ApiError::conflict(&target.resource(), &target.name, &why));
    }
    version::number(meta::resource_version(&object))?;
    if wanted.replaces {
        track(
            server,
            row,
            None,
            &mut object,
            &Unchanged::default(),
            request,
            options,
            "",
        )
        .await;
    }
    let reserved = admit_new(server, request, target, options, &mut object).await?;
    if unowned {
        meta::remove(&mut object, "managedFields");
    }
    Ok(Attempt {
        reserved,
        change: Change::Write {
            json: bytes_of(server, row, &mut object).await?,
            ttl: time_to_live(server, row),
        },
        object,
        created: true,
        issued: None,
    })
}

fn check_preconditions(target: &Target, wanted: &Write, old: &Value) -> Result<(), ApiError> {
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != meta::uid(old)) {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::uid(old)
        );
        let why = outdated(&target.display_key(), &why);
        return Err(ApiError::conflict(&target.resource(), &target.name, &why));
    }
    version::check(
        target,
        wanted.resource_version.as_deref().unwrap_or_default(),
        old,
    )
}

/// An object that is being deleted but isn't to go yet, although it has no finalizers.
fn holds_on(row: &Resource, object: &Value) -> bool {
    let spec_finalizers = row.plural == "namespaces"
        && row.gvk.group.is_empty()
        && object["spec"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
    spec_finalizers || meta::deletion_grace_period_seconds(object).is_some_and(|seconds| seconds > 0)
}
