use super::{Value, from_json};
use crate::types::{Decl, ListKind, Shape, any};

/// A list that an expression made, or one that lies in JSON.
#[derive(Clone, Copy)]
pub enum ListRef<'v, 'a> {
    Values(&'v [Value<'a>]),
    Json(&'a [serde_json::Value], &'a Decl),
}

impl<'v, 'a> ListRef<'v, 'a> {
    pub(super) fn of(value: &'v Value<'a>) -> Option<Self> {
        match value {
            Value::List(items) => Some(Self::Values(items)),
            Value::Json(serde_json::Value::Array(items), decl) => Some(Self::Json(items, decl)),
            _ => None,
        }
    }

    pub fn len(self) -> usize {
        match self {
            Self::Values(items) => items.len(),
            Self::Json(items, _) => items.len(),
        }
    }

    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What is declared about the elements.
    fn items(decl: &'a Decl) -> &'a Decl {
        match &decl.shape {
            Shape::List(items, _) => items,
            _ => any(),
        }
    }

    /// How the list compares with others.
    pub fn kind(self) -> Option<&'a ListKind> {
        match self {
            Self::Json(_, decl) => match &decl.shape {
                Shape::List(_, kind) => Some(kind),
                _ => None,
            },
            Self::Values(_) => None,
        }
    }

    pub fn get(self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Values(items) => items.get(index).cloned(),
            Self::Json(items, decl) => items.get(index).map(|item| from_json(item, Self::items(decl))),
        }
    }

    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).filter_map(move |index| self.get(index))
    }
}
