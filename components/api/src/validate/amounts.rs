//! Amounts of resources, and the names of these.
use super::shared::texts;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{Quantity, names};
use serde_json::Value;

/// Resources that are counted in whole objects.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// An amount that may not be negative.
pub(in crate::validate) fn amount(path: &Path, value: &Value) -> Option<Error> {
    let amount = Quantity::from_json(value).ok()?;
    (amount.sign() < 0)
        .then(|| Error::invalid(path, amount.to_string(), "must be greater than or equal to 0"))
}

/// An amount that fits the resource: not negative, and whole where there are no parts.
pub(in crate::validate) fn resource_amount(path: &Path, name: &str, value: &Value) -> ErrorList {
    let mut errors: ErrorList = amount(path, value).into_iter().collect();
    let whole = COUNTED.contains(&name) || is_extended(name);
    if whole && Quantity::from_json(value).is_ok_and(|amount| amount.is_finer_than(1)) {
        errors.push(Error::invalid(path, value, "must be an integer"));
    }
    errors
}

/// Whether the resource is counted in whole objects.
pub(in crate::validate) fn is_counted(name: &str) -> bool {
    COUNTED.contains(&name)
}

/// Whether the resource is Kubernetes' own.
pub(in crate::validate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether the resource is somebody else's, such as `example.com/gpu`.
pub(in crate::validate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::qualified_name(&format!("requests.{name}")).is_empty()
}

pub(in crate::validate) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether more can be promised than there is.
pub(in crate::validate) fn is_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// The name of a resource such as `cpu` or `example.com/gpu`.
pub(in crate::validate) fn resource_name(path: &Path, name: &str) -> ErrorList {
    let errors = texts(path, name, names::qualified_name(name));
    const STANDARD: &[&str] = &[
        "cpu",
        "memory",
        "ephemeral-storage",
        "storage",
        "requests.cpu",
        "requests.memory",
        "requests.storage",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    ];
    let standard = || {
        STANDARD.contains(&name)
            || COUNTED.contains(&name)
            || is_huge_page(name)
            || name.starts_with("requests.hugepages-")
    };
    if errors.is_empty() && !name.contains('/') && !standard() {
        return vec![Error::invalid(
            path,
            name,
            "must be a standard resource type or fully qualified",
        )];
    }
    errors
}

/// The name of a resource that containers can have.
pub(in crate::validate) fn container_resource_name(path: &Path, name: &str) -> ErrorList {
    let mut errors = resource_name(path, name);
    let standard = matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_page(name);
    let why = if name.contains('/') {
        (!is_native(name) && !is_extended(name)).then_some("doesn't follow extended resource name standard")
    } else {
        (!standard).then_some("must be a standard resource for containers")
    };
    errors.extend(why.map(|why| Error::invalid(path, name, why)));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_amounts_fit_each_other() {
        for (name, value, wrong) in [
            ("cpu", "100m", 0),
            ("memory", "-1", 1),
            ("example.com/gpu", "1", 0),
            ("example.com/gpu", "500m", 1),
            ("pods", "1500m", 2),
            ("kubernetes.io/batch", "1", 0),
            ("requests.example.com/gpu", "1", 1),
            ("gpu", "1", 2),
            ("hugepages-2Mi", "4Mi", 0),
        ] {
            let path = Path::new("limits");
            let mut errors = container_resource_name(&path, name);
            errors.extend(resource_amount(&path, name, &json!(value)));
            assert_eq!(errors.len(), wrong, "{name}={value}: {errors:?}");
        }
        assert!(is_overcommitted("cpu") && !is_overcommitted("example.com/gpu"));
        assert!(!is_overcommitted("hugepages-2Mi"));
    }
}
