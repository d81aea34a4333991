//! What surrounds a request: its namespace, and its objects in other versions; looked up when first needed.

use super::attributes::Attributes;
use super::matching::{Criteria, Invocation, namespace_is_object};
use super::plain;
use crate::definitions::conversion;
use crate::server::Server;
use crate::stores;
use api::Registry;
use apimachinery::managed_fields::Compact;
use apimachinery::{ApiError, GroupResource, meta};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::OnceLock;
use storage::{ObjectRef, RequestedRevision, StorageError};
use tokio::sync::OnceCell;

/// One request with what belongs to it.
pub struct Surroundings<'a> {
    pub server: &'a Server,
    pub attributes: &'a Attributes<'a>,
    pub registry: &'a Registry,
    namespace: OnceCell<Option<ObjectRef>>,
    /// The objects whole, made when the first asks for them.
    object: OnceLock<Value>,
    old: OnceLock<Value>,
}

/// Objects as those who are asked see them: whole, in the version of an invocation.
pub struct Versioned<'v> {
    pub object: Option<Cow<'v, Value>>,
    pub old: Option<Cow<'v, Value>>,
}

impl<'a> Surroundings<'a> {
    pub fn new(server: &'a Server, attributes: &'a Attributes<'a>, registry: &'a Registry) -> Self {
        Self {
            server,
            attributes,
            registry,
            namespace: OnceCell::new(),
            object: OnceLock::new(),
            old: OnceLock::new(),
        }
    }

    /// The next who asks is to see the object as it is now.
    pub fn object_changed(&mut self) {
        self.object = OnceLock::new();
    }

    /// Whether both selectors take the request.
    pub async fn selected(
        &self,
        criteria: &Criteria,
        object: Option<&Compact>,
        old: Option<&Compact>,
    ) -> Result<bool, ApiError> {
        let taken = criteria
            .matches_object(plain(object), plain(old))
            .map_err(ApiError::internal)?;
        Ok(taken && self.in_selected_namespace(criteria, object).await?)
    }

    /// The version in which the request meets the criteria, if it does.
    pub async fn matched(
        &self,
        criteria: &Criteria,
        object: Option<&Compact>,
        old: Option<&Compact>,
    ) -> Result<Option<Invocation>, ApiError> {
        match criteria.matches_rules(self.attributes, self.registry) {
            Some(found) if self.selected(criteria, object, old).await? => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    async fn in_selected_namespace(
        &self,
        criteria: &Criteria,
        object: Option<&Compact>,
    ) -> Result<bool, ApiError> {
        let namespace = self.attributes.seen_namespace();
        if criteria.namespaces.is_everything()
            || (namespace.is_empty() && self.attributes.row.plural != "namespaces")
        {
            return Ok(true);
        }
        let selector = criteria.namespaces.get().map_err(ApiError::internal)?;
        if namespace_is_object(self.attributes) {
            return Ok(selector.matches(plain(object).and_then(meta::labels)));
        }
        match self.namespace().await? {
            Some(stored) => Ok(selector.matches_with(|key| stored.label(key))),
            None => Err(ApiError::not_found(
                &GroupResource::new("", "namespaces"),
                namespace,
            )),
        }
    }

    /// The request's namespace as stored; `None` when there is none.
    pub async fn namespace(&self) -> Result<Option<&ObjectRef>, ApiError> {
        let name = self.attributes.seen_namespace();
        if name.is_empty() {
            return Ok(None);
        }
        self.namespace
            .get_or_try_init(|| find_namespace(self.server, name))
            .await
            .map(Option::as_ref)
    }

    /// What expressions see of the request's namespace; a namespace is in none.
    pub async fn namespace_object(&self) -> Result<Option<Value>, ApiError> {
        if self.attributes.is("", "namespaces") {
            return Ok(None);
        }
        match self.namespace().await? {
            Some(stored) => stores::parse(stored)
                .map(|namespace| Some(super::inputs::namespace(&namespace)))
                .map_err(ApiError::internal),
            None => Ok(None),
        }
    }

    /// The objects as the invocation's kind. They are the same each time, but for [`Self::object_changed`].
    pub async fn versioned(
        &self,
        invocation: &Invocation,
        object: Option<&Compact>,
        old: Option<&Compact>,
    ) -> Result<Versioned<'_>, ApiError> {
        let object = object.map(|object| self.object.get_or_init(|| object.to_whole()));
        let old = old.map(|old| self.old.get_or_init(|| old.to_whole()));
        Ok(Versioned {
            object: self.in_version(invocation, object).await?,
            old: self.in_version(invocation, old).await?,
        })
    }

    async fn in_version<'v>(
        &self,
        invocation: &Invocation,
        object: Option<&'v Value>,
    ) -> Result<Option<Cow<'v, Value>>, ApiError> {
        Ok(match object {
            Some(object) if invocation.converted => Some(Cow::Owned(
                conversion::between(self.server, &self.attributes.row, &invocation.row, object.clone())
                    .await?,
            )),
            other => other.map(Cow::Borrowed),
        })
    }
}

async fn find_namespace(server: &Server, name: &str) -> Result<Option<ObjectRef>, ApiError> {
    let store = server
        .stores
        .named("", "namespaces")
        .ok_or_else(|| ApiError::internal("namespaces are not registered"))?;
    if let Some(cached) = store.cached_object("", name) {
        return Ok(Some(cached));
    }
    match store.get("", name, RequestedRevision::Unset).await {
        Ok(object) => Ok(Some(object)),
        Err(StorageError::NotFound { .. } | StorageError::InvalidKey { .. }) => Ok(None),
        Err(error) => Err(stores::to_api_error(
            error,
            &GroupResource::new("", "namespaces"),
            name,
        )),
    }
}
