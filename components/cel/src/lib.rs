//! The Common Expression Language as Kubernetes has it: checked against declared types when it is compiled, with an
//! estimate of its cost; evaluated over JSON where it lies, with a budget.
//!
//! ```
//! use cel::{Decl, Environment, Program, Value};
//! let environment = Environment::new().with("object", Decl::dynamic());
//! let program = Program::compile("object.spec.replicas <= 5", &environment).unwrap();
//! let object = serde_json::json!({"spec": {"replicas": 3}});
//! let variables = [Some(cel::from_json(&object, environment.decl("object").unwrap()))];
//! let outcome = program.evaluate(&variables, cel::PER_CALL_LIMIT);
//! assert_eq!(outcome.result.unwrap().as_bool(), Some(true));
//! ```
mod check;
pub mod compatibility;
mod cost;
mod environment;
mod estimate;
mod evaluate;
mod functions;
mod go_netip;
mod go_numbers;
pub mod go_regexp;
mod instant;
mod node;
mod program;
mod syntax;
mod time;
pub mod timing;
mod types;
mod value;

pub use cost::{PER_CALL_LIMIT, RUNTIME_BUDGET, STATIC_CRD_LIMIT, STATIC_LIMIT};
pub use environment::Environment;
pub use estimate::Cost;
pub use evaluate::{EvalError, Scratch};
pub use functions::{Access, AccessRequest, Authorize, AuthorizerState, Cidr, Ip};
pub use instant::Instant;
pub use program::{CompileError, Outcome, Program, authorizer};
pub use time::{format_duration, parse_duration};
pub use types::{Decl, ListKind, Object, ObjectField, Shape, Type};
pub use value::{Key, Lazy, ListRef, MapValue, Opaque, Text, Value, from_json};
