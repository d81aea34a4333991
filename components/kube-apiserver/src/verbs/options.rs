//! Options of writes: what the query says, checked as upstream checks it.

use super::list::whole_number;
use crate::request::ApiRequest;
use crate::request_info::says_true;
use apimachinery::field::{Error, Path};
use apimachinery::go::is_print;
use apimachinery::{ApiError, GroupVersionKind};
use serde_json::Value;

/// What is done about unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_validation: FieldValidation,
    /// As given; may be empty.
    pub field_manager: String,
    pub force: Option<bool>,
}

const MANAGER_LIMIT: usize = 128;

/// Reads and checks the options of a write. `kind` is CreateOptions, UpdateOptions or PatchOptions.
pub fn write(request: &ApiRequest, kind: &str, apply: bool) -> Result<WriteOptions, ApiError> {
    let query = &request.query;
    let mut errors = Vec::new();
    let field_manager = query.get("fieldManager").unwrap_or("").to_owned();
    let force = query.get("force").map(says_true);
    if kind == "PatchOptions" {
        if apply && field_manager.is_empty() {
            errors.push(Error::required(
                &Path::new("fieldManager"),
                "is required for apply patch",
            ));
        } else if !apply && force.is_some() {
            errors.push(Error::forbidden(
                &Path::new("force"),
                "may not be specified for non-apply patch",
            ));
        }
    }
    check_manager(&field_manager, &mut errors);
    check_dry_run(query.all("dryRun").collect(), &mut errors);
    let field_validation = match query.get("fieldValidation").unwrap_or("") {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            errors.push(Error::not_supported(
                &Path::new("fieldValidation"),
                other,
                &["", "Ignore", "Strict", "Warn"],
            ));
            FieldValidation::Warn
        }
    };
    refuse(kind, &errors)?;
    Ok(WriteOptions {
        dry_run: request.is_dry_run(),
        field_validation,
        field_manager,
        force,
    })
}

fn check_manager(manager: &str, errors: &mut Vec<Error>) {
    let path = Path::new("fieldManager");
    if manager.len() > MANAGER_LIMIT {
        errors.push(Error::too_long(&path, MANAGER_LIMIT));
    }
    for (position, character) in manager.char_indices().filter(|(_, c)| !is_print(*c)) {
        let code = character as u32;
        errors.push(Error::invalid(
            &path,
            manager,
            format!("invalid character U+{code:04X} (at position {position})"),
        ));
    }
}

fn check_dry_run(values: Vec<&str>, errors: &mut Vec<Error>) {
    if values.iter().any(|value| *value != "All") && !values.iter().all(|value| value.is_empty()) {
        errors.push(Error::not_supported(
            &Path::new("dryRun"),
            Value::from(values),
            &["All"],
        ));
    }
}

/// An Invalid answer about an options object.
pub fn refuse(kind: &str, errors: &[Error]) -> Result<(), ApiError> {
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream names the group of options objects without a version.
    Err(ApiError::invalid(
        &GroupVersionKind::new("meta.k8s.io", "v1", kind),
        "",
        errors,
    ))
}

/// Options of delete and deletecollection, from the body or the query.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub dry_run: bool,
    /// As given, checked or not.
    pub dry_runs: Vec<String>,
    pub grace_period_seconds: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation_policy: Option<String>,
}

impl DeleteOptions {
    /// Whether the kind's own default decides what becomes of dependents.
    pub fn says_nothing_of_dependents(&self) -> bool {
        self.orphan_dependents.is_none() && self.propagation_policy.is_none()
    }

    /// Those that an object says, not yet checked.
    pub fn of_body(body: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let dry_runs = body["dryRun"].as_array().into_iter().flatten();
        Self {
            dry_run: false,
            dry_runs: dry_runs.filter_map(text).collect(),
            grace_period_seconds: body["gracePeriodSeconds"].as_i64(),
            uid: text(&body["preconditions"]["uid"]),
            resource_version: text(&body["preconditions"]["resourceVersion"]),
            orphan_dependents: body["orphanDependents"].as_bool(),
            propagation_policy: text(&body["propagationPolicy"]),
        }
    }

    pub fn read(request: &ApiRequest, body: Option<&Value>) -> Result<Self, ApiError> {
        let query = &request.query;
        let said = |name: &str| query.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let mut options = match body {
            Some(body) => Self::of_body(body),
            None => Self {
                propagation_policy: query.get("propagationPolicy").map(str::to_owned),
                orphan_dependents: query.get("orphanDependents").map(says_true),
                // Unlike the others, what is empty requires nothing (upstream's Convert_url_Values_To_v1_DeleteOptions).
                uid: said("uid"),
                resource_version: said("resourceVersion"),
                ..Self::default()
            },
        };
        if body.is_none() {
            options.grace_period_seconds = whole_number(request, "gracePeriodSeconds")?;
        }
        let mut dry_runs: Vec<String> = query.all("dryRun").map(str::to_owned).collect();
        dry_runs.append(&mut options.dry_runs);
        options.dry_runs = dry_runs;
        options.check()?;
        options.dry_run = options.dry_runs.iter().any(|value| value == "All");
        Ok(options)
    }

    /// Refuses options that contradict each other or that nobody knows.
    pub fn check(&self) -> Result<(), ApiError> {
        let mut errors = Vec::new();
        if self.orphan_dependents.is_some() && self.propagation_policy.is_some() {
            errors.push(Error::invalid(
                &Path::new("propagationPolicy"),
                self.propagation_policy.clone().unwrap_or_default(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        if let Some(policy) = self.propagation_policy.as_deref()
            && !matches!(policy, "Foreground" | "Background" | "Orphan")
        {
            errors.push(Error::not_supported(
                &Path::new("propagationPolicy"),
                policy,
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
        check_dry_run(self.dry_runs.iter().map(String::as_str).collect(), &mut errors);
        refuse("DeleteOptions", &errors)
    }
}
