use crate::json::{Fraction, Place};
use crate::schema::{SchemaId, SchemaSet, Type};
use serde_json::Value;

/// Puts quantities that stand as numbers in a text back in its words: upstream reads those, so that `1e3` isn't `1k` and
/// many digits stay.
pub fn restore_quantities(set: &SchemaSet, id: SchemaId, value: &mut Value, fractions: &[Fraction]) {
    for fraction in fractions {
        if let Some(found) = quantity(set, id, value, &fraction.path) {
            *found = Value::from(fraction.text.as_str());
        }
    }
}

/// The number at a path, if it is a quantity. What has the key twice may have something else there.
fn quantity<'v>(
    set: &SchemaSet,
    id: SchemaId,
    value: &'v mut Value,
    path: &[Place],
) -> Option<&'v mut Value> {
    let mut ty = &Type::Struct(id);
    let mut at = value;
    for place in path {
        ty = match (ty, place) {
            (Type::Struct(id), Place::Key(name)) => &set.get(*id).field(name)?.ty,
            (Type::Map(inner, _), Place::Key(_)) | (Type::List(inner, _), Place::Index(_)) => inner,
            _ => return None,
        };
        at = match place {
            Place::Key(name) => at.get_mut(name)?,
            Place::Index(index) => at.get_mut(*index)?,
        };
    }
    (*ty == Type::Quantity && at.is_number()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;
    use crate::schema::{Field, ListKind, Schema};
    use serde_json::json;

    #[test]
    fn numbers_that_are_quantities_keep_their_text() {
        let list = |inner| Type::List(Box::new(inner), ListKind::Atomic);
        let set = SchemaSet::new(vec![Schema {
            name: "x.v1.Sizes".into(),
            short: "Sizes".into(),
            package: "v1".into(),
            fields: vec![
                Field::new("amount", Type::Quantity),
                Field::new("amounts", Type::Map(Box::new(Type::Quantity), false)),
                Field::new("inner", list(Type::Struct(0))),
                Field::new("other", Type::Double),
                Field::new("several", list(Type::Quantity)),
            ],
            ..Schema::default()
        }]);
        let text = br#"{"amount": 1e3, "amounts": {"a\u0062": 12345678901234567890123, "c": 5}, "other": 1e3,
            "inner": [{"amount": 0.50}, {"amount": 1.500}], "several": [1, 1E3], "unknown": [2.5]}"#;
        let mut document = parse(text).unwrap();
        restore_quantities(&set, 0, &mut document.value, &document.fractions);
        assert_eq!(
            document.value,
            json!({"amount": "1e3", "amounts": {"ab": "12345678901234567890123", "c": 5}, "other": 1e3,
                "inner": [{"amount": "0.50"}, {"amount": "1.500"}], "several": [1, "1E3"], "unknown": [2.5]})
        );
    }
}
