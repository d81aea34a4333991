//! What all writes share: tracking of field owners, preparation, checks, the transaction.

use super::options::WriteOptions;
use super::target::Target;
use crate::admission::{self, Operation};
use crate::definitions::conversion;
use crate::kinds;
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::services::{Reserved, reserve};
use api::{Resource, strategy};
use apimachinery::field::{Error, Path};
use apimachinery::managed_fields::Writer;
use apimachinery::{ApiError, meta};
use parking_lot::Mutex;
use serde_json::Value;
use std::time::Duration;
use storage::{Change, ObjectRef, Preconditions, StorageError, Updated};

/// The object before the change, in the row's version.
#[derive(Debug)]
pub struct Existing {
    pub old: Option<Value>,
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
    pub back: fn(&Target, &Value, &Value) -> Result<Value, ApiError>,
}

/// An object to be shown: as it is stored, or a value that isn't.
#[derive(Debug)]
pub enum Shown {
    Stored(ObjectRef),
    Value(Value),
}

impl Shown {
    /// A custom object may have to be converted first.
    async fn of(server: &Server, row: &Resource, object: ObjectRef) -> Result<Self, ApiError> {
        if row.custom.is_some() {
            return conversion::value(server, row, &object).await.map(Self::Value);
        }
        Ok(Self::Stored(object))
    }

