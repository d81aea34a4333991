//! JSON paths of printer columns, as kubectl and upstream's `client-go/util/jsonpath` read and follow them.
mod evaluate;
mod parse;

use serde_json::Value;
use std::borrow::Cow;

/// A parsed JSON path such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JsonPath(Vec<Step>);

/// What is done with each of the values that the steps before gave.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Wildcard,
    /// Everything below that holds something, and the value itself.
    Recursive,
    Slice(Slice),
    Filter(Filter),
    /// What each path gives, one after the other.
    Union(Vec<Vec<Step>>),
    /// Itself, whatever was before.
    Literal(Value),
    /// A word. Those that upstream knows make no sense in a column, and others it refuses when it follows the path.
    Word,
}

/// `[from:to:step]`; an index has only `from`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    from: Option<i64>,
    to: End,
    step: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// An index: one element.
    OneOn,
    At(i64),
    Last,
}

/// `[?(left operator right)]`
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Vec<Step>,
    comparison: Option<(String, Vec<Step>)>,
}

impl JsonPath {
    /// `None` for what upstream can't read.
    pub fn parse(text: &str) -> Option<Self> {
        parse::template(text).map(Self)
    }

    /// All values there, in order; `None` where the path can't be followed, as when an index is beyond a list's end.
    pub fn find<'v>(&'v self, value: &'v Value) -> Option<Vec<Cow<'v, Value>>> {
        evaluate::all(vec![Cow::Borrowed(value)], &self.0)
    }
}
