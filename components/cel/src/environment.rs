use crate::types::{Decl, Type};
use std::sync::Arc;

/// The type of JSON patches' operations.
const JSON_PATCH: &str = "JSONPatch";

/// The variables that expressions may name, in the order in which values for them are given.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Vec<(String, Arc<Decl>)>,
    patch_types: bool,
}

impl Environment {
    /// Only the functions, no variables.
    pub fn new() -> Self {
        Self::default()
    }

    /// The declaration of a variable.
    pub(crate) fn named(&self, name: &str) -> Option<Arc<Decl>> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, decl)| Arc::clone(decl))
    }

    /// The environment with one more variable, or with another declaration of a known one.
    pub fn with(mut self, name: &str, decl: Decl) -> Self {
        match self.variables.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = Arc::new(decl),
            None => self.variables.push((name.to_owned(), Arc::new(decl))),
        }
        self
    }

    /// The environment with the types `Object`, `Object.…` and `JSONPatch`, which mutations construct.
    pub fn with_patch_types(mut self) -> Self {
        self.patch_types = true;
        self
    }

    /// What is declared about a variable.
    pub fn decl(&self, name: &str) -> Option<&Decl> {
        self.index(name).map(|index| &*self.variables[index].1)
    }

    /// The position of a variable.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.variables.iter().position(|(known, _)| known == name)
    }

    /// Number of variables.
    pub fn len(&self) -> usize {
        self.variables.len()
    }

    /// Whether there are no variables.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    pub(crate) fn shared(&self, index: usize) -> Arc<Decl> {
        Arc::clone(&self.variables[index].1)
    }

    /// Whether there is a function of this name, if there is one anywhere. Mutations alone have those for JSON patches.
    pub(crate) fn has_function(&self, name: &str) -> bool {
        self.patch_types || !name.starts_with("jsonpatch.")
    }

    pub(crate) fn constructs(&self, name: &str) -> bool {
        self.patch_types && (name == "Object" || name.starts_with("Object.") || name == JSON_PATCH)
    }

    /// The type of a field of a type that can be constructed.
    pub(crate) fn field_of(&self, name: &str, field: &str) -> Option<Type> {
        match (name, field) {
            (JSON_PATCH, "op" | "path" | "from") => Some(Type::String),
            (JSON_PATCH, "value") => Some(Type::Dyn),
            (JSON_PATCH, _) => None,
            _ => Some(Type::Dyn),
        }
    }
}
