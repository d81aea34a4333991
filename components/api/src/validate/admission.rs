//! Validation of webhook configurations and admission policies.
mod bindings;
mod expressions;
mod json_path;
mod params;
mod policies;
mod rules;
mod type_checking;
mod webhooks;

pub(super) use type_checking::check as type_checking;

use crate::value::at;
use apimachinery::field::{ErrorList, Path};
use bindings::binding;
use policies::{mutating, validating};
use serde_json::Value;
use webhooks::webhooks;

pub(super) use webhooks::client as webhook_client;

/// A new or changed configuration, policy or binding.
pub(super) fn check(kind: &str, old: Option<&Value>, new: &Value) -> Option<ErrorList> {
    let path = Path::new("spec");
    let before = old.map(|old| at(old, &["spec"]));
    Some(match kind {
        "ValidatingWebhookConfiguration" => webhooks(false, old, new),
        "MutatingWebhookConfiguration" => webhooks(true, old, new),
        "ValidatingAdmissionPolicy" => validating(new, before, &path),
        "MutatingAdmissionPolicy" => mutating(new, before, &path),
        "ValidatingAdmissionPolicyBinding" => binding(true, at(new, &["spec"]), &path),
        "MutatingAdmissionPolicyBinding" => binding(false, at(new, &["spec"]), &path),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
