//! What all writes share: tracking of field owners, preparation, checks, the transaction.
mod attempt;
mod device_claims;
mod expressions;
mod new;
mod policy_params;
mod store;
mod versions;

pub use new::admit_new;
pub use store::{bytes_of, store_new};
pub use versions::OtherVersions;

use super::options::WriteOptions;
use super::target::Target;
use crate::definitions::conversion;
use crate::metrics::certificates::Issued;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services::Reserved;
use crate::stores::Failure;
use api::Resource;
use apimachinery::decode::Unchanged;
use apimachinery::field::{Error, Path};
use apimachinery::managed_fields::{Compact, Writer};
use apimachinery::{ApiError, meta};
use parking_lot::Mutex;
use serde_json::Value;
use storage::{Change, ObjectRef, Preconditions, Updated};

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
    let name = manager(request, options);
    let writer = Writer {
        manager: &name,
        subresource,
        now: &time_of(subresource),
    };
    let versions = OtherVersions::new(server, row, subresource);
    if !conversion::by_webhook(row) {
        api::managed::track(row, old, object, unchanged, writer, &versions);
        return;
    }
    let tracked = versions.settled(|| {
        let mut tracked = object.clone();
        api::managed::track(row, old, &mut tracked, unchanged, writer, &versions);
        tracked
    });
    *object = tracked.await;
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
    first.chars().filter(|c| !c.is_control()).take(128).collect()
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
    // What the last try came to; a dry run and an unchanged object have nothing else to show.
    let last: Mutex<Option<Outcome>> = Mutex::new(None);
    // Taken by tries that were not stored in the end.
    let reserved: Mutex<Vec<Reserved>> = Mutex::default();
    let issued: Mutex<Option<Issued>> = Mutex::default();
    let preconditions = Preconditions::default();
    let decide = |current: Option<ObjectRef>| {
        let (last, reserved, issued, wanted, make) = (&last, &reserved, &issued, &wanted, &make);
        async move {
            let old = match &current {
                Some(object) => Some(conversion::compact(server, &target.row, object).await?),
                None => None,
            };
            let rewrite = current
                .as_ref()
                .is_some_and(|object| !target.store.is_current(object));
            let attempt =
                attempt::attempt(server, request, target, options, wanted, old, rewrite, make).await?;
            reserved.lock().push(attempt.reserved);
            *issued.lock() = attempt.issued;
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
            // The last finalizer is gone, and the object with it.
            let object = conversion::compact(server, &target.row, &object).await?;
            crate::services::release(server, &target.row, &object, options.dry_run).await;
            // Clients are shown what they asked for, as if it had been stored.
            Ok(last.unwrap_or(Outcome {
                object: Shown::Object(object),
                created: false,
            }))
        }
        Ok(Updated::Unchanged(_)) => last.ok_or_else(|| ApiError::internal("the update had no outcome")),
        Err(failure) => Err(failure.into_api_error(&target.resource(), &target.name)),
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
