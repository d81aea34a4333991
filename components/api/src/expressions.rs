//! What the expressions of admission may name: the variables of match conditions and policies, with their types.

pub mod types;

use cel::{Decl, Environment, ListKind, Object, ObjectField, Program, Shape, Type};
use std::sync::{Arc, LazyLock};

/// Which variables there are besides `object`, `oldObject`, `request` and `namespaceObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub params: bool,
    pub authorizer: bool,
    /// Mutations construct objects and JSON patches.
    pub patch_types: bool,
}

/// The environment of an expression, without `variables`.
pub fn environment(names: Names) -> Environment {
    let mut environment = Environment::new()
        .with("object", Decl::dynamic())
        .with("oldObject", Decl::dynamic())
        .with("request", Decl::new(Shape::Object(Arc::clone(&REQUEST))))
        .with(
            "namespaceObject",
            Decl::new(Shape::Object(Arc::clone(&NAMESPACE))),
        );
    if names.params {
        environment = environment.with("params", Decl::dynamic());
    }
    if names.authorizer {
        environment = environment
            .with(
                "authorizer",
                Decl::new(Shape::Opaque("kubernetes.authorization.Authorizer")),
            )
            .with(
                "authorizer.requestResource",
                Decl::new(Shape::Opaque("kubernetes.authorization.ResourceCheck")),
            );
    }
    if names.patch_types {
        environment = environment.with_patch_types();
    }
    environment
}

/// The environment with `variables`, whose fields have the types of their expressions.
pub fn with_variables(environment: Environment, variables: &[(String, Type)]) -> Environment {
    let fields: Vec<(&str, Decl)> = variables
        .iter()
        .map(|(name, ty)| (name.as_str(), declaration(ty)))
        .collect();
    let object = object("kubernetes.variables", &fields);
    environment.with("variables", Decl::new(Shape::Object(object)))
}

/// Data of a type that an expression has.
fn declaration(ty: &Type) -> Decl {
    Decl::new(match ty {
        Type::Null => Shape::Null,
        Type::Bool => Shape::Bool,
        Type::Int => Shape::Int,
        Type::Double => Shape::Double,
        Type::String => Shape::String,
        Type::Bytes => Shape::Bytes,
        Type::Timestamp => Shape::Timestamp,
        Type::Duration => Shape::Duration,
        Type::List(item) => Shape::List(Arc::new(declaration(item)), ListKind::Atomic),
        Type::Map(key, value) if **key == Type::String => Shape::Map(Arc::new(declaration(value))),
        Type::Object(object) => Shape::Object(Arc::clone(object)),
        Type::Optional(inner) => Shape::Optional(Arc::new(declaration(inner))),
        Type::Opaque(name) => Shape::Opaque(name),
        _ => Shape::Dyn,
    })
}

/// What an expression is used for, which says what it may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Condition,
    Message,
    AuditAnnotation,
    Variable,
    JsonPatch,
    ApplyConfiguration,
}

impl Purpose {
    fn wants(self) -> &'static str {
        match self {
            Self::Condition => "must evaluate to bool",
            Self::Message => "must evaluate to string",
            Self::AuditAnnotation => "must evaluate to one of [string null_type]",
            Self::Variable => "",
            Self::JsonPatch => "must evaluate to list(JSONPatch)",
            Self::ApplyConfiguration => "must evaluate to Object",
        }
    }

    fn takes(self, ty: &Type) -> bool {
        let named = |ty: &Type, name: &str| matches!(ty, Type::Object(object) if object.name == name);
        match self {
            Self::Condition => *ty == Type::Bool,
            Self::Message => *ty == Type::String,
            Self::AuditAnnotation => matches!(ty, Type::String | Type::Null),
            Self::Variable => true,
            // The elements of an empty list have no type of their own.
            Self::JsonPatch => {
                matches!(ty, Type::List(item) if **item == Type::Dyn || named(item, "JSONPatch"))
            }
            Self::ApplyConfiguration => named(ty, "Object"),
        }
    }
}

/// Compiles an expression for a purpose; the errors are upstream's.
pub fn compile(text: &str, environment: &Environment, purpose: Purpose) -> Result<Program, String> {
    let program = Program::compile(text, environment).map_err(|error| error.explained())?;
    if purpose.takes(program.ty()) {
        Ok(program)
    } else {
        Err(format!("{} but got {}", purpose.wants(), declared(program.ty())))
    }
}

/// A type by the name under which it is declared. Errors of the compiler call some otherwise.
fn declared(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        Type::List(item) => format!("list({})", declared(item)),
        Type::Map(key, value) => format!("map({}, {})", declared(key), declared(value)),
        Type::Optional(inner) => format!("optional_type({})", declared(inner)),
        other => other.to_string(),
    }
}

/// The variables of a policy, each able to use those before it.
#[derive(Debug)]
pub struct Variables {
    /// Compiled, or why not; the position is that of the field in `variables`.
    pub programs: Vec<(String, Result<Program, String>)>,
    types: Vec<(String, Type)>,
    names: Names,
    any: bool,
    /// What may use them is compiled in this, and all is evaluated in it.
    pub environment: Environment,
}

impl Variables {
    /// No variables yet; `variables` is known only to policies that have `any`.
    pub fn new(names: Names, any: bool) -> Self {
        let mut variables = Self {
            programs: Vec::new(),
            types: Vec::new(),
            names,
            any,
            environment: Environment::default(),
        };
        variables.environment = variables.beside(names);
        variables
    }

