//! Policies and their bindings, compiled once for all the requests they are about.

use crate::admission::conditions::Conditions;
use crate::admission::matching::Criteria;
use api::expressions::{Names, Purpose, Variables, compile};
use apimachinery::{GroupVersion, GroupVersionKind, meta};
use cel::{Environment, Program};
use serde_json::Value;
use std::sync::Arc;

/// An expression, or why it can't be evaluated.
#[derive(Debug)]
pub struct Expression {
    pub text: String,
    pub program: Result<Program, String>,
}

impl Expression {
    fn new(text: &Value, environment: &Environment, purpose: Purpose) -> Self {
        let text = text.as_str().unwrap_or("").to_owned();
        Self {
            program: compile(&text, environment, purpose),
            text,
        }
    }
}

/// What both kinds of policies have.
#[derive(Debug)]
pub struct Policy {
    pub name: String,
    pub criteria: Criteria,
    pub param_kind: Option<GroupVersionKind>,
    pub conditions: Conditions,
    pub variables: Variables,
    pub fails_open: bool,
    pub bindings: Vec<Arc<Binding>>,
}

/// One use of a policy.
#[derive(Debug)]
pub struct Binding {
    pub name: String,
    pub criteria: Criteria,
    pub param_ref: Value,
    /// `Deny`, `Warn`, `Audit`; of validating policies only.
    pub actions: Vec<String>,
}

/// One validation.
#[derive(Debug)]
pub struct Validation {
    pub expression: Expression,
    pub message: String,
    pub message_expression: Option<Expression>,
    pub reason: String,
}

/// A ValidatingAdmissionPolicy.
#[derive(Debug)]
pub struct ValidatingPolicy {
    pub policy: Policy,
    pub validations: Vec<Validation>,
    /// Key and value of each.
    pub annotations: Vec<(String, Expression)>,
    /// Of the messages, which may not ask for rights.
    pub plain: Environment,
}

/// How a mutation changes the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    Json,
    Apply,
}

/// A MutatingAdmissionPolicy.
#[derive(Debug)]
pub struct MutatingPolicy {
    pub policy: Policy,
    pub mutations: Vec<(PatchType, Expression)>,
    /// `reinvocationPolicy: IfNeeded`
    pub reinvocable: bool,
}

fn items<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

fn common(object: &Value, bindings: &[Arc<Value>], patch_types: bool) -> Policy {
    let spec = &object["spec"];
    let name = meta::name(object).to_owned();
    let param_kind = spec["paramKind"].is_object().then(|| {
        let text = |field: &str| spec["paramKind"][field].as_str().unwrap_or("");
        let version = text("apiVersion");
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        GroupVersion::new(group, version).kind(text("kind"))
    });
    let params = param_kind.is_some();
    let fails_open = spec["failurePolicy"] == "Ignore";
    let names = |patch_types| Names {
        params,
        authorizer: true,
        patch_types,
    };
    // Mutations may name `variables` also where there are none.
    let any = patch_types || !items(spec, "variables").is_empty();
    let mut variables = Variables::new(names(patch_types), any);
    for variable in items(spec, "variables") {
        let text = |field: &str| variable[field].as_str().unwrap_or("");
        if let Err(why) = variables.add(text("name"), text("expression")) {
            tracing::warn!(
                policy = name,
                variable = text("name"),
                why,
                "a variable does not compile"
            );
        }
    }
    Policy {
        criteria: Criteria::of_policy(&spec["matchConstraints"]),
        conditions: Conditions::compile(
            &spec["matchConditions"],
            api::expressions::environment(names(false)),
            fails_open,
        ),
        bindings: bindings
            .iter()
            .filter(|binding| binding["spec"]["policyName"].as_str() == Some(name.as_str()))
            .map(|binding| Arc::new(bound(binding)))
            .collect(),
        param_kind,
        variables,
        fails_open,
        name,
    }
}

fn bound(binding: &Value) -> Binding {
    let spec = &binding["spec"];
    Binding {
        name: meta::name(binding).to_owned(),
        criteria: Criteria::of_policy(&spec["matchResources"]),
        param_ref: spec["paramRef"].clone(),
        actions: items(spec, "validationActions")
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    }
}

impl ValidatingPolicy {
    /// Whether it has expressions that make texts.
    pub fn tells(&self) -> bool {
        !self.annotations.is_empty()
            || self
                .validations
                .iter()
                .any(|validation| validation.message_expression.is_some())
    }

    pub fn compile(object: &Value, bindings: &[Arc<Value>]) -> Self {
        let policy = common(object, bindings, false);
        let full = &policy.variables.environment;
        let plain = policy.variables.beside(Names {
            params: policy.param_kind.is_some(),
            ..Names::default()
        });
        let spec = &object["spec"];
        let validations = items(spec, "validations")
            .iter()
            .map(|validation| {
                let text = |field: &str| validation[field].as_str().unwrap_or("").trim().to_owned();
                let message_expression = &validation["messageExpression"];
                Validation {
                    expression: Expression::new(&validation["expression"], full, Purpose::Condition),
                    message: text("message"),
                    message_expression: (!text("messageExpression").is_empty())
                        .then(|| Expression::new(message_expression, &plain, Purpose::Message)),
                    reason: text("reason"),
                }
            })
            .collect();
        let annotations = items(spec, "auditAnnotations")
            .iter()
            .map(|annotation| {
                let key = annotation["key"].as_str().unwrap_or("").to_owned();
                (
                    key,
                    Expression::new(&annotation["valueExpression"], full, Purpose::AuditAnnotation),
                )
            })
            .collect();
        Self {
            validations,
            annotations,
            plain,
            policy,
        }
    }
}

impl MutatingPolicy {
    pub fn compile(object: &Value, bindings: &[Arc<Value>]) -> Self {
        let policy = common(object, bindings, true);
        let full = &policy.variables.environment;
        let mutations = items(&object["spec"], "mutations")
            .iter()
            .map(|mutation| match mutation["patchType"].as_str() {
                Some("JSONPatch") => {
                    let text = &mutation["jsonPatch"]["expression"];
                    (PatchType::Json, Expression::new(text, full, Purpose::JsonPatch))
                }
                _ => {
                    let text = &mutation["applyConfiguration"]["expression"];
                    (
                        PatchType::Apply,
                        Expression::new(text, full, Purpose::ApplyConfiguration),
                    )
                }
            })
            .collect();
        Self {
            mutations,
            reinvocable: object["spec"]["reinvocationPolicy"] == "IfNeeded",
            policy,
        }
    }
}
