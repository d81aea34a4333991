//! Which names a definition gets, and what its conditions say.

use apimachinery::meta;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names that other definitions of the group have.
#[derive(Debug, Default)]
struct Taken {
    resources: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn taken(definitions: &[Arc<Value>], own: &Value) -> Taken {
    let mut taken = Taken::default();
    for other in definitions {
        if text(&other["spec"], "group") != text(&own["spec"], "group")
            || meta::name(other) == meta::name(own)
        {
            continue;
        }
        let names = &other["status"]["acceptedNames"];
        let resources = [text(names, "plural"), text(names, "singular")]
            .into_iter()
            .chain(texts(&names["shortNames"]));
        taken
            .resources
            .extend(resources.filter(|name| !name.is_empty()).map(str::to_owned));
        let kinds = [text(names, "kind"), text(names, "listKind")];
        taken.kinds.extend(
            kinds
                .into_iter()
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
        );
    }
    taken
}

/// A condition, without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub kind: &'static str,
    pub status: &'static str,
    pub reason: String,
    pub message: String,
}

impl Condition {
    pub fn new(kind: &'static str, status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// The names that are accepted, and the conditions NamesAccepted and Established.
pub fn decide(definitions: &[Arc<Value>], own: &Value) -> (Value, Vec<Condition>) {
    let taken = taken(definitions, own);
    let wanted = &own["spec"]["names"];
    let mut accepted = own["status"]["acceptedNames"].clone();
    if !accepted.is_object() {
        accepted = json!({"plural": "", "kind": ""});
    }
    let mut conflict = Condition::new("NamesAccepted", "True", "NoConflicts", "no conflicts found");
    let mut refuse = |reason: &str, message: String| {
        conflict = Condition::new("NamesAccepted", "False", reason, message);
    };
    for (field, reason, used) in [
        ("plural", "PluralConflict", &taken.resources),
        ("singular", "SingularConflict", &taken.resources),
    ] {
        take(wanted, &mut accepted, field, used).unwrap_or_else(|message| refuse(reason, message));
    }
    take_short(wanted, &mut accepted, &taken.resources)
        .unwrap_or_else(|message| refuse("ShortNamesConflict", message));
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        take(wanted, &mut accepted, field, &taken.kinds).unwrap_or_else(|message| refuse(reason, message));
    }
    put(&mut accepted, "categories", &wanted["categories"]);
    let established = is_true(own, "Established");
    let established = match (established, conflict.status) {
        (true, _) => None,
        (false, "True") => Some(Condition::new(
            "Established",
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        )),
        (false, _) => Some(Condition::new(
            "Established",
            "False",
            "NotAccepted",
            "not all names are accepted",
        )),
    };
    let mut conditions = vec![conflict];
    conditions.extend(established);
    (accepted, conditions)
}

fn put(accepted: &mut Value, field: &str, wanted: &Value) {
    let absent = wanted.is_null()
        || wanted.as_array().is_some_and(Vec::is_empty)
        || wanted.as_str().is_some_and(str::is_empty);
    if let Some(map) = accepted.as_object_mut() {
        if absent && !matches!(field, "plural" | "kind") {
            map.remove(field);
        } else {
            map.insert(field.to_owned(), wanted.clone());
        }
    }
}

fn take(wanted: &Value, accepted: &mut Value, field: &str, used: &BTreeSet<String>) -> Result<(), String> {
    let name = text(wanted, field);
    if name != text(accepted, field) && used.contains(name) {
        return Err(format!("{name:?} is already in use"));
    }
    put(accepted, field, &json!(name));
    Ok(())
}

fn take_short(wanted: &Value, accepted: &mut Value, used: &BTreeSet<String>) -> Result<(), String> {
    let known: BTreeSet<String> = texts(&accepted["shortNames"]).map(str::to_owned).collect();
    let errors: Vec<String> = texts(&wanted["shortNames"])
        .filter(|name| !known.contains(*name) && used.contains(*name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match errors.as_slice() {
        [] => {
            put(accepted, "shortNames", &wanted["shortNames"]);
            Ok(())
        }
        [one] => Err(one.clone()),
        several => Err(format!("[{}]", several.join(", "))),
    }
}

const NON_STRUCTURAL: &str = "NonStructuralSchema";

/// That a definition from an older server isn't structural. There is no condition that it is.
pub fn structure(own: &Value) -> Option<Condition> {
    api::validate::non_structural(own).map(|why| Condition::new(NON_STRUCTURAL, "True", "Violations", why))
}

/// Takes away what [`structure`] said before; false if it was not there.
pub fn forget_structure(definition: &mut Value) -> bool {
    let Some(list) = definition["status"]["conditions"].as_array_mut() else {
        return false;
    };
    let before = list.len();
    list.retain(|condition| text(condition, "type") != NON_STRUCTURAL);
    list.len() < before
}

/// The approval that definitions in Kubernetes' own groups need.
pub fn approval(own: &Value) -> Option<Condition> {
    let group = text(&own["spec"], "group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|suffix| group == *suffix || group.ends_with(&format!(".{suffix}")));
    if !protected {
        return None;
    }
    let kind = "KubernetesAPIApprovalPolicyConformant";
    Some(
        match meta::annotation(own, "api-approved.kubernetes.io").unwrap_or("") {
            "" => Condition::new(
                kind,
                "False",
                "MissingAnnotation",
                "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ),
            text if text.starts_with("unapproved") => Condition::new(
                kind,
                "False",
                "UnapprovedAnnotation",
                "not approved: \"unapproved\"".replace("unapproved\"", &format!("{text}\"")),
            ),
            text if text.starts_with("https://") => {
                Condition::new(kind, "True", "ApprovedAnnotation", format!("approved in {text}"))
            }
            text => Condition::new(
                kind,
                "False",
                "InvalidAnnotation",
                format!("invalid annotation \"api-approved.kubernetes.io\": {text:?}"),
            ),
        },
    )
}

/// Whether a condition of the definition holds.
pub fn is_true(definition: &Value, kind: &str) -> bool {
    definition["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| text(condition, "type") == kind && text(condition, "status") == "True")
}

/// Sets a condition; its time only when the status changes. Whether anything changed.
pub fn set(definition: &mut Value, condition: &Condition, now: &str) -> bool {
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else {
        return false;
    };
    let known = list
        .iter_mut()
        .find(|known| text(known, "type") == condition.kind);
    let mut made = json!({
        "type": condition.kind, "status": condition.status, "lastTransitionTime": now,
        "reason": condition.reason, "message": condition.message,
    });
    match known {
        Some(known) => {
            if text(known, "status") == condition.status {
                made["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            if let Some(observed) = known.get("observedGeneration") {
                made["observedGeneration"] = observed.clone();
            }
            let changed = *known != made;
            *known = made;
            changed
        }
        None => {
            list.push(made);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(name: &str, names: Value, accepted: Value) -> Arc<Value> {
        Arc::new(json!({
            "metadata": {"name": name},
            "spec": {"group": "example.com", "names": names},
            "status": {"acceptedNames": accepted},
        }))
    }

    #[test]
    fn names_are_accepted_unless_others_have_them() {
        let names =
            json!({"plural": "as", "singular": "a", "kind": "A", "listKind": "AList", "shortNames": ["x"]});
        let first = definition("as.example.com", names.clone(), names.clone());
        let fresh = definition(
            "bs.example.com",
            json!({"plural": "bs", "singular": "b", "kind": "B", "listKind": "BList"}),
            json!({"plural": "", "kind": ""}),
        );
        let all = [Arc::clone(&first), Arc::clone(&fresh)];
        let (accepted, conditions) = decide(&all, &fresh);
        assert_eq!(
            accepted,
            json!({"plural": "bs", "singular": "b", "kind": "B", "listKind": "BList"})
        );
        assert_eq!(conditions[0].reason, "NoConflicts");
        assert_eq!(conditions[1].status, "True");

        let clash = definition(
            "cs.example.com",
            json!({"plural": "cs", "singular": "a", "kind": "A", "listKind": "CList", "shortNames": ["x"]}),
            json!({"plural": "", "kind": ""}),
        );
        let all = [first, Arc::clone(&clash)];
        let (accepted, conditions) = decide(&all, &clash);
        assert_eq!(accepted, json!({"plural": "cs", "kind": "", "listKind": "CList"}));
        assert_eq!(
            (conditions[0].status, conditions[0].reason.as_str()),
            ("False", "KindConflict")
        );
        assert_eq!(conditions[0].message, "\"A\" is already in use");
        assert_eq!(conditions[1].reason, "NotAccepted");
    }

    #[test]
    fn definitions_of_older_servers_are_told_to_be_no_structure() {
        let schema = |schema: Value| json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}});
        assert!(structure(&schema(json!({"type": "object"}))).is_none());
        let mut old = schema(json!({"properties": {"a": {}}}));
        old["spec"]["preserveUnknownFields"] = json!(true);
        let condition = structure(&old).unwrap();
        assert_eq!(
            condition.message,
            "[spec.preserveUnknownFields: Invalid value: true: must be false, \
             spec.versions[0].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields, \
             spec.versions[0].schema.openAPIV3Schema.type: Required value: must not be empty at the root]"
        );
        set(&mut old, &condition, "1");
        assert!(is_true(&old, NON_STRUCTURAL));
        assert!(forget_structure(&mut old) && !forget_structure(&mut old));
    }

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut definition = json!({});
        let condition = Condition::new("Established", "True", "A", "a");
        assert!(set(&mut definition, &condition, "1"));
        assert!(!set(&mut definition, &condition, "2"));
        assert!(set(
            &mut definition,
            &Condition::new("Established", "True", "B", "b"),
            "3"
        ));
        assert_eq!(definition["status"]["conditions"][0]["lastTransitionTime"], "1");
        assert!(is_true(&definition, "Established"));
    }
}