    /// The object in the row's version.
    pub fn into_value(self, row: &Resource) -> Result<Value, ApiError> {
        match self {
            Self::Stored(object) => present::value_of(row, &object),
            Self::Value(value) => Ok(value),
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
pub fn track(
    row: &Resource,
    old: Option<&Value>,
    object: &mut Value,
    request: &ApiRequest,
    options: &WriteOptions,
    subresource: &str,
) -> Result<(), ApiError> {
    let name = manager(request, options);
    api::managed::track(
        row,
        old,
        object,
        Writer {
            manager: &name,
            subresource,
            now: &now(),
        },
    );
    Ok(())
}

fn now() -> String {
    apimachinery::time::format_time(jiff::Timestamp::now())
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
    old: Option<&Value>,
    wanted: &Value,
    options: &WriteOptions,
    subresource: &str,
) -> Result<Value, ApiError> {
    let writer = Writer {
        manager: &options.field_manager,
        subresource,
        now: &now(),
    };
    api::managed::apply(row, old, wanted, writer, options.force == Some(true))
}

/// How long objects of this kind live by themselves.
fn time_to_live(server: &Server, row: &Resource) -> Option<Duration> {
    (row.gvk.kind == "Event" && row.custom.is_none()).then_some(server.flags.event_ttl)
}

/// The object as it is stored. A built-in one that is stored in the row's version isn't copied: its resourceVersion
/// only stands aside meanwhile.
async fn bytes_of(server: &Server, row: &Resource, object: &mut Value) -> Result<Vec<u8>, ApiError> {
    if row.custom.is_some() || kinds::needs_conversion(row) {
        let mut stored = conversion::to_storage(server, row, object.clone()).await?;
        meta::remove(&mut stored, "resourceVersion");
        return serialize(&stored);
    }
    let version = meta::remove(object, "resourceVersion");
    kinds::set_type(row, object);
    let bytes = serialize(object);
    if let Some(version) = version {
        meta::set(object, "resourceVersion", version);
    }
    bytes
}

/// Most objects fit without growing the buffer.
const USUAL_LENGTH: usize = 16 * 1024;

fn serialize(value: &Value) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::with_capacity(USUAL_LENGTH);
    serde_json::to_writer(&mut bytes, value).map_err(ApiError::internal)?;
    Ok(bytes)
}

/// Stores a new object; dry runs only look whether the name is free.
pub async fn store_new(
    server: &Server,
    target: &Target,
    name: &str,
    mut object: Value,
    dry_run: bool,
) -> Result<Shown, ApiError> {
    let row = &target.row;
    let error = |error: StorageError| crate::stores::to_api_error(error, &target.resource(), name);
    if dry_run {
        return match target
            .store
            .get(&target.namespace, name, storage::RequestedRevision::Unset)
            .await
        {
            Ok(_) => Err(ApiError::already_exists(&target.resource(), name)),
            Err(StorageError::NotFound { .. }) => Ok(Shown::Value(object)),
            Err(other) => Err(error(other)),
        };
    }
    if !meta::resource_version(&object).is_empty() {
        return Err(ApiError::internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let stored = target
        .store
        .create(
            &target.namespace,
            name,
            &bytes_of(server, row, &mut object).await?,
            time_to_live(server, row),
        )
        .await
        .map_err(error)?;
    Shown::of(server, row, stored).await
}

/// An error on its way through the transaction.
enum Failure {
    Storage(StorageError),
    Api(ApiError),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Changes an object in a transaction. `make` gives the wanted object from the existing one, and is asked again
/// when the object has changed meanwhile.
pub async fn change(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: Write,
    make: impl Fn(&Existing) -> Result<Value, ApiError> + Send + Sync,
) -> Result<Outcome, ApiError> {
    // What the last try came to; a dry run and an unchanged object have nothing else to show.
    let last: Mutex<Option<Outcome>> = Mutex::new(None);
    // Taken by tries that were not stored in the end.
    let reserved: Mutex<Vec<Reserved>> = Mutex::default();
    let preconditions = Preconditions::default();
    let decide = |current: Option<ObjectRef>| {
        let (last, reserved, wanted, make) = (&last, &reserved, &wanted, &make);
        async move {
            let old = match &current {
                Some(object) => Some(conversion::value(server, &target.row, object).await?),
                None => None,
            };
            let rewrite = current
                .as_ref()
                .is_some_and(|object| !target.store.is_current(object));
            let attempt = attempt(server, request, target, options, wanted, old, rewrite, make).await?;
            reserved.lock().push(attempt.reserved);
            *last.lock() = Some(Outcome {
                object: Shown::Value(attempt.object),
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
        Ok(Updated::Written(object)) => Ok(Outcome {
            object: Shown::of(server, &target.row, object).await?,
            created: false,
        }),
        Ok(Updated::Deleted(object)) => {
            // The last finalizer is gone, and the object with it.
            let object = conversion::value(server, &target.row, &object).await?;
            crate::services::release(server, &target.row, &object, options.dry_run).await;
            Ok(Outcome {
                object: Shown::Value(object),
                created: false,
            })
        }
        Ok(Updated::Unchanged(_)) => last.ok_or_else(|| ApiError::internal("the update had no outcome")),
        Err(Failure::Api(error)) => Err(error),
        Err(Failure::Storage(error)) => Err(target.error(error)),
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

struct Attempt {
    reserved: Reserved,
    object: Value,
    change: Change,
    created: bool,
}

/// With `rewrite`, an unchanged object is written as well: what is stored was encrypted with another key than the first.
async fn attempt(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: &Write,
    old: Option<Value>,
    rewrite: bool,
    make: &(impl Fn(&Existing) -> Result<Value, ApiError> + Send + Sync),
) -> Result<Attempt, ApiError> {
    let row = &target.row;
    let existing = Existing { old };
    let Some(old) = &existing.old else {
        let object = make(&existing)?;
        return create_missing(server, request, target, options, wanted, object).await;
    };
    check_preconditions(target, wanted, old)?;
    let mut new = make(&existing)?;
    if !wanted.apply {
        let version = meta::resource_version(&new).to_owned();
        if !version.is_empty() && version != meta::resource_version(old) {
            return Err(ApiError::modified(&target.resource(), &target.name));
        }
        track(row, Some(old), &mut new, request, options, &target.subresource)?;
    }
    let attributes = admission::Attributes::of_write(request, target, Operation::Update, options);
    let seen_before = wanted.view.map(|view| (view.of)(row, old)).transpose()?;
    match (wanted.view, &seen_before) {
        (Some(view), Some(before)) => {
            let sent = (view.of)(row, &new)?;
            let mut seen = sent.clone();
            admission::mutate(server, &attributes, &mut seen, Some(before)).await?;
            if seen != sent {
                new = (view.back)(target, &new, &seen)?;
            }
        }
        _ => admission::mutate(server, &attributes, &mut new, Some(old)).await?,
    }
    metadata::prepare_update(old, &mut new);
    strategy::prepare_update(row, &target.subresource, old, &mut new);
    require_version(target, wanted, &new)?;
    api::validate::update(row, &target.subresource, old, &new)?;
    strategy::settle(row, &mut new);
    api::warnings::update(row, old, &new)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    match (wanted.view, &seen_before) {
        (Some(view), Some(before)) => {
            admission::validate(server, &attributes, Some(&(view.of)(row, &new)?), Some(before)).await?;
        }
        _ => admission::validate(server, &attributes, Some(&new), Some(old)).await?,
    }
    let reserved = if target.subresource.is_empty() {
        reserve(server, row, Some(old), &mut new, options.dry_run).await?
    } else {
        Reserved::default()
    };
    let gone = meta::deletion_timestamp(&new).is_some()
        && meta::finalizers(&new).next().is_none()
        && !holds_on(row, &new);
    let change = if gone {
        Change::Delete
    } else if new == *old && !rewrite {
        Change::Nothing
    } else {
        Change::Write {
            json: bytes_of(server, row, &mut new).await?,
            ttl: time_to_live(server, row),
        }
    };
    Ok(Attempt {
        reserved,
        object: new,
        change,
        created: false,
    })
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

fn check_preconditions(target: &Target, wanted: &Write, old: &Value) -> Result<(), ApiError> {
    if let Some(uid) = wanted.uid.as_deref().filter(|uid| *uid != meta::uid(old)) {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            target.display_key(),
            meta::uid(old)
        );
        return Err(ApiError::conflict(&target.resource(), &target.name, &why));
    }
    if wanted
        .resource_version
        .as_deref()
        .is_some_and(|version| version != meta::resource_version(old))
    {
        return Err(ApiError::modified(&target.resource(), &target.name));
    }
    Ok(())
}

async fn create_missing(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    options: &WriteOptions,
    wanted: &Write,
    mut object: Value,
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
    if wanted.replaces {
        track(row, None, &mut object, request, options, "")?;
    }
    let attributes = admission::Attributes::of_write(request, target, Operation::Create, options);
    admission::mutate(server, &attributes, &mut object, None).await?;
    metadata::prepare_create(&mut object);
    super::create::note_requester(request, row, &mut object);
    strategy::prepare_create(row, &mut object);
    api::validate::create(row, &object)?;
    strategy::settle(row, &mut object);
    api::warnings::create(row, &object)
        .into_iter()
        .for_each(|warning| request.warn(warning));
    admission::validate(server, &attributes, Some(&object), None).await?;
    let reserved = reserve(server, row, None, &mut object, options.dry_run).await?;
    Ok(Attempt {
        reserved,
        change: Change::Write {
            json: bytes_of(server, row, &mut object).await?,
            ttl: time_to_live(server, row),
        },
        object,
        created: true,
    })
}

/// Some kinds are only replaced by those who know what they replace.
fn require_version(target: &Target, wanted: &Write, new: &Value) -> Result<(), ApiError> {
    if wanted.replaces
        && wanted.resource_version.is_none()
        && !strategy::rules(&target.row).unconditional_update
    {
        let path = Path::new("metadata").child("resourceVersion");
        let errors = [Error::invalid(
            &path,
            apimachinery::field::BadValue::Raw("0x0".to_owned()),
            "must be specified for an update",
        )];
        return Err(ApiError::invalid(&target.row.gvk, meta::name(new), &errors));
    }
    Ok(())
}

/// An Invalid answer about one field of an object.
pub fn invalid_field(row: &Resource, name: &str, path: &str, detail: &str) -> ApiError {
    ApiError::invalid(
        &row.gvk,
        name,
        &[Error::invalid(&Path::new(path), Value::Null, detail)],
    )
}
