//! Which requests a webhook or policy is about: rules, scope, selectors, equivalent resources.

use super::attributes::{Attributes, Operation};
use api::{Registry, Resource};
use apimachinery::GroupVersionKind;
use apimachinery::selector::LabelSelector;
use serde_json::Value;
use std::sync::Arc;

/// Names that are listed, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    Any,
    These(Vec<String>),
}

impl Words {
    fn read(list: &Value) -> Self {
        let words: Vec<String> = strings(list);
        if words.iter().any(|word| word == "*") {
            Self::Any
        } else {
            Self::These(words)
        }
    }

    fn has(&self, wanted: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(words) => words.iter().any(|word| word == wanted),
        }
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Cluster,
    Namespaced,
}

/// One rule; all of its parts must match.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    operations: Words,
    groups: Words,
    versions: Words,
    /// Resource and subresource; `*` is any.
    resources: Vec<(String, String)>,
    scope: Scope,
    /// Of policies only; empty is any.
    names: Vec<String>,
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let resources = strings(&rule["resources"]);
        let split = |text: &String| {
            let (resource, subresource) = text.split_once('/').unwrap_or((text, ""));
            (resource.to_owned(), subresource.to_owned())
        };
        Self {
            operations: Words::read(&rule["operations"]),
            groups: Words::read(&rule["apiGroups"]),
            versions: Words::read(&rule["apiVersions"]),
            resources: resources.iter().map(split).collect(),
            scope: match rule["scope"].as_str() {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                _ => Scope::All,
            },
            names: strings(&rule["resourceNames"]),
        }
    }

    fn matches(&self, row: &Resource, attributes: &Attributes<'_>) -> bool {
        self.operations.has(attributes.operation.name())
            && self.groups.has(&row.gvk.group)
            && self.versions.has(&row.gvk.version)
            && self.resources.iter().any(|(resource, subresource)| {
                (resource == "*" || *resource == row.plural)
                    && (subresource == "*" || *subresource == attributes.subresource)
            })
            && self.in_scope(row, attributes)
            && (self.names.is_empty() || self.names.contains(&attributes.name))
    }

    fn in_scope(&self, row: &Resource, attributes: &Attributes<'_>) -> bool {
        let namespace_itself = row.gvk.group.is_empty() && row.plural == "namespaces";
        let within = !namespace_itself && !attributes.namespace.is_empty();
        match self.scope {
            Scope::All => true,
            Scope::Namespaced => within,
            Scope::Cluster => !within,
        }
    }
}

/// What a webhook, policy or binding asks of requests.
#[derive(Clone, Debug)]
pub struct Criteria {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Without rules every resource matches.
    open: bool,
    equivalent: bool,
    pub namespaces: Selector,
    pub objects: Selector,
}

/// A label selector, or why it can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Result<LabelSelector, String>);

impl Selector {
    fn read(selector: &Value) -> Self {
        let missing = selector.is_null();
        let parsed = LabelSelector::from_object(Some(selector)).map_err(|error| error.to_string());
        Self(if missing {
            Ok(LabelSelector::default())
        } else {
            parsed
        })
    }

    /// Whether nothing needs to be looked up.
    pub fn is_everything(&self) -> bool {
        matches!(&self.0, Ok(selector) if selector.is_everything())
    }

    /// The selector, or the text of what is wrong with it.
    pub fn get(&self) -> Result<&LabelSelector, &str> {
        self.0.as_ref().map_err(String::as_str)
    }
}

/// As which resource and kind a request reaches a webhook or policy.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub row: Arc<Resource>,
    pub kind: GroupVersionKind,
    /// The request has another version, so that objects have to be converted.
    pub converted: bool,
}

impl Criteria {
    pub fn of_webhook(hook: &Value) -> Self {
        Self::read(hook, &hook["rules"], &Value::Null, false)
    }

    /// `matchConstraints` of a policy, or `matchResources` of a binding; none of these matches everything.
    pub fn of_policy(resources: &Value) -> Self {
        Self::read(
            resources,
            &resources["resourceRules"],
            &resources["excludeResourceRules"],
            true,
        )
    }

