//! Validation of webhook configurations and admission policies, but for their expressions.
use super::shared::{label_selector, maybe_one_of, one_of, texts};
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::{meta, names};
use serde_json::Value;
use std::collections::HashSet;

const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

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

fn webhooks(mutating: bool, new: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let mut seen = HashSet::new();
    for (index, hook) in list(new, &["webhooks"]).iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        let versions = list(hook, &["admissionReviewVersions"]);
        if versions.is_empty() {
            errors.push(Error::required(
                &path.child("admissionReviewVersions"),
                "must specify one of v1, v1beta1",
            ));
        }
        for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(texts(
                &path.child("admissionReviewVersions").index(index),
                version,
                names::dns1035_label(version),
            ));
        }
        if !versions.is_empty()
            && !versions
                .iter()
                .any(|version| version == "v1" || version == "v1beta1")
        {
            errors.push(Error::invalid(
                &path.child("admissionReviewVersions"),
                Value::from(versions),
                "must include at least one of v1, v1beta1",
            ));
        }
        let name = text(hook, &["name"]);
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.extend(texts(&path.child("name"), name, names::dns1123_subdomain(name)));
            if names::dns1123_subdomain(name).is_empty() && name.split('.').count() < 3 {
                errors.push(Error::invalid(
                    &path.child("name"),
                    name,
                    "should be a domain with at least three segments separated by dots",
                ));
            }
        }
        for (index, rule) in list(hook, &["rules"]).iter().enumerate() {
            errors.extend(self::rule(rule, &path.child("rules").index(index)));
        }
        errors.extend(maybe_one_of(
            &path.child("failurePolicy"),
            at(hook, &["failurePolicy"]),
            &["Fail", "Ignore"],
        ));
        errors.extend(maybe_one_of(
            &path.child("matchPolicy"),
            at(hook, &["matchPolicy"]),
            &["Equivalent", "Exact"],
        ));
        match at(hook, &["sideEffects"]) {
            Value::Null => errors.push(Error::required(
                &path.child("sideEffects"),
                "must specify one of None, NoneOnDryRun",
            )),
            effects => errors.extend(one_of(
                &path.child("sideEffects"),
                effects,
                &["None", "NoneOnDryRun"],
            )),
        }
        if mutating {
            errors.extend(maybe_one_of(
                &path.child("reinvocationPolicy"),
                at(hook, &["reinvocationPolicy"]),
                &["IfNeeded", "Never"],
            ));
        }
        if let Some(seconds) = int(hook, &["timeoutSeconds"]).filter(|seconds| !(1..=30).contains(seconds)) {
            errors.push(Error::invalid(
                &path.child("timeoutSeconds"),
                seconds,
                "the timeout value must be between 1 and 30 seconds",
            ));
        }
        for field in ["namespaceSelector", "objectSelector"] {
            errors.extend(label_selector(&path.child(field), at(hook, &[field])));
        }
        errors.extend(client(at(hook, &["clientConfig"]), &path.child("clientConfig")));
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
    errors
}

fn client(client: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let (url, service) = (at(client, &["url"]), at(client, &["service"]));
    if url.is_string() == service.is_object() {
        errors.push(Error::required(path, "exactly one of url or service is required"));
        return errors;
    }
    if service.is_object() {
        let path = path.child("service");
        // Upstream names the one where it misses the other.
        for (field, named) in [("namespace", "name"), ("name", "namespace")] {
            if text(service, &[field]).is_empty() {
                errors.push(Error::required(&path.child(named), ""));
            }
        }
        if let Some(place) = at(service, &["path"])
            .as_str()
            .filter(|place| !place.is_empty() && !place.starts_with('/'))
        {
            errors.push(Error::invalid(
                &path.child("path"),
                place,
                "must start with a '/'",
            ));
        }
        let port = int(service, &["port"]).unwrap_or(443);
        if !(1..=65535).contains(&port) {
            errors.push(Error::invalid(
                &path.child("port"),
                port,
                "port is not valid: must be between 1 and 65535, inclusive",
            ));
        }
    } else if let Some(url) = url.as_str().filter(|url| !url.starts_with("https://")) {
        errors.push(Error::invalid(
            &path.child("url"),
            url,
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
        ));
    }
    errors
}

