//! Validation of PriorityClasses (pkg/apis/scheduling/validation).
use super::shared::{immutable, set_to_one_of};
use crate::value::{at, flag, int};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::meta;
use serde_json::Value;

/// The classes of the system itself, and their values.
const SYSTEM: [(&str, i64); 2] = [
    ("system-node-critical", 2_000_001_000),
    ("system-cluster-critical", 2_000_000_000),
];

/// No class of others has a higher value.
const HIGHEST: i64 = 1_000_000_000;

/// A new or changed class.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let (value_path, policy_path) = (Path::new("value"), Path::new("preemptionPolicy"));
    let value = int(new, &["value"]).unwrap_or(0);
    let policy = at(new, &["preemptionPolicy"]);
    let mut errors = ErrorList::new();
    if let Some(old) = old {
        if int(old, &["value"]).unwrap_or(0) != value {
            errors.push(Error::forbidden(&value_path, "may not be changed in an update."));
        }
        errors.extend(immutable(&policy_path, at(old, &["preemptionPolicy"]), policy));
        return errors;
    }
    if meta::name(new).starts_with("system-") {
        errors.extend(no_system_class(new, value).map(|why| {
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            );
            Error::forbidden(&Path::new("metadata.name"), detail)
        }));
    } else if value > HIGHEST {
        errors.push(Error::forbidden(
            &value_path,
            format!("maximum allowed value of a user defined priority is {HIGHEST}"),
        ));
    }
    if !policy.is_null() {
        errors.extend(set_to_one_of(
            &policy_path,
            policy,
            &["PreemptLowerPriority", "Never"],
        ));
    }
    errors
}

/// Why this is none of the system's classes.
fn no_system_class(class: &Value, value: i64) -> Option<String> {
    let name = meta::name(class);
    let Some((_, wanted)) = SYSTEM.iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *wanted {
        return Some(format!("value of {name} PriorityClass must be {wanted}"));
    }
    flag(class, &["globalDefault"]).then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_of_the_system_are_its_own() {
        const RESERVED: &str = "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: ";
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        let mut default = class("system-node-critical", 2_000_001_000);
        default["globalDefault"] = json!(true);
        let mut odd = class("a", 1);
        odd["preemptionPolicy"] = json!("");
        for (old, new, wrong) in [
            (None, class("a", 1_000_000_000), String::new()),
            (None, class("system-node-critical", 2_000_001_000), String::new()),
            (
                None,
                class("a", 1_000_000_001),
                "value: Forbidden: maximum allowed value of a user defined priority is 1000000000".to_owned(),
            ),
            (
                None,
                class("system-x", 2_000_000_000),
                format!("{RESERVED}system-x is not a known system priority class"),
            ),
            (
                None,
                class("system-cluster-critical", 1),
                format!("{RESERVED}value of system-cluster-critical PriorityClass must be 2000000000"),
            ),
            (
                None,
                default,
                format!("{RESERVED}globalDefault of system-node-critical PriorityClass must be false"),
            ),
            (None, odd, "preemptionPolicy: Required value".to_owned()),
            (
                Some(class("a", 1)),
                class("a", 2),
                "value: Forbidden: may not be changed in an update.".to_owned(),
            ),
        ] {
            let found = check(old.as_ref(), &new);
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("; "), wrong, "{new}");
        }
    }
}
