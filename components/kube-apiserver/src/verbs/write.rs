//! What all writes share: tracking of field owners, preparation, checks, the transaction.
mod attempt;
mod device_claims;
mod expressions;
mod new;
mod policy_params;
mod store;
mod version;
mod versions;

pub use new::{admit_new, admit_renamed};
pub use store::{bytes_of, store_new};
pub use versions::OtherVersions;

use super::options::WriteOptions;
use super::target::Target;
use crate::definitions::conversion;
use crate::metadata;
use crate::metrics::certificates::Issued;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services::Reserved;
use crate::stores::Failure;
use api::Resource;
use apimachinery::decode::Unchanged;
use apimachinery::field::{Error, Path};
use apimachinery::go::is_print;
use apimachinery::managed_fields::{Compact, Writer};
use apimachinery::{ApiError, meta};
use parking_lot::Mutex;
use serde_json::Value;
use std::time::{Duration, Instant};
use storage::{Change, ObjectRef, Preconditions, StorageError, Updated};

/// The object before the change, in the row's version.
#[derive(Debug)]
pub struct Existing<'a> {
    pub old: Option<Compact>,
    pub versions: &'a OtherVersions<'a>,
}

/// What a client wants of an object.
#[derive(Debug)]
pub struct Made {
    pub object: Compact,
    /// What of it is known to be as it was; nothing if that wasn't looked at.
    pub unchanged: Unchanged,
}

impl From<Compact> for Made {
    fn from(object: Compact) -> Self {
        Self {
            object,
            unchanged: Unchanged::default(),
        }
    }
}

/// What the client requires of the object that it changes.
#[derive(Clone, Debug, Default)]
pub struct Write {
    pub resource_version: Option<String>,
    pub uid: Option<String>,
    /// Server-side apply: creates the object if it isn't there.
    pub apply: bool,
    /// PUT: the whole object is replaced.
    pub replaces: bool,
    /// Admission sees the object as another kind.
    pub view: Option<View>,
}

/// An object seen as another kind, as the scale subresource does.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub of: fn(&Resource, &Value) -> Result<Value, ApiError>,
    /// The object with a changed view put back.
    pub back: fn(&Target, &Compact, &Value) -> Result<Compact, ApiError>,
}

/// An object to be shown: as it is stored, or a value that isn't.
#[derive(Debug)]
pub enum Shown {
    Stored(ObjectRef),
    Object(Compact),
}

impl Shown {
    /// A custom object may have to be converted first.
    async fn of(server: &Server, row: &Resource, object: ObjectRef) -> Result<Self, ApiError> {
        if row.custom.is_some() {
            return conversion::compact(server, row, &object).await.map(Self::Object);
        }
        Ok(Self::Stored(object))
    }

    /// The object in the row's version.
    pub fn into_value(self, row: &Resource) -> Result<Value, ApiError> {
        match self {
            Self::Stored(object) => present::value_of(row, &object),
            Self::Object(object) => Ok(object.into_whole()),
        }
    }
}

/// What came of a change.
#[derive(Debug)]
pub struct Outcome {
    pub object: Shown,
    pub created: bool,
}

/// The object isn't there.
pub fn missing(target: &Target) -> ApiError {
    ApiError::not_found(&target.resource(), &target.name)
}

