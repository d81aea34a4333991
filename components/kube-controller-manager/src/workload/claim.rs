//! Adoption and release: which objects a controller's selector makes its own.

use std::sync::Arc;

use client::Informer;
use client::informer::{Key, key_of};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::{Error, Result, is_not_found, status};
use crate::owner::{Meta as _, controller_of, controller_reference};
use crate::selector::Selector;

/// The sets whose selectors match an object that nobody controls: each of them may adopt it.
pub fn adopters<K, O>(
    sets: &Informer<K>,
    orphan: &O,
    selector_of: impl Fn(&K) -> Option<Selector>,
) -> impl Iterator<Item = Key>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
    O: Resource,
{
    let mut candidates = sets.list_namespace(orphan.namespace());
    candidates.retain(|set| {
        // An empty selector would take in everything, which no set may.
        selector_of(set)
            .is_some_and(|selector| !selector.is_empty() && selector.matches(orphan.meta().labels.as_ref()))
    });
    candidates.into_iter().map(|set| key_of(set.as_ref()))
}

/// What is to be done with the objects around an owner.
#[derive(Debug)]
pub struct Claims<K> {
    /// Owned and selected already.
    pub owned: Vec<Arc<K>>,
    /// Selected and controlled by nobody.
    pub adopt: Vec<Arc<K>>,
    /// Owned but no longer selected.
    pub release: Vec<Arc<K>>,
}

/// Sorts `objects` by what `owner_uid` with `selector` is to do with them. An owner that is being deleted
/// neither adopts nor releases.
pub fn plan<K: Resource>(
    owner_uid: &str,
    owner_deleting: bool,
    selector: &Selector,
    objects: impl IntoIterator<Item = Arc<K>>,
) -> Claims<K> {
    let mut claims = Claims {
        owned: Vec::new(),
        adopt: Vec::new(),
        release: Vec::new(),
    };
    for object in objects {
        let selected = selector.matches(object.meta().labels.as_ref());
        match controller_of(object.meta()) {
            Some(reference) if reference.uid == owner_uid => {
                if selected {
                    claims.owned.push(object);
                } else if !owner_deleting {
                    claims.release.push(object);
                }
            }
            None if selected && !owner_deleting && !object.is_deleting() => claims.adopt.push(object),
            _ => {}
        }
    }
    claims
}

/// Carries a plan out and returns what the owner has afterwards.
///
/// Before the first adoption the owner is read from the API server: a stale copy of an owner that has been
/// deleted (or deleted and made again) must not adopt.
pub async fn claim<O, K>(
    owner: &O,
    owners: &Api<O>,
    api: &Api<K>,
    selector: &Selector,
    objects: impl IntoIterator<Item = Arc<K>>,
    finalizer: Option<&str>,
) -> Result<Vec<Arc<K>>>
where
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let claims = plan(owner.uid(), owner.is_deleting(), selector, objects);
    let mut owned = claims.owned;
    let mut failures = Vec::new();
    if !claims.adopt.is_empty() {
        check_owner(owner, owners).await?;
    }
    for object in claims.adopt {
        let mut metadata = json!({
            "ownerReferences": [controller_reference(owner)],
            "uid": object.uid(),
        });
        if let Some(finalizer) = finalizer {
            metadata["finalizers"] = json!([finalizer]);
        }
        match patch(api, object.name(), &json!({ "metadata": metadata })).await {
            Ok(Some(adopted)) => owned.push(Arc::new(adopted)),
            Ok(None) => {}
            Err(error) => failures.push(Err(error)),
        }
    }
    for object in claims.release {
        failures.push(release(api, object.as_ref(), owner.uid(), finalizer).await);
    }
    Error::collect(failures)?;
    Ok(owned)
}

/// Takes the controller reference to `owner_uid` (and `finalizer`) off an object. One that has gone, or has been replaced, is no failure.
pub async fn release<K>(api: &Api<K>, object: &K, owner_uid: &str, finalizer: Option<&str>) -> Result<()>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut metadata = json!({
        "ownerReferences": [{"$patch": "delete", "uid": owner_uid}],
        "uid": object.uid(),
    });
    if let Some(finalizer) = finalizer {
        metadata["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
    }
    patch(api, object.name(), &json!({ "metadata": metadata }))
        .await
        .map(|_| ())
}

async fn patch<K>(api: &Api<K>, name: &str, body: &(impl Serialize + std::fmt::Debug)) -> Result<Option<K>>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    match api
        .patch(name, &PatchParams::default(), &Patch::Strategic(body))
        .await
    {
        Ok(object) => Ok(Some(object)),
        // Gone, or another object of that name by now (the uid in the patch is a precondition).
        Err(error) if is_not_found(&error) || status(&error).is_some_and(|status| status.code == 422) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn check_owner<O>(owner: &O, owners: &Api<O>) -> Result<()>
where
    O: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let fresh = owners.get(owner.name()).await?;
    if fresh.uid() != owner.uid() {
        return Err(Error::invalid(
            "owner",
            owner.name(),
            "has been replaced since it was read",
        ));
    }
    if fresh.is_deleting() {
        return Err(Error::invalid(
            "owner",
            owner.name(),
            "is being deleted and cannot adopt",
        ));
    }
    Ok(())
}
