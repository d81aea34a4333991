//! Field selectors: which fields a kind has, and filters made of both kinds of selectors.

use crate::definitions::read;
use crate::kinds::events;
use api::Resource;
use api::custom::Definition;
use apimachinery::ApiError;
use std::borrow::Cow;
use std::sync::Arc;
use storage::{FieldSpec, Filter, Marks, StoredObject};

/// Fields besides metadata.name and metadata.namespace, with the value of an absent one.
/// Group, plural name, and fields with the value of an absent one.
type KindFields = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const FIELDS: &[KindFields] = &[
    (
        "",
        "pods",
        &[
            ("spec.nodeName", ""),
            ("spec.restartPolicy", ""),
            ("spec.schedulerName", ""),
            ("spec.serviceAccountName", ""),
            ("spec.hostNetwork", "false"),
            ("status.phase", ""),
            ("status.podIP", ""),
            ("status.nominatedNodeName", ""),
        ],
    ),
    ("", "events", EVENT_FIELDS),
    ("events.k8s.io", "events", EVENT_FIELDS),
    ("", "nodes", &[("spec.unschedulable", "false")]),
    ("", "namespaces", &[("status.phase", "")]),
    ("", "secrets", &[("type", "")]),
    ("", "services", &[("spec.clusterIP", ""), ("spec.type", "")]),
    ("", "replicationcontrollers", &[("status.replicas", "0")]),
    ("apps", "replicasets", &[("status.replicas", "0")]),
    ("batch", "jobs", &[("status.successful", "0")]),
    (
        "certificates.k8s.io",
        "certificatesigningrequests",
        &[("spec.signerName", "")],
    ),
    (
        "resource.k8s.io",
        "resourceslices",
        &[("spec.nodeName", ""), ("spec.driver", "")],
    ),
];

const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject.kind", ""),
    ("involvedObject.namespace", ""),
    ("involvedObject.name", ""),
    ("involvedObject.uid", ""),
    ("involvedObject.apiVersion", ""),
    ("involvedObject.resourceVersion", ""),
    ("involvedObject.fieldPath", ""),
    ("reason", ""),
    ("reportingComponent", ""),
    ("source", ""),
    ("type", ""),
];

/// The selectable fields of a kind.
pub fn selectable_fields(row: &Resource) -> Vec<FieldSpec> {
    FIELDS
        .iter()
        .filter(|(group, plural, _)| *group == row.gvk.group && *plural == row.plural)
        .flat_map(|(_, _, fields)| fields.iter())
        .map(|(name, default)| FieldSpec {
            paths: paths(row, name),
            ..FieldSpec::with_default(name, default)
        })
        .collect()
}

/// Where a field is: mostly where its name says.
fn paths(row: &Resource, name: &str) -> Vec<Vec<String>> {
    let path = |path: &str| path.split('.').map(str::to_owned).collect();
    match (&*row.plural, name) {
        // Events of the newer API have no source.
        ("events", "source") => vec![path("source.component"), path("reportingComponent")],
        _ => vec![path(name)],
    }
}

use apimachinery::selector::{FieldSelector, LabelSelector, Operator};

const NAME: &str = "metadata.name";

/// The field selector of a watch of the object of that name, if there is one. What else is selected must say so too.
pub fn of_named<'a>(name: &str, fields: &'a str) -> Result<Cow<'a, str>, ApiError> {
    if name.is_empty() {
        return Ok(fields.into());
    }
    let given = FieldSelector::parse(fields).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if given.is_everything() {
        return Ok(format!("{NAME}={name}").into());
    }
    if given.exact(NAME) != Some(name) {
        return Err(ApiError::bad_request(
            "fieldSelector metadata.name doesn't match requested name",
        ));
    }
    Ok(fields.into())
}

/// A filter made of both selectors of a request; `None` selects everything.
pub fn filter(row: &Resource, labels: &str, fields: &str) -> Result<Option<Filter>, ApiError> {
    let label_selector =
        LabelSelector::parse(labels).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut field_selector =
        FieldSelector::parse(fields).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if let Some(definition) = &row.custom {
        return custom_filter(row, definition, label_selector, field_selector);
    }
    let known = selectable_fields(row);
    for requirement in &mut field_selector.requirements {
        if row.gvk.group == "events.k8s.io" {
            requirement.field = events::core_field(&requirement.field)
                .ok_or_else(|| ApiError::bad_request(unsupported_field(row, &requirement.field)))?;
        }
        let name = requirement.field.as_str();
        let general = name == "metadata.name" || (name == "metadata.namespace" && row.namespaced);
        if !general && !known.iter().any(|field| field.name == name) {
            return Err(ApiError::bad_request(unsupported_field(row, name)));
        }
    }
    if label_selector.is_everything() && field_selector.is_everything() {
        return Ok(None);
    }
    let marks = label_marks(&label_selector).and(field_marks(&field_selector));
    let name = field_selector.exact(NAME).map(str::to_owned);
    Ok(Some(Filter::of_name(
        marks,
        name.as_deref(),
        move |object: &StoredObject| {
            label_selector.matches_with(|key| object.label(key))
                && field_selector.matches(|name| object.field(name))
        },
    )))
}

