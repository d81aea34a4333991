//! What a device takes of a node's own resources.
use crate::validate::shared::is_native;
use crate::value::{at, object};
use apimachinery::Quantity;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// The mappings of a device, by resource.
pub(super) fn check(device: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let mappings = object(device, &["nodeAllocatableResourceMappings"]);
    for (resource, mapping) in mappings.into_iter().flatten() {
        let own = path.key(resource);
        if !is_native(resource) {
            errors.push(Error::invalid(
                &own,
                resource.as_str(),
                "must be a node allocatable resource name",
            ));
        }
        let multiplier = at(mapping, &["allocationMultiplier"]);
        let key = at(mapping, &["capacityKey"]);
        if multiplier.is_null() && key.is_null() {
            errors.push(Error::invalid(
                &own,
                "",
                "at least one of allocationMultiplier or capacityKey must be set",
            ));
        }
        if let Some(amount) = Quantity::from_json(multiplier)
            .ok()
            .filter(|amount| amount.sign() <= 0)
        {
            errors.push(Error::invalid(
                &own.child("allocationMultiplier"),
                amount.to_string(),
                "must be positive",
            ));
        }
        let of_key = own.child("capacityKey");
        match key.as_str() {
            Some("") => errors.push(Error::invalid(
                &of_key,
                "",
                "capacityKey must not be an empty string",
            )),
            Some(key) if at(device, &["capacity", key]).is_null() => {
                errors.push(Error::not_found(&of_key, key));
            }
            _ => {}
        }
    }
    errors
}