fn rule(rule: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let operations = list(rule, &["operations"]);
    if operations.is_empty() {
        errors.push(Error::required(&path.child("operations"), ""));
    }
    if operations.len() > 1 && operations.iter().any(|operation| operation == "*") {
        errors.push(Error::invalid(
            &path.child("operations"),
            Value::from(operations),
            "if '*' is present, must not specify other operations",
        ));
    }
    errors.extend(operations.iter().enumerate().filter_map(|(index, operation)| {
        one_of(&path.child("operations").index(index), operation, OPERATIONS)
    }));
    for field in ["apiGroups", "apiVersions", "resources"] {
        let values = list(rule, &[field]);
        let path = path.child(field);
        if values.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if values.len() > 1 && values.iter().any(|value| value == "*") && field != "resources" {
            errors.push(Error::invalid(
                &path,
                Value::from(values),
                format!(
                    "if '*' is present, must not specify other {}",
                    if field == "apiGroups" {
                        "API groups"
                    } else {
                        "API versions"
                    }
                ),
            ));
        }
        if field != "apiGroups" {
            errors.extend(
                values
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| *value == "")
                    .map(|(index, _)| Error::required(&path.index(index), "")),
            );
        }
    }
    errors.extend(maybe_one_of(
        &path.child("scope"),
        at(rule, &["scope"]),
        &["*", "Cluster", "Namespaced"],
    ));
    errors
}

fn constraints(constraints: &Value, rules_required: bool, path: &Path) -> ErrorList {
    let mut errors: ErrorList = match at(constraints, &["matchPolicy"]) {
        Value::Null => vec![Error::required(&path.child("matchPolicy"), "")],
        policy => one_of(&path.child("matchPolicy"), policy, &["Equivalent", "Exact"])
            .into_iter()
            .collect(),
    };
    for field in ["namespaceSelector", "objectSelector"] {
        errors.extend(label_selector(&path.child(field), at(constraints, &[field])));
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in list(constraints, &[field]).iter().enumerate() {
            errors.extend(self::rule(rule, &path.child(field).index(index)));
        }
    }
    if rules_required && list(constraints, &["resourceRules"]).is_empty() {
        errors.push(Error::required(&path.child("resourceRules"), ""));
    }
    errors
}

fn required_text(value: &Value, field: &str, noun: &str, path: &Path) -> Option<Error> {
    text(value, &[field])
        .trim()
        .is_empty()
        .then(|| Error::required(&path.child(field), format!("{noun} is not specified")))
}

fn validating(new: &Value, spec: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = maybe_one_of(
        &path.child("failurePolicy"),
        at(spec, &["failurePolicy"]),
        &["Fail", "Ignore"],
    )
    .into_iter()
    .collect();
    errors.extend(param_kind(at(spec, &["paramKind"]), &path.child("paramKind")));
    if at(spec, &["matchConstraints"]).is_object() {
        errors.extend(constraints(
            at(spec, &["matchConstraints"]),
            true,
            &path.child("matchConstraints"),
        ));
    } else {
        errors.push(Error::required(&path.child("matchConstraints"), ""));
    }
    errors.extend(variables(spec, path));
    let (validations, annotations) = (list(spec, &["validations"]), list(spec, &["auditAnnotations"]));
    if validations.is_empty() && annotations.is_empty() {
        errors.push(Error::required(
            &path.child("validations"),
            "validations or auditAnnotations must contain at least one item",
        ));
        errors.push(Error::required(
            &path.child("auditAnnotations"),
            "validations or auditAnnotations must contain at least one item",
        ));
    }
    for (index, validation) in validations.iter().enumerate() {
        let path = path.child("validations").index(index);
        errors.extend(required_text(validation, "expression", "expression", &path));
        errors.extend(maybe_one_of(
            &path.child("reason"),
            at(validation, &["reason"]),
            &["Forbidden", "Invalid", "RequestEntityTooLarge"],
        ));
    }
    let mut seen = HashSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let path = path.child("auditAnnotations").index(index);
        let key = text(annotation, &["key"]);
        let name = meta::name(new);
        if name.is_empty() {
            errors.push(Error::invalid(
                &path.child("key"),
                key,
                "requires metadata.name be non-empty",
            ));
        } else {
            let qualified = format!("{name}/{key}");
            errors.extend(texts(
                &path.child("key"),
                &qualified,
                names::qualified_name(&qualified),
            ));
        }
        let expression = text(annotation, &["valueExpression"]);
        if expression.trim().is_empty() {
            errors.push(Error::required(
                &path.child("valueExpression"),
                "valueExpression is not specified",
            ));
        }
        if !seen.insert(key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
    }
    errors
}

