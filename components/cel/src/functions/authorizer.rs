//! Asking whether somebody may do something.
use super::{Overload, Sig, method, no_such_overload};
use crate::evaluate::{EvalError, Scratch};
use crate::value::{Opaque, Value};
use Sig::{Bool, String};
use std::fmt;
use std::string::String as Owned;
use std::sync::Arc;

const AUTHORIZER: Sig = Sig::Opaque("kubernetes.authorization.Authorizer");
const PATH: Sig = Sig::Opaque("kubernetes.authorization.PathCheck");
const GROUP: Sig = Sig::Opaque("kubernetes.authorization.GroupCheck");
const RESOURCE: Sig = Sig::Opaque("kubernetes.authorization.ResourceCheck");
const DECISION: Sig = Sig::Opaque("kubernetes.authorization.Decision");

/// What an expression asks leave for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessRequest {
    /// Namespace and name of a service account to ask for in the user's place.
    pub service_account: Option<(Owned, Owned)>,
    pub verb: Owned,
    /// A path that is no resource; the fields below don't count then.
    pub path: Option<Owned>,
    pub group: Owned,
    pub resource: Owned,
    pub subresource: Owned,
    pub namespace: Owned,
    pub name: Owned,
    pub field_selector: Option<Owned>,
    pub label_selector: Option<Owned>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    pub allowed: bool,
    pub reason: Owned,
    /// Why no decision could be made.
    pub error: Option<Owned>,
}

/// Whoever decides. It is called while an expression is evaluated, so it must not block.
pub trait Authorize: Send + Sync {
    fn authorize(&self, request: &AccessRequest) -> Access;
}

/// How far a question has been put.
#[derive(Clone, Debug)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
    Decision(Access),
}

/// A question to an authorizer, as far as it was put.
#[derive(Clone)]
pub struct AuthorizerState<'a> {
    authorize: &'a dyn Authorize,
    request: AccessRequest,
    stage: Stage,
}

impl fmt::Debug for AuthorizerState<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizerState")
            .field("request", &self.request)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl<'a> AuthorizerState<'a> {
    pub(crate) fn root(authorize: &'a dyn Authorize) -> Self {
        Self {
            authorize,
            request: AccessRequest::default(),
            stage: Stage::Authorizer,
        }
    }

    /// A question about a resource that only lacks its verb: the variable `authorizer.requestResource`. Its
    /// declaration is `Shape::Opaque("kubernetes.authorization.ResourceCheck")`.
    pub fn resource(authorize: &'a dyn Authorize, request: AccessRequest) -> Self {
        Self {
            authorize,
            request,
            stage: Stage::Resource,
        }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
            Stage::Decision(_) => "kubernetes.authorization.Decision",
        }
    }
}

type Answer<'a> = Result<Value<'a>, EvalError>;

fn state<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v AuthorizerState<'a>, EvalError> {
    match &args[0] {
        Value::Opaque(Opaque::Authorizer(state)) => Ok(state),
        _ => Err(no_such_overload()),
    }
}

fn text(args: &[Value<'_>], index: usize) -> Result<Owned, EvalError> {
    args.get(index)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(no_such_overload)
}

/// The question put one step further.
fn further<'a>(
    args: &[Value<'a>],
    stage: Option<Stage>,
    put: impl FnOnce(&mut AccessRequest) -> Result<(), EvalError>,
) -> Answer<'a> {
    let mut next = state(args)?.clone();
    put(&mut next.request)?;
    if let Some(stage) = stage {
        next.stage = stage;
    }
    Ok(Value::Opaque(Opaque::Authorizer(Arc::new(next))))
}

fn check<'a>(_: &mut Scratch<'_, 'a>, args: &[Value<'a>]) -> Answer<'a> {
    let mut next = state(args)?.clone();
    next.request.verb = text(args, 1)?;
    let access = next.authorize.authorize(&next.request);
    next.stage = Stage::Decision(access);
    Ok(Value::Opaque(Opaque::Authorizer(Arc::new(next))))
}

fn decision<'v>(args: &'v [Value<'_>]) -> Result<&'v Access, EvalError> {
    match &state(args)?.stage {
        Stage::Decision(access) => Ok(access),
        _ => Err(no_such_overload()),
    }
}

pub(super) static FUNCTIONS: &[(&str, Overload)] = &[
    (
        "path",
        method("", &[AUTHORIZER, String], PATH, |_, args| {
            let path = text(args, 1)?;
            if path.is_empty() {
                return Err(EvalError::new("path must not be empty"));
            }
            further(args, Some(Stage::Path), |request| {
                request.path = Some(path);
                Ok(())
            })
        }),
    ),
    (
        "group",
        method("", &[AUTHORIZER, String], GROUP, |_, args| {
            further(args, Some(Stage::Group), |request| {
                request.group = text(args, 1)?;
                Ok(())
            })
        }),
    ),
    (
        "serviceAccount",
        method("", &[AUTHORIZER, String, String], AUTHORIZER, |_, args| {
            further(args, None, |request| {
                request.service_account = Some((text(args, 1)?, text(args, 2)?));
                Ok(())
            })
        }),
    ),
    (
        "resource",
        method("", &[GROUP, String], RESOURCE, |_, args| {
            further(args, Some(Stage::Resource), |request| {
                request.resource = text(args, 1)?;
                Ok(())
            })
        }),
    ),
    (
        "subresource",
        method("", &[RESOURCE, String], RESOURCE, |_, args| {
            further(args, None, |request| {
                request.subresource = text(args, 1)?;
                Ok(())
            })
        }),
    ),
    (
        "namespace",
        method("", &[RESOURCE, String], RESOURCE, |_, args| {
            further(args, None, |request| {
                request.namespace = text(args, 1)?;
                Ok(())
            })
        }),
    ),
    (
        "name",
        method("", &[RESOURCE, String], RESOURCE, |_, args| {
            further(args, None, |request| {
                request.name = text(args, 1)?;
                Ok(())
            })
        }),
    ),
    (
        "fieldSelector",
        method("", &[RESOURCE, String], RESOURCE, |_, args| {
            further(args, None, |request| {
                request.field_selector = Some(text(args, 1)?);
                Ok(())
            })
        }),
    ),
    (
        "labelSelector",
        method("", &[RESOURCE, String], RESOURCE, |_, args| {
            further(args, None, |request| {
                request.label_selector = Some(text(args, 1)?);
                Ok(())
            })
        }),
    ),
    ("check", method("", &[PATH, String], DECISION, check)),
    ("check", method("", &[RESOURCE, String], DECISION, check)),
    (
        "allowed",
        method("", &[DECISION], Bool, |_, args| {
            Ok(Value::Bool(decision(args)?.allowed))
        }),
    ),
    (
        "reason",
        method("", &[DECISION], String, |_, args| {
            Ok(Value::text(decision(args)?.reason.as_str()))
        }),
    ),
    (
        "errored",
        method("", &[DECISION], Bool, |_, args| {
            Ok(Value::Bool(decision(args)?.error.is_some()))
        }),
    ),
    (
        "error",
        method("", &[DECISION], String, |_, args| {
            Ok(Value::text(decision(args)?.error.as_deref().unwrap_or("")))
        }),
    ),
];
