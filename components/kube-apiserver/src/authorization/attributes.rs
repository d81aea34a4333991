//! What is asked of an authorizer.

use super::selection::{self, Term};
use crate::identity::User;
use crate::request_info::{Query, RequestInfo};
use std::borrow::Cow;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes<'a> {
    pub user: Cow<'a, User>,
    pub verb: Cow<'a, str>,
    pub is_resource: bool,
    pub namespace: Cow<'a, str>,
    pub group: Cow<'a, str>,
    pub version: Cow<'a, str>,
    pub resource: Cow<'a, str>,
    pub subresource: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub path: Cow<'a, str>,
    /// Terms of the selectors, for verbs that take them.
    pub fields: Vec<Term>,
    pub labels: Vec<Term>,
}

impl<'a> Attributes<'a> {
    pub fn of_request(user: &'a User, info: &'a RequestInfo, query: &Query) -> Self {
        let selects = info.is_resource && matches!(info.verb.as_str(), "list" | "watch" | "deletecollection");
        let selector = |name: &str| query.get(name).filter(|_| selects).unwrap_or("");
        Self {
            user: Cow::Borrowed(user),
            verb: Cow::Borrowed(&info.verb),
            is_resource: info.is_resource,
            namespace: Cow::Borrowed(&info.namespace),
            group: Cow::Borrowed(&info.group),
            version: Cow::Borrowed(&info.version),
            resource: Cow::Borrowed(&info.resource),
            subresource: Cow::Borrowed(&info.subresource),
            name: Cow::Borrowed(&info.name),
            path: Cow::Borrowed(&info.path),
            fields: selection::of_fields(selector("fieldSelector")),
            labels: selection::of_labels(selector("labelSelector")),
        }
    }

    /// Health and metrics, which are asked for while a server is not ready too.
    pub fn is_probe(&self) -> bool {
        !self.is_resource && crate::request_info::is_probe(&self.path)
    }

    /// A question about a resource without a request behind it.
    pub fn resource(user: &'a User, verb: &'a str, group: &'a str, resource: &'a str) -> Self {
        Self {
            user: Cow::Borrowed(user),
            verb: Cow::Borrowed(verb),
            is_resource: true,
            namespace: Cow::Borrowed(""),
            group: Cow::Borrowed(group),
            version: Cow::Borrowed("*"),
            resource: Cow::Borrowed(resource),
            subresource: Cow::Borrowed(""),
            name: Cow::Borrowed(""),
            path: Cow::Borrowed(""),
            fields: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub fn in_namespace(mut self, namespace: &'a str) -> Self {
        self.namespace = Cow::Borrowed(namespace);
        self
    }

    pub fn named(mut self, name: &'a str) -> Self {
        self.name = Cow::Borrowed(name);
        self
    }

    pub fn of_subresource(mut self, subresource: &'a str) -> Self {
        self.subresource = Cow::Borrowed(subresource);
        self
    }

    pub fn is_read_only(&self) -> bool {
        matches!(&*self.verb, "get" | "list" | "watch")
    }

    /// The resource as rules spell it: `pods/log`.
    pub fn combined_resource(&self) -> Cow<'_, str> {
        if self.subresource.is_empty() {
            Cow::Borrowed(&self.resource)
        } else {
            Cow::Owned(format!("{}/{}", self.resource, self.subresource))
        }
    }

    /// Upstream's message for a request that was not allowed.
    pub fn forbidden_message(&self, reason: &str) -> String {
        let mut message = format!("User {:?} cannot {} ", self.user.name, self.verb);
        if self.is_resource {
            message.push_str(&format!(
                "resource {:?} in API group {:?}",
                self.combined_resource(),
                self.group
            ));
            if self.namespace.is_empty() {
                message.push_str(" at the cluster scope");
            } else {
                message.push_str(&format!(" in the namespace {:?}", self.namespace));
            }
        } else {
            message.push_str(&format!("path {:?}", self.path));
        }
        if !reason.is_empty() {
            message.push_str(": ");
            message.push_str(reason);
        }
        message
    }
}