/// The name in the body must be that of the URL.
pub fn check_name(target: &Target, object: &Value) -> Result<(), ApiError> {
    let given = meta::name(object);
    if given.is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    if given != target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

/// Records which manager owns which fields.
pub async fn track(
    server: &Server,
    row: &Resource,
    old: Option<&Compact>,
    object: &mut Compact,
    unchanged: &Unchanged,
    request: &ApiRequest,
    options: &WriteOptions,
    subresource: &str,
) {
    // Upstream tracks scales for themselves, and nothing that nobody owned before an update.
    if subresource == "scale" && old.is_some_and(|old| !api::managed::owns_replicas(row, old)) {
        return;
    }
    let name = manager(request, options);
    let writer = Writer {
        manager: &name,
        subresource,
        now: &time_of(subresource),
    };
    let versions = OtherVersions::new(server, row, subresource);
    if conversion::by_webhook(row) {
        let tracked = versions.settled(|| {
            let mut tracked = object.clone();
            api::managed::track(row, old, &mut tracked, unchanged, writer, &versions);
            tracked
        });
        *object = tracked.await;
    } else {
        api::managed::track(row, old, object, unchanged, writer, &versions);
    }
    if let Some(error) = versions.failure() {
        say_untracked(row, object, &error);
    }
}

/// Upstream forgets the managers too, and says so at most once a second.
fn say_untracked(row: &Resource, object: &Compact, error: &ApiError) {
    const PAUSE: Duration = Duration::from_secs(1);
    static SAID: Mutex<Option<Instant>> = Mutex::new(None);
    let mut said = SAID.lock();
    if said.is_some_and(|said| said.elapsed() < PAUSE) {
        return;
    }
    *said = Some(Instant::now());
    tracing::error!(
        kind = row.gvk.kind,
        namespace = meta::namespace(object),
        name = meta::name(object),
        %error,
        "who owns which fields could not be recorded; the object has no managedFields now"
    );
}

/// Takes out owner references that are there twice and warns of them: in what the client sent, or in what came of it.
pub fn dedup_owners(request: &ApiRequest, object: &mut Value, admitted: bool) {
    let twice = metadata::dedup_owners(object);
    if !twice.is_empty() {
        let when = if admitted {
            " after mutating admission happens"
        } else {
            ""
        };
        request.warn(format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            twice.join(", ")
        ));
    }
}

/// When something is written; upstream loses the times of what is written by a scale.
fn time_of(subresource: &str) -> String {
    match subresource {
        "scale" => String::new(),
        _ => apimachinery::time::format_time(jiff::Timestamp::now()),
    }
}

/// The field manager: as given, or the first word of the user agent.
pub fn manager(request: &ApiRequest, options: &WriteOptions) -> String {
    if !options.field_manager.is_empty() {
        return options.field_manager.clone();
    }
    let agent = request.user_agent();
    let first = agent.split('/').next().unwrap_or("");
    first.chars().filter(|c| is_print(*c)).take(128).collect()
}

/// Server-side apply on an object, or on none.
pub fn apply(
    row: &Resource,
    existing: &Existing<'_>,
    wanted: &Value,
    options: &WriteOptions,
    subresource: &str,
) -> Result<Made, ApiError> {
    let writer = Writer {
        manager: &options.field_manager,
        subresource,
        now: &time_of(subresource),
    };
    let force = options.force == Some(true);
    let (object, unchanged) = api::managed::apply(
        row,
        existing.old.as_ref(),
        wanted,
        writer,
        force,
        existing.versions,
    )?;
    Ok(Made { object, unchanged })
}