    /// Adds a variable, which may use those before it. One that doesn't compile is known all the same, so that only it is reported.
    pub fn add(&mut self, name: &str, expression: &str) -> Result<(), String> {
        // Only mutations themselves construct what is patched.
        let compiled = if self.names.patch_types {
            let names = Names {
                patch_types: false,
                ..self.names
            };
            compile(expression, &self.beside(names), Purpose::Variable)
        } else {
            compile(expression, &self.environment, Purpose::Variable)
        };
        let ty = compiled
            .as_ref()
            .map_or(Type::Dyn, |program| program.ty().clone());
        let outcome = compiled.as_ref().map(|_| ()).map_err(Clone::clone);
        self.types.push((name.to_owned(), ty));
        self.programs.push((name.to_owned(), compiled));
        self.environment = self.beside(self.names);
        outcome
    }

    /// An environment with the same variables, and other names beside them.
    pub fn beside(&self, names: Names) -> Environment {
        if self.any {
            with_variables(environment(names), &self.types)
        } else {
            environment(names)
        }
    }
}

fn text() -> Decl {
    Decl::new(Shape::String)
}

fn list(item: Decl) -> Decl {
    Decl::new(Shape::List(Arc::new(item), ListKind::Atomic))
}

fn map(value: Decl) -> Decl {
    Decl::new(Shape::Map(Arc::new(value)))
}

/// An object whose absent fields are absent, as in upstream's untyped data.
fn object(name: &str, fields: &[(&str, Decl)]) -> Arc<Object> {
    let fields = fields
        .iter()
        .map(|(name, decl)| {
            let field = ObjectField {
                json_name: (*name).to_owned(),
                decl: Arc::new(decl.clone()),
                zero_when_absent: false,
                null_is_absent: false,
            };
            ((*name).to_owned(), field)
        })
        .collect();
    Arc::new(Object {
        name: name.to_owned(),
        fields,
    })
}

static REQUEST: LazyLock<Arc<Object>> = LazyLock::new(|| {
    let names = |name: &str, last: &str| {
        Decl::new(Shape::Object(object(
            name,
            &[("group", text()), ("version", text()), (last, text())],
        )))
    };
    let kind = || names("kubernetes.GroupVersionKind", "kind");
    let resource = || names("kubernetes.GroupVersionResource", "resource");
    let user = object(
        "kubernetes.UserInfo",
        &[
            ("username", text()),
            ("uid", text()),
            ("groups", list(text())),
            ("extra", map(list(text()))),
        ],
    );
    object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind()),
            ("resource", resource()),
            ("subResource", text()),
            ("requestKind", kind()),
            ("requestResource", resource()),
            ("requestSubResource", text()),
            ("name", text()),
            ("namespace", text()),
            ("operation", text()),
            ("userInfo", Decl::new(Shape::Object(user))),
            ("dryRun", Decl::new(Shape::Bool)),
            ("options", Decl::dynamic()),
        ],
    )
});

/// Fields of a namespace's metadata that expressions see.
pub const NAMESPACE_METADATA: [&str; 12] = [
    "name",
    "generateName",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "finalizers",
];

static NAMESPACE: LazyLock<Arc<Object>> = LazyLock::new(|| {
    let metadata = NAMESPACE_METADATA.map(|name| {
        let decl = match name {
            "labels" | "annotations" => map(text()),
            "finalizers" => list(text()),
            "creationTimestamp" | "deletionTimestamp" => Decl::new(Shape::Timestamp),
            "deletionGracePeriodSeconds" | "generation" => Decl::new(Shape::Int),
            _ => text(),
        };
        (if name == "uid" { "UID" } else { name }, decl)
    });
    let part = |name: &str, fields: &[(&str, Decl)]| Decl::new(Shape::Object(object(name, fields)));
    object(
        "kubernetes.Namespace",
        &[
            ("metadata", part("kubernetes.NamespaceMetadata", &metadata)),
            (
                "spec",
                part("kubernetes.NamespaceSpec", &[("finalizers", list(text()))]),
            ),
            ("status", part("kubernetes.NamespaceStatus", &[("phase", text())])),
        ],
    )
});

#[cfg(test)]
mod tests {
    use super::*;
    use cel::Program;

    #[test]
    fn names_are_known_where_they_are_given() {
        let all = Names {
            params: true,
            authorizer: true,
            patch_types: false,
        };
        for (text, names, good) in [
            ("object.spec.x == oldObject.spec.x", Names::default(), true),
            ("request.userInfo.username == 'a'", Names::default(), true),
            ("request.nothing == 'a'", Names::default(), false),
            ("request.dryRun == 'a'", Names::default(), false),
            (
                "namespaceObject.metadata.labels['a'] == 'b'",
                Names::default(),
                true,
            ),
            ("params.x == 1", Names::default(), false),
            ("params.x == 1", all, true),
            ("authorizer.requestResource.check('get').allowed()", all, true),
            (
                "authorizer.group('').resource('pods').check('get').allowed()",
                all,
                true,
            ),
            (
                "authorizer.path('/x').check('get').allowed()",
                Names::default(),
                false,
            ),
        ] {
            let compiled = Program::compile(text, &environment(names));
            assert_eq!(compiled.is_ok(), good, "{text}: {:?}", compiled.err());
        }
    }

    #[test]
    fn variables_have_their_types() {
        let typed = with_variables(
            environment(Names::default()),
            &[("a".to_owned(), Type::Int), ("b".to_owned(), Type::Dyn)],
        );
        for (text, good) in [
            ("variables.a + 1 == 2", true),
            ("variables.a == 'x'", false),
            ("variables.b == 'x'", true),
            ("variables.c == 1", false),
        ] {
            assert_eq!(Program::compile(text, &typed).is_ok(), good, "{text}");
        }
    }
}
