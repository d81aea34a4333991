//! Which resources an entry of an EncryptionConfiguration is about.

use super::config::{Mistake, Outcome, none_of, required};
use apimachinery::field::quote;
use std::fmt;

const DUPLICATE: &str = "the same resource cannot be specified multiple times";
const OVERLAP: &str = "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked";
/// What is stored without being a resource.
const WITHOUT_API: [&str; 3] = [
    "apiserveripinfo",
    "serviceipallocations",
    "servicenodeportallocations",
];

/// A resource by name, all of a group, or all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selector {
    resource: String,
    group: String,
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.resource.as_str(), self.group.as_str()) {
            ("*", "") => formatter.write_str("*."),
            (resource, "") => formatter.write_str(resource),
            (resource, group) => write!(formatter, "{resource}.{group}"),
        }
    }
}

impl Selector {
    fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Selector {
            resource: resource.to_owned(),
            group: group.to_owned(),
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        (self.resource == "*" || self.resource == resource)
            && (self.group == group || (self.group == "*" && self.resource == "*"))
    }

    /// The earlier selector that takes all that this one selects.
    pub(super) fn mask<'a>(&self, earlier: &[&'a Selector]) -> Option<&'a Selector> {
        let of_group = |other: &Selector| other.resource == "*" && other.group == self.group;
        let mut masks = earlier
            .iter()
            .filter(|other| of_group(other) || other.is_everything());
        masks.next().copied()
    }

    /// What is wrong with its name, which was written as `text`.
    fn misnamed(&self, text: &str) -> Option<&'static str> {
        if text.to_lowercase() != text {
            Some("resource name should not contain capital letters")
        } else if text == "*" {
            Some("use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources")
        } else if WITHOUT_API.contains(&text) {
            Some("resources which do not have REST API/s cannot be encrypted")
        } else if self.group == "events.k8s.io" {
            Some(
                "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file",
            )
        } else if self.group == "extensions" {
            Some("'extensions' group has been removed and cannot be used for encryption")
        } else if self.group == "*" && self.resource != "*" {
            Some("encrypting the same resource across groups is not supported")
        } else {
            None
        }
    }

    fn is_everything(&self) -> bool {
        self.resource == "*" && self.group == "*"
    }

    fn overlaps(&self, other: &Selector) -> bool {
        self.is_everything()
            || other.is_everything()
            || (self.group == other.group && (self.resource == "*" || other.resource == "*"))
    }
}

/// What an entry lists, or what is wrong with it.
pub(super) fn selectors(field: &str, resources: &[String]) -> Outcome<Vec<Selector>> {
    if resources.is_empty() {
        return required(field, &format!("at least one {field} is required"));
    }
    let selectors: Vec<Selector> = resources.iter().map(|text| Selector::parse(text)).collect();
    let any_two = |fit: fn(&Selector, &Selector) -> bool| {
        let mut all = selectors.iter().enumerate();
        all.any(|(index, one)| selectors[..index].iter().any(|other| fit(one, other)))
    };
    let mut mistakes = Vec::new();
    for (is_so, why) in [
        (any_two(Selector::eq), DUPLICATE),
        (any_two(Selector::overlaps), OVERLAP),
    ] {
        if is_so {
            let texts: Vec<String> = resources.iter().map(|text| quote(text)).collect();
            let message = format!("Invalid value: [{}]: {why}", texts.join(","));
            let field = field.to_owned();
            mistakes.push(Mistake { field, message });
        }
    }
    for (index, (resource, selector)) in resources.iter().zip(&selectors).enumerate() {
        if let Some(why) = selector.misnamed(resource) {
            let field = format!("{field}[{index}]");
            let message = format!("Invalid value: {}: {why}", quote(resource));
            mistakes.push(Mistake { field, message });
        }
    }
    none_of(mistakes).map(|()| selectors)
}
