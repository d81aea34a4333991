//! Expressions that tell which devices fit.
use super::lists::{MAX_ITEMS, each};
use crate::features::{Feature, Features};
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use cel::{Decl, Environment, Object, ObjectField, Program, Shape, Type};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// An expression has at most this many bytes.
const MAX_EXPRESSION: usize = 10 * 1024;

/// What an expression may cost at most.
const MAX_COST: u64 = 1_000_000;

/// Attributes and capacities of a device, and domains that they can be of.
const MAX_FACTS: u64 = 32;

/// Bytes of a driver's name, and of an attribute's text.
const MAX_TEXT: u64 = 64;

/// What expressions know of a device: its driver, and its attributes and capacities by domain and name.
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| environment(true));

/// The same without what came with consumable capacity.
static EXCLUSIVE: LazyLock<Environment> = LazyLock::new(|| environment(false));

fn environment(shared: bool) -> Environment {
    let by_domain = |value: Decl| {
        let by_name = Decl::bounded(Shape::Map(Arc::new(value)), MAX_FACTS);
        Decl::bounded(Shape::Map(Arc::new(by_name)), MAX_FACTS)
    };
    let fields = [
        ("driver", Decl::bounded(Shape::String, MAX_TEXT)),
        ("attributes", by_domain(Decl::bounded(Shape::Dyn, MAX_TEXT))),
        (
            "capacity",
            by_domain(Decl::new(Shape::Opaque("kubernetes.Quantity"))),
        ),
        ("allowMultipleAllocations", Decl::new(Shape::Bool)),
    ];
    let field = |(name, decl): (&str, Decl)| {
        (
            name.to_owned(),
            ObjectField {
                json_name: name.to_owned(),
                decl: Arc::new(decl),
                zero_when_absent: true,
                null_is_absent: false,
            },
        )
    };
    let device = Object {
        name: "kubernetes.DRADevice".to_owned(),
        fields: fields
            .into_iter()
            .filter(|(name, _)| shared || *name != "allowMultipleAllocations")
            .map(field)
            .collect(),
    };
    Environment::new().with("device", Decl::new(Shape::Object(Arc::new(device))))
}

/// Which devices fit: expressions that are all true.
pub(super) fn selectors(request: &Value, features: Features, path: &Path) -> ErrorList {
    each(
        list(request, &["selectors"]),
        MAX_ITEMS,
        path,
        |selector, path| {
            let path = path.child("cel");
            let found = if at(selector, &["cel"]).is_object() {
                expression(
                    text(selector, &["cel", "expression"]),
                    features,
                    &path.child("expression"),
                )
            } else {
                Some(Error::required(&path, ""))
            };
            found.into_iter().collect()
        },
    )
}

fn expression(text: &str, features: Features, path: &Path) -> Option<Error> {
    if text.len() > MAX_EXPRESSION {
        return Some(Error::too_long(path, MAX_EXPRESSION));
    }
    let environment = if features.has(Feature::DRAConsumableCapacity) {
        &ENVIRONMENT
    } else {
        &EXCLUSIVE
    };
    let program = match Program::compile(text, environment) {
        Ok(program) => program,
        Err(error) => return Some(Error::invalid(path, text, error.explained())),
    };
    if !matches!(program.ty(), Type::Bool | Type::Dyn) {
        return Some(Error::invalid(
            path,
            text,
            format!("must evaluate to bool or the unknown type, not {}", program.ty()),
        ));
    }
    (program.cost().max > MAX_COST).then(|| Error::forbidden(path, "too complex, exceeds cost limit"))
}