/// Changes an object in a transaction. `make` gives the wanted object from the existing one, and is asked again
/// when the object has changed meanwhile.
pub async fn change(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: Write,
    make: impl Fn(&Existing<'_>) -> Result<Made, ApiError> + Send + Sync,
) -> Result<Outcome, ApiError> {
    let outcome = change_once(server, request, target, options, &wanted, &make, false).await;
    match outcome {
        // The managers of an object can be larger than the object, and most writers don't ask for them.
        Err(Failure::Storage(StorageError::TooLarge { .. })) if !wanted.apply => {
            change_once(server, request, target, options, &wanted, &make, true).await
        }
        outcome => outcome,
    }
    .map_err(|failure| failure.into_api_error(&target.resource(), &target.name))
}

/// Whether an object is stored in another version than its kind is stored in now. Writing it anew is how objects get from
/// one to the other.
fn is_of_former_version(row: &Resource, object: &ObjectRef) -> bool {
    // Custom objects are stored with sorted keys, as upstream stores them.
    let Some(rest) = object.json_bytes().strip_prefix(b"{\"apiVersion\":\"") else {
        return false;
    };
    let end = memchr::memchr(b'"', rest).unwrap_or(rest.len());
    row.custom.is_some() && rest[..end] != *row.storage_version.to_string().as_bytes()
}

async fn change_once(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: &Write,
    make: &(impl Fn(&Existing<'_>) -> Result<Made, ApiError> + Send + Sync),
    unowned: bool,
) -> Result<Outcome, Failure> {
    // What the last try came to; a dry run and an unchanged object have nothing else to show.
    let last: Mutex<Option<Outcome>> = Mutex::new(None);
    // Taken by tries that were not stored in the end.
    let reserved: Mutex<Vec<Reserved>> = Mutex::default();
    let issued: Mutex<Option<Issued>> = Mutex::default();
    // Whether the last try was the object's end.
    let ends: Mutex<bool> = Mutex::default();
    let preconditions = Preconditions::default();
    let decide = |current: Option<ObjectRef>| {
        let (last, reserved, issued, ends) = (&last, &reserved, &issued, &ends);
        async move {
            // Somebody else who took the last finalizer away was faster, and that is what was asked for.
            if current.is_none() && *ends.lock() {
                return Ok(Change::Nothing);
            }
            let old = match &current {
                Some(object) => Some(conversion::compact(server, &target.row, object).await?),
                None => None,
            };
            let rewrite = current.as_ref().is_some_and(|object| {
                !target.store.is_current(object) || is_of_former_version(&target.row, object)
            });
            let attempt = attempt::attempt(
                server, request, target, options, wanted, old, rewrite, unowned, make,
            )
            .await?;
            reserved.lock().push(attempt.reserved);
            *issued.lock() = attempt.issued;
            *ends.lock() = matches!(attempt.change, Change::Delete);
            *last.lock() = Some(Outcome {
                object: Shown::Object(attempt.object),
                created: attempt.created,
            });
            Ok::<Change, Failure>(if options.dry_run {
                Change::Nothing
            } else {
                attempt.change
            })
        }
    };
    let updated = target
        .store
        .update::<_, _, Failure>(&target.namespace, &target.name, &preconditions, decide)
        .await;
    let last = last.into_inner();
    settle(server, reserved.into_inner(), updated.is_ok()).await;
    match updated {
        Ok(Updated::Created(object)) => Ok(Outcome {
            object: Shown::of(server, &target.row, object).await?,
            created: true,
        }),
        Ok(Updated::Written(object)) => {
            if let Some(issued) = issued.into_inner() {
                server.metrics.certificates.issued(&issued);
            }
            Ok(Outcome {
                object: Shown::of(server, &target.row, object).await?,
                created: false,
            })
        }
        Ok(Updated::Deleted(object)) => {
            // The last finalizer is gone, and the object with it. The answer is what was written for a moment, without
            // the finalizer, in the version before.
            let gone = conversion::compact(server, &target.row, &object).await?;
            crate::services::release(server, &target.row, &gone, options.dry_run).await;
            let mut shown = last.unwrap_or_else(|| Outcome {
                object: Shown::Object(gone.clone()),
                created: false,
            });
            if let Shown::Object(object) = &mut shown.object {
                meta::set(object, "resourceVersion", meta::resource_version(&gone));
            }
            Ok(shown)
        }
        Ok(Updated::Unchanged(_)) => {
            last.ok_or_else(|| Failure::Api(ApiError::internal("the update had no outcome")))
        }
        Err(failure) => Err(failure),
    }
}

/// The last try's reservations stand if the write does; those of the others are given back.
async fn settle(server: &Server, mut reserved: Vec<Reserved>, stored: bool) {
    if stored && let Some(last) = reserved.pop() {
        last.keep(server).await;
    }
    for other in reserved {
        other.give_back(server).await;
    }
}

/// An Invalid answer about one field of an object.
pub fn invalid_field(row: &Resource, name: &str, path: &str, detail: &str) -> ApiError {
    ApiError::invalid(
        &row.gvk,
        name,
        &[Error::invalid(&Path::new(path), Value::Null, detail)],
    )
}
