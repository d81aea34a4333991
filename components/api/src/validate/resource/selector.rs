use super::MAX_ITEMS;
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
static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
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
            },
        )
    };
    let device = Object {
        name: "kubernetes.DRADevice".to_owned(),
        fields: fields.into_iter().map(field).collect(),
    };
    Environment::new().with("device", Decl::new(Shape::Object(Arc::new(device))))
});

/// Which devices fit: expressions that are all true.
pub(super) fn selectors(request: &Value, path: &Path) -> ErrorList {
    let selectors = list(request, &["selectors"]);
    let mut errors = ErrorList::new();
    if selectors.len() > MAX_ITEMS {
        errors.push(Error::too_many(path, selectors.len(), MAX_ITEMS));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index).child("cel");
        if at(selector, &["cel"]).is_object() {
            errors.extend(expression(
                text(selector, &["cel", "expression"]),
                &path.child("expression"),
            ));
        } else {
            errors.push(Error::required(&path, ""));
        }
    }
    errors
}

fn expression(text: &str, path: &Path) -> Option<Error> {
    if text.len() > MAX_EXPRESSION {
        return Some(Error::too_long(path, MAX_EXPRESSION));
    }
    let program = match Program::compile(text, &ENVIRONMENT) {
        Ok(program) => program,
        Err(error) => return Some(Error::invalid(path, text, format!("compilation failed: {error}"))),
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
