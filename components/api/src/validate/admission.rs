//! Validation of webhook configurations and admission policies.
mod expressions;
mod policies;
mod rules;
mod webhooks;

use crate::value::at;
use apimachinery::field::{ErrorList, Path};
use policies::{binding, mutating, validating};
use serde_json::Value;
use webhooks::webhooks;

pub(super) use webhooks::client as webhook_client;

/// A new or changed configuration, policy or binding.
pub(super) fn check(kind: &str, new: &Value) -> Option<ErrorList> {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    Some(match kind {
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
            webhooks(kind.starts_with("Mutating"), new)
        }
        "ValidatingAdmissionPolicy" => validating(new, spec, &path),
        "MutatingAdmissionPolicy" => mutating(spec, &path),
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            binding(kind.starts_with("Validating"), spec, &path)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
