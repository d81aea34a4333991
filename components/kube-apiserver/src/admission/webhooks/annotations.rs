//! What the audit log says of webhooks.

use crate::request::ApiRequest;
use apimachinery::go;
use serde::Serialize;
use serde_json::Value;

/// Whether a call changed the object, in upstream's order.
#[derive(Serialize)]
struct Mutation<'a> {
    configuration: &'a str,
    webhook: &'a str,
    mutated: bool,
}

/// What a call changed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Patch<'a> {
    configuration: &'a str,
    webhook: &'a str,
    patch: &'a [Value],
    patch_type: &'a str,
}

/// Where in the sequence of calls a webhook was.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    pub round: usize,
    pub index: usize,
    pub configuration: &'a str,
    pub webhook: &'a str,
}

impl Turn<'_> {
    fn key(&self, prefix: &str) -> String {
        format!(
            "{prefix}.admission.k8s.io/round_{}_index_{}",
            self.round, self.index
        )
    }

    /// The webhook was called, and whether it changed the object.
    pub fn called(&self, request: &ApiRequest, mutated: bool) {
        let mutation = Mutation {
            configuration: self.configuration,
            webhook: self.webhook,
            mutated,
        };
        request.annotate(self.key("mutation.webhook"), go::json(&mutation));
    }

    /// What it changed; only for events that carry the request's object, since it may show what's in it.
    pub fn patched(&self, request: &ApiRequest, patch: &[Value]) {
        let patch = Patch {
            configuration: self.configuration,
            webhook: self.webhook,
            patch,
            patch_type: "JSONPatch",
        };
        request.annotate_request_level(self.key("patch.webhook"), go::json(&patch));
    }

    /// It could not be asked, and its policy is to ignore that.
    pub fn failed_open(&self, request: &ApiRequest, kind: &str) {
        request.annotate(
            self.key(&format!("failed-open.{kind}.webhook")),
            self.webhook.to_owned(),
        );
    }
}
