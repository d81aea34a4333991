//! The function table: names, signatures, implementations, costs.
mod authorizer;
mod collections;
mod conversions;
mod format;
mod formats;
mod lists;
mod net;
mod numbers;
mod optional;

mod printf;
mod quantity;
mod regexes;
mod semver;
mod sequences;
mod strings;
mod time;
mod urls;

pub use authorizer::{Access, AccessRequest, Authorize, AuthorizerState};
pub(crate) use collections::{append, equal, index, map_insert};
pub(crate) use format::{Clause, Piece, pieces};
pub(crate) use formats::NamedFormat;
pub use net::{Cidr, Ip};
pub(crate) use optional::OR;
pub(crate) use regexes::Regexes;
pub(crate) use semver::Version;

use crate::evaluate::{EvalError, Scratch};
use crate::value::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A parameter's or result's type, with parameters `A` and `B`.
#[derive(Debug)]
pub(crate) enum Sig {
    Dyn,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    Type,
    A,
    B,
    List(&'static Sig),
    Map(&'static Sig, &'static Sig),
    Optional(&'static Sig),
    Opaque(&'static str),
}

pub(crate) type Implementation =
    for<'a> fn(&mut Scratch<'_, 'a>, &[Value<'a>]) -> Result<Value<'a>, EvalError>;

/// One signature of a function.
#[derive(Debug)]
pub(crate) struct Overload {
    /// Upstream's id where costs depend on it.
    pub id: &'static str,
    /// Whether it is called on its first argument.
    pub member: bool,
    pub params: &'static [Sig],
    pub result: Sig,
    /// The minor of Kubernetes' version 1 that it came with; 0 for what all versions have that can be emulated.
    pub since: u32,
    pub run: Implementation,
}

/// All signatures of a name.
pub(crate) type Overloads = Vec<&'static Overload>;

static TABLE: LazyLock<HashMap<&'static str, Overloads>> = LazyLock::new(|| {
    let mut table: HashMap<&'static str, Overloads> = HashMap::new();
    let groups: [&'static [(&'static str, Overload)]; 14] = [
        collections::FUNCTIONS,
        conversions::FUNCTIONS,
        strings::FUNCTIONS,
        format::FUNCTIONS,
        printf::FUNCTIONS,
        time::FUNCTIONS,
        optional::FUNCTIONS,
        regexes::FUNCTIONS,
        urls::FUNCTIONS,
        quantity::FUNCTIONS,
        net::FUNCTIONS,
        formats::FUNCTIONS,
        semver::FUNCTIONS,
        authorizer::FUNCTIONS,
    ];
    for (name, overload) in numbers::GROUPS
        .into_iter()
        .chain(lists::GROUPS)
        .chain(sequences::GROUPS)
        .chain(groups)
        .flatten()
    {
        table.entry(name).or_default().push(overload);
    }
    table
});

/// The signatures of a function's name, if it has any in this minor of version 1.
pub(crate) fn overloads(name: &str, minor: u32) -> Option<impl Iterator<Item = &'static Overload>> {
    let mut known = TABLE
        .get(name)?
        .iter()
        .copied()
        .filter(move |overload| overload.since <= minor)
        .peekable();
    known.peek().is_some().then_some(known)
}

/// One row of the table.
pub(crate) const fn function(
    id: &'static str,
    params: &'static [Sig],
    result: Sig,
    run: Implementation,
) -> Overload {
    Overload {
        id,
        member: false,
        params,
        result,
        since: 0,
        run,
    }
}

/// One row of the table, called on its first argument.
pub(crate) const fn method(
    id: &'static str,
    params: &'static [Sig],
    result: Sig,
    run: Implementation,
) -> Overload {
    Overload {
        id,
        member: true,
        params,
        result,
        since: 0,
        run,
    }
}

impl Sig {
    /// Whether a value can be passed for it.
    pub(crate) fn accepts(&self, value: &Value<'_>) -> bool {
        match self {
            Self::Dyn | Self::A | Self::B => true,
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Uint => matches!(value, Value::Uint(_)),
            Self::Double => matches!(value, Value::Double(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::Bytes => matches!(value, Value::Bytes(_)),
            Self::Timestamp => matches!(value, Value::Timestamp(_)),
            Self::Duration => matches!(value, Value::Duration(_)),
            Self::Type => matches!(value, Value::Type(_)),
            Self::List(item) => {
                value.as_list().is_some_and(|list| {
                    // Numbers in lists are told apart by the first one.
                    list.get(0).is_none_or(|first| item.accepts(&first))
                })
            }
            Self::Map(..) => value.is_map(),
            Self::Optional(_) => matches!(value, Value::Optional(_)),
            Self::Opaque(name) => value.opaque_name() == Some(name),
        }
    }
}

/// The error for arguments that no signature takes.
pub(crate) fn no_such_overload() -> EvalError {
    EvalError::new("no such overload")
}
