//! Which nodes can use devices: told by exactly one of several fields.
use super::names;
use crate::validate::pod;
use crate::value::at;
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// The fields that tell it, and what is wrong with them.
#[derive(Default)]
pub(super) struct Nodes {
    given: Vec<&'static str>,
    pub(super) errors: ErrorList,
}

impl Nodes {
    /// The one node.
    pub(super) fn name(&mut self, value: &Value, when_empty: &str, path: &Path) {
        let path = path.child("nodeName");
        match at(value, &["nodeName"]).as_str() {
            Some("") => self.errors.push(Error::invalid(&path, "", when_empty)),
            Some(name) => {
                self.given.push("`nodeName`");
                self.errors.extend(names::subdomain(name, &path));
            }
            None => {}
        }
    }

    /// Those that fit a selector.
    pub(super) fn selector(&mut self, selector: &Value, path: &Path) {
        self.given.push("`nodeSelector`");
        self.errors
            .extend(pod::node_selector(selector, &path.child("nodeSelector")));
    }

    /// A field that is true or not there.
    pub(super) fn switch(&mut self, value: &Value, field: &str, shown: &'static str, path: &Path) {
        match at(value, &[field]).as_bool() {
            Some(true) => self.given.push(shown),
            Some(false) => self.errors.push(Error::invalid(
                &path.child(field),
                Value::Bool(false),
                "must be either unset or set to true",
            )),
            None => {}
        }
    }

    /// All that is wrong.
    pub(super) fn exactly_one(mut self, none: &str, several: &str, path: &Path) -> ErrorList {
        match self.given.len() {
            0 => self.errors.push(Error::required(path, none)),
            1 => {}
            _ => {
                let given = format!("{{{}}}", self.given.join(", "));
                self.errors.push(Error::invalid(path, given, several));
            }
        }
        self.errors
    }
}
