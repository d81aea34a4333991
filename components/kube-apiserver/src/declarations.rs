//! How the values that expressions of configuration files see are declared.

use cel::{Decl, ListKind, Object, ObjectField, Shape};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A text of any length.
pub fn text() -> Decl {
    Decl::new(Shape::String)
}

/// Values of one kind by text.
pub fn map_of(values: Decl) -> Decl {
    Decl::new(Shape::Map(Arc::new(values)))
}

/// A list of values of one kind.
pub fn list_of(items: Decl) -> Decl {
    Decl::new(Shape::List(Arc::new(items), ListKind::Atomic))
}

/// A list of texts.
pub fn texts() -> Decl {
    list_of(text())
}

/// An object whose absent fields can't be selected.
pub fn object(name: &str, fields: &[(&str, Decl)]) -> Decl {
    let field = |(name, decl): &(&str, Decl)| {
        let field = ObjectField {
            json_name: (*name).to_owned(),
            decl: Arc::new(decl.clone()),
            zero_when_absent: false,
            null_is_absent: false,
        };
        ((*name).to_owned(), field)
    };
    let fields: BTreeMap<_, _> = fields.iter().map(field).collect();
    Decl::new(Shape::Object(Arc::new(Object {
        name: name.to_owned(),
        fields,
    })))
}
