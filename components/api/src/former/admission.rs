//! Webhook configurations of admissionregistration.k8s.io/v1beta1, whose defaults were laxer.
use crate::value::{Object, absent, items_mut, zero};
use serde_json::json;

pub(super) fn webhooks(object: &mut Object) {
    for webhook in items_mut(object, "webhooks") {
        absent(webhook, "failurePolicy", "Ignore");
        absent(webhook, "matchPolicy", "Exact");
        absent(webhook, "sideEffects", "Unknown");
        absent(webhook, "timeoutSeconds", 30);
        zero(webhook, "admissionReviewVersions", json!(["v1beta1"]));
    }
}