/// What all objects that the selector matches are marked with.
fn label_marks(selector: &LabelSelector) -> Marks {
    let pinned = selector.requirements.iter().filter_map(|requirement| {
        let equal = matches!(requirement.operator, Operator::Equals | Operator::In);
        match &*requirement.values {
            [value] if equal => Some(Marks::label(&requirement.key, value)),
            _ => None,
        }
    });
    pinned.fold(Marks::default(), Marks::and)
}

/// The same for fields; the name and the namespace are not marked.
fn field_marks(selector: &FieldSelector) -> Marks {
    let pinned = selector.requirements.iter().filter(|requirement| {
        requirement.equal && !matches!(&*requirement.field, "metadata.name" | "metadata.namespace")
    });
    pinned
        .map(|requirement| Marks::field(&requirement.field, &requirement.value))
        .fold(Marks::default(), Marks::and)
}

/// A filter over custom objects. Their fields are read in the row's version, where defaults are filled in.
fn custom_filter(
    row: &Resource,
    definition: &Arc<Definition>,
    labels: LabelSelector,
    fields: FieldSelector,
) -> Result<Option<Filter>, ApiError> {
    for requirement in &fields.requirements {
        let name = requirement.field.as_str();
        let general = name == "metadata.name" || (name == "metadata.namespace" && row.namespaced);
        let selectable = definition
            .selectable
            .iter()
            .any(|path| path.as_str().trim_start_matches('.') == name);
        if !general && !selectable {
            return Err(ApiError::bad_request(format!(
                "field label not supported: {name}"
            )));
        }
    }
    if labels.is_everything() && fields.is_everything() {
        return Ok(None);
    }
    let own = fields
        .requirements
        .iter()
        .any(|requirement| !requirement.field.starts_with("metadata."));
    let row = row.clone();
    // Fields are those of the row's version, which are not what is marked.
    let name = fields.exact(NAME).map(str::to_owned);
    Ok(Some(Filter::of_name(
        label_marks(&labels),
        name.as_deref(),
        move |object: &StoredObject| {
            if !labels.matches_with(|key| object.label(key)) {
                return false;
            }
            if !own {
                return fields.matches(|name| object.field(name));
            }
            let Some(definition) = &row.custom else {
                return false;
            };
            // An object that can't be read in this version matches nothing.
            let Ok(value) = read::value(&row, definition, object) else {
                return false;
            };
            let texts: Vec<(String, String)> = definition
                .selectable
                .iter()
                .map(|path| {
                    let name = path.as_str().trim_start_matches('.').to_owned();
                    let found = path.get(&value).ok().flatten();
                    (name, found.map(read::selector_text).unwrap_or_default())
                })
                .collect();
            fields.matches(|name| match texts.iter().find(|(known, _)| known == name) {
                Some((_, text)) => Some(text.as_str()),
                None => object.field(name),
            })
        },
    )))
}

fn unsupported_field(row: &Resource, name: &str) -> String {
    if !FIELDS
        .iter()
        .any(|(group, plural, _)| *group == row.gvk.group && *plural == row.plural)
    {
        return format!(
            "{name:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
    match (&*row.gvk.group, &*row.plural) {
        ("batch", "jobs") => format!("field label {name:?} not supported for batchv1.Job"),
        ("resource.k8s.io", _) => format!(
            "field label not supported for {}, Kind={}: {name}",
            row.gvk.api_version(),
            row.gvk.kind
        ),
        _ => format!("field label not supported: {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Anything else could hold for objects without the mark.
    #[test]
    fn only_conditions_that_pin_a_value_need_a_mark() {
        let labels = LabelSelector::parse("a=b,c in (d),e!=f,g in (h,i),!j,k,l>1,m notin (n)").unwrap();
        assert_eq!(
            label_marks(&labels),
            Marks::label("a", "b").and(Marks::label("c", "d"))
        );
        let fields = FieldSelector::parse(
            "spec.nodeName=n1,status.phase!=Running,status.podIP=,metadata.name=x,metadata.namespace=y",
        )
        .unwrap();
        assert_eq!(field_marks(&fields), Marks::field("spec.nodeName", "n1"));
    }

    #[test]
    fn who_watches_one_object_selects_no_other() {
        for (name, fields, wanted) in [
            ("", "metadata.name=a", Some("metadata.name=a")),
            ("", "", Some("")),
            ("a", "", Some("metadata.name=a")),
            ("a", "metadata.name==a", Some("metadata.name==a")),
            (
                "a",
                "status.phase=Running,metadata.name=a",
                Some("status.phase=Running,metadata.name=a"),
            ),
            ("a", "metadata.name=b", None),
            ("a", "metadata.name!=a", None),
            ("a", "status.phase=Running", None),
        ] {
            let found = of_named(name, fields).map_err(|error| error.message().to_owned());
            let wanted =
                wanted.ok_or_else(|| "fieldSelector metadata.name doesn't match requested name".to_owned());
            assert_eq!(
                found.as_deref(),
                wanted.as_deref().map_err(|_| wanted.as_ref().unwrap_err()),
                "{name} {fields}"
            );
        }
    }
}