    fn read(from: &Value, rules: &Value, excluded: &Value, open: bool) -> Self {
        let read = |rules: &Value| {
            rules
                .as_array()
                .into_iter()
                .flatten()
                .map(Rule::read)
                .collect::<Vec<_>>()
        };
        Self {
            rules: read(rules),
            excluded: read(excluded),
            open,
            equivalent: from["matchPolicy"] == "Equivalent",
            namespaces: Selector::read(&from["namespaceSelector"]),
            objects: Selector::read(&from["objectSelector"]),
        }
    }

    /// Applies the rules, without selectors.
    pub fn matches_rules(&self, attributes: &Attributes<'_>, registry: &Registry) -> Option<Invocation> {
        if self.find(&self.excluded, attributes, registry).is_some() {
            return None;
        }
        if self.open && self.rules.is_empty() {
            return Some(exact(attributes));
        }
        self.find(&self.rules, attributes, registry)
    }

    fn find(&self, rules: &[Rule], attributes: &Attributes<'_>, registry: &Registry) -> Option<Invocation> {
        if rules.iter().any(|rule| rule.matches(&attributes.row, attributes)) {
            return Some(exact(attributes));
        }
        if !self.equivalent || rules.is_empty() {
            return None;
        }
        // The first rule decides, as it does for the request's own version.
        let others = equivalents(registry, &attributes.row);
        rules.iter().find_map(|rule| {
            let row = others.iter().find(|row| rule.matches(row, attributes))?;
            let kind = row
                .subresource(&attributes.subresource)
                .map_or(&row.gvk, |subresource| &subresource.gvk);
            Some(Invocation {
                row: Arc::clone(row),
                kind: kind.clone(),
                converted: kind != attributes.kind(),
            })
        })
    }

    /// Whether the object selector takes the object or what it was.
    pub fn matches_object(&self, object: Option<&Value>, old: Option<&Value>) -> Result<bool, String> {
        if self.objects.is_everything() {
            return Ok(true);
        }
        let selector = self.objects.get()?;
        let taken = |object: Option<&Value>| {
            object
                .filter(|object| object["metadata"].is_object())
                .is_some_and(|object| selector.matches(apimachinery::meta::labels(object)))
        };
        Ok(taken(object) || taken(old))
    }
}

fn exact(attributes: &Attributes<'_>) -> Invocation {
    Invocation {
        row: Arc::clone(&attributes.row),
        kind: attributes.kind().clone(),
        converted: false,
    }
}

/// Other resources that show the same stored objects.
fn equivalents<'a>(registry: &'a Registry, row: &Resource) -> Vec<&'a Arc<Resource>> {
    registry
        .iter()
        .filter(|other| {
            other.gvk != row.gvk
                && if row.is_stored() {
                    other.is_stored() && other.storage_prefix == row.storage_prefix
                } else {
                    other.gvk.group == row.gvk.group && other.plural == row.plural
                }
        })
        .collect()
}

/// Objects that configure admission are not subject to it: they could lock everybody out.
pub fn exempt(attributes: &Attributes<'_>) -> bool {
    attributes.row.gvk.group == "admissionregistration.k8s.io"
}

/// Resources that policies leave alone: questions about rights, which must be answered whatever policies say.
pub fn policy_exempt(attributes: &Attributes<'_>) -> bool {
    exempt(attributes)
        || match attributes.row.gvk.group.as_str() {
            "authentication.k8s.io" => {
                matches!(
                    attributes.row.plural.as_str(),
                    "selfsubjectreviews" | "tokenreviews"
                )
            }
            "authorization.k8s.io" => true,
            _ => false,
        }
}

/// Whether the labels of a namespace are those in the request.
pub fn namespace_is_object(attributes: &Attributes<'_>) -> bool {
    attributes.row.plural == "namespaces"
        && attributes.subresource.is_empty()
        && matches!(attributes.operation, Operation::Create | Operation::Update)
}

#[cfg(test)]
mod tests;