fn variables(spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for (index, variable) in list(spec, &["variables"]).iter().enumerate() {
        let path = path.child("variables").index(index);
        errors.extend(required_text(variable, "name", "name", &path));
        errors.extend(required_text(variable, "expression", "expression", &path));
    }
    errors
}

fn param_kind(kind: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if kind.is_object() {
        for field in ["apiVersion", "kind"] {
            if text(kind, &[field]).is_empty() {
                errors.push(Error::required(&path.child(field), ""));
            }
        }
    }
    errors
}

fn mutating(spec: &Value, path: &Path) -> ErrorList {
    let mut errors: ErrorList = maybe_one_of(
        &path.child("failurePolicy"),
        at(spec, &["failurePolicy"]),
        &["Fail", "Ignore"],
    )
    .into_iter()
    .collect();
    errors.extend(param_kind(at(spec, &["paramKind"]), &path.child("paramKind")));
    if at(spec, &["matchConstraints"]).is_object() {
        errors.extend(constraints(
            at(spec, &["matchConstraints"]),
            true,
            &path.child("matchConstraints"),
        ));
    } else {
        errors.push(Error::required(&path.child("matchConstraints"), ""));
    }
    errors.extend(variables(spec, path));
    let mutations = list(spec, &["mutations"]);
    if mutations.is_empty() {
        errors.push(Error::required(
            &path.child("mutations"),
            "mutations must contain at least one item",
        ));
    }
    for (index, mutation) in mutations.iter().enumerate() {
        let path = path.child("mutations").index(index);
        let field = match text(mutation, &["patchType"]) {
            "" => {
                errors.push(Error::required(&path.child("patchType"), ""));
                continue;
            }
            "ApplyConfiguration" => "applyConfiguration",
            "JSONPatch" => "jsonPatch",
            other => {
                errors.push(Error::not_supported(
                    &path.child("patchType"),
                    other,
                    &["ApplyConfiguration", "JSONPatch"],
                ));
                continue;
            }
        };
        if !at(mutation, &[field]).is_object() {
            errors.push(Error::required(&path.child(field), ""));
        } else if text(mutation, &[field, "expression"]).trim().is_empty() {
            errors.push(Error::required(&path.child(field).child("expression"), ""));
        }
    }
    match text(spec, &["reinvocationPolicy"]) {
        "" => errors.push(Error::required(&path.child("reinvocationPolicy"), "")),
        _ => errors.extend(one_of(
            &path.child("reinvocationPolicy"),
            at(spec, &["reinvocationPolicy"]),
            &["IfNeeded", "Never"],
        )),
    }
    errors
}

fn binding(validating: bool, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = text(spec, &["policyName"]);
    if policy.is_empty() {
        errors.push(Error::required(&path.child("policyName"), ""));
    } else {
        errors.extend(texts(
            &path.child("policyName"),
            policy,
            names::dns1123_subdomain(policy),
        ));
    }
    if at(spec, &["matchResources"]).is_object() {
        errors.extend(constraints(
            at(spec, &["matchResources"]),
            false,
            &path.child("matchResources"),
        ));
    }
    if !validating {
        return errors;
    }
    let actions = list(spec, &["validationActions"]);
    if actions.is_empty() {
        errors.push(Error::required(
            &path.child("validationActions"),
            "at least one validation action is required",
        ));
    }
    let mut seen = HashSet::new();
    for (index, action) in actions.iter().enumerate() {
        let path = path.child("validationActions").index(index);
        errors.extend(one_of(&path, action, &["Audit", "Deny", "Warn"]));
        if !seen.insert(action.as_str()) {
            errors.push(Error::duplicate(&path, action));
        }
    }
    if seen.contains(&Some("Deny")) && seen.contains(&Some("Warn")) {
        errors.push(Error::invalid(&path.child("validationActions"), Value::from(actions), "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"));
    }
    errors
}
