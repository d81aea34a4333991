//! Objects in the versions that their field managers wrote.
use crate::definitions::conversion;
use crate::kinds;
use crate::server::Server;
use api::Resource;
use apimachinery::managed_fields::{Kind, Versions};
use apimachinery::{ApiError, GroupVersion, meta};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// The other versions of the kind of one write.
pub struct OtherVersions<'a> {
    server: &'a Server,
    row: &'a Resource,
    subresource: &'a str,
    /// What a webhook converts.
    awaited: Mutex<Awaited>,
    /// Why the last conversion failed that did.
    failure: Mutex<Option<ApiError>>,
}

/// Field managers don't wait: a conversion that a webhook has to do is noted, fails, and is there the next time.
#[derive(Default)]
struct Awaited {
    wanted: Option<(Value, String)>,
    done: Vec<(Value, String, Result<Value, ApiError>)>,
}

impl<'a> OtherVersions<'a> {
    pub fn new(server: &'a Server, row: &'a Resource, subresource: &'a str) -> Self {
        Self {
            server,
            row,
            subresource,
            awaited: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Why an object couldn't be had in a version that somebody wrote, so that nobody knows any more who owns what in it.
    pub fn failure(&self) -> Option<ApiError> {
        self.failure.lock().clone()
    }

    /// What the work comes to when it needs no further conversion. It is done again for each that it turns out to need.
    pub async fn settled<T>(&self, work: impl Fn() -> T) -> T {
        loop {
            let done = work();
            let Some((object, api_version)) = self.awaited.lock().wanted.take() else {
                return done;
            };
            let made = conversion::to(self.server, self.row, object.clone(), &api_version).await;
            self.awaited.lock().done.push((object, api_version, made));
        }
    }

    fn failed(&self, error: &ApiError) {
        *self.failure.lock() = Some(error.clone());
    }

    fn convert_built_in(&self, object: &Value, api_version: &str) -> Result<Value, ApiError> {
        let gone = |version: &str| ApiError::internal(format!("{version} is not served"));
        let from = meta::api_version(object);
        let (before, after) = (self.row_of(from), self.row_of(api_version));
        let before = before.ok_or_else(|| gone(from))?;
        let after = after.ok_or_else(|| gone(api_version))?;
        kinds::to_version(&after, kinds::to_storage(&before, object.clone())?)
    }

    fn row_of(&self, api_version: &str) -> Option<Arc<Resource>> {
        let GroupVersion { group, version } = GroupVersion::parse(api_version).ok()?;
        let registry = self.server.registry.load();
        registry.resource(&group, &version, &self.row.plural).cloned()
    }

    fn convert_custom(
        &self,
        definition: &api::custom::Definition,
        object: &Value,
        api_version: &str,
    ) -> Result<Value, ApiError> {
        let mut converted = if conversion::by_webhook(self.row) {
            let mut awaited = self.awaited.lock();
            let known = awaited
                .done
                .iter()
                .find(|(from, to, _)| to == api_version && from == object);
            match known {
                Some((_, _, made)) => made.clone().inspect_err(|error| self.failed(error))?,
                None => {
                    awaited.wanted = Some((object.clone(), api_version.to_owned()));
                    return Err(ApiError::internal("the object is not converted yet"));
                }
            }
        } else {
            let mut object = object.clone();
            object["apiVersion"] = json!(api_version);
            object
        };
        if let Some(version) = version_of(api_version).and_then(|name| definition.version(name)) {
            api::custom::fit_to(&version.schema, &mut converted);
        }
        Ok(converted)
    }
}

fn version_of(api_version: &str) -> Option<&str> {
    api_version.split_once('/').map(|(_, version)| version)
}

impl Versions for OtherVersions<'_> {
    fn kind(&self, api_version: &str) -> Option<Kind> {
        let Some(definition) = &self.row.custom else {
            let row = self.row_of(api_version)?;
            return Some(api::managed::kind(&row, self.subresource));
        };
        let (group, name) = api_version.split_once('/')?;
        let version = definition.version(name).filter(|_| group == self.row.gvk.group)?;
        Some(api::managed::custom_kind(version, self.subresource))
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, ApiError> {
        if let Some(definition) = &self.row.custom {
            return self.convert_custom(definition, object, api_version);
        }
        self.convert_built_in(object, api_version)
            .inspect_err(|error| self.failed(error))
    }
}

impl fmt::Debug for OtherVersions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtherVersions")
            .field("resource", &self.row.plural)
            .finish_non_exhaustive()
    }
}
