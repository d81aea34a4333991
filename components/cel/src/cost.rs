//! What calls cost, at run time from the arguments' sizes and before from the bounds that are declared.
use crate::estimate::{Cost, Size};
use crate::value::Value;

/// Budget of one expression at run time.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// Budget of all expressions over one object.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// Most that one expression may be estimated at.
pub const STATIC_LIMIT: u64 = 10_000_000;
/// Most that all expressions of a schema together may be estimated at.
pub const STATIC_CRD_LIMIT: u64 = 100_000_000;

/// Cost of looking at one byte of a text.
const TRAVERSAL: f64 = 0.1;
/// Cost of one byte of a regular expression, for each byte of the text.
const REGEX: f64 = 0.25;
/// Cost of asking an authorizer.
const AUTHORIZATION: u64 = 350_000;

/// How a signature's cost follows from its arguments. Numbers are positions of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostRule {
    One,
    Fixed(u64),
    /// A scalar becomes a text of a few bytes.
    ScalarText,
    /// The text is read once.
    Traverse(usize),
    /// The text is read up to the length of the second. The estimate counts the second and the call the first, as upstream.
    Affix,
    /// The text is read and one as long is made.
    Rebuild(usize),
    /// A text is made that is as long as the result.
    Join,
    /// The list is walked, an element for one.
    Elements(usize),
    Regex(usize, usize),
    Contains(usize, usize),
    /// Both are read as far as the shorter one goes.
    Compare(usize, usize),
    Concatenate,
    ConcatenateLists,
    /// Each element of one is looked for in the other.
    Product(usize, usize, u64),
    /// Address in a network; the second argument may be a text that is read first.
    Network(bool),
    /// A list is made, of part of the first argument.
    Slice,
    /// A list of so many numbers is made.
    Range,
    /// A list is made that is as long as the first argument.
    Reverse,
    /// A list is made of the lists in the first argument, and of those in them as far as a second one says.
    Flatten(bool),
    /// A list is made for which the elements of that one, texts or not, are compared with each other.
    SelfCompare(usize, bool),
}

/// A call, and a list that it makes.
const LIST_CALL: u64 = 1 + 10;
/// Comparing two elements.
const COMPARISON: f64 = 2.0;

fn making(size: u64, factor: f64) -> u64 {
    // The number is cut off, not rounded, as upstream does it.
    ((size as f64 * factor) as u64).saturating_add(LIST_CALL)
}

fn comparison(texts: bool) -> f64 {
    if texts { COMPARISON + TRAVERSAL } else { COMPARISON }
}

fn scaled(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}

impl CostRule {
    /// The rule of a signature.
    pub(crate) fn of(function: &str, id: &str) -> Self {
        match (function, id) {
            ("startsWith" | "endsWith", _) => Self::Affix,
            (_, "string_to_bytes" | "bytes_to_string") => Self::Traverse(0),
            ("strings.quote" | "format", id) if id != "format" => Self::Traverse(0),
            (_, "scalar") => Self::ScalarText,
            (_, "in_list") => Self::Elements(1),
            ("_<_" | "_<=_" | "_>_" | "_>=_", "text") | ("_==_" | "_!=_", _) => Self::Compare(0, 1),
            ("_+_", "text") => Self::Concatenate,
            ("_+_", "list") => Self::ConcatenateLists,
            ("matches" | "find" | "findAll", _) => Self::Regex(0, 1),
            ("contains", _) => Self::Contains(0, 1),
            ("isSorted" | "sum" | "min" | "max", _) | ("indexOf" | "lastIndexOf", "list") => {
                Self::Elements(0)
            }
            (
                "indexOf"
                | "lastIndexOf"
                | "url"
                | "isURL"
                | "lowerAscii"
                | "upperAscii"
                | "substring"
                | "trim"
                | "charAt"
                | "quantity"
                | "isQuantity"
                | "semver"
                | "isSemver"
                | "cidr"
                | "isIP"
                | "isCIDR"
                | "jsonpatch.escapeKey",
                _,
            ) => Self::Traverse(0),
            ("ip", "cidr_ip") => Self::One,
            ("ip" | "ip.isCanonical", _) => Self::Traverse(0),
            ("replace" | "split", _) => Self::Rebuild(0),
            ("join", _) => Self::Join,
            ("validate", _) => Self::Traverse(1),
            ("sets.contains" | "sets.intersects", _) => Self::Product(0, 1, 1),
            ("sets.equivalent", _) => Self::Product(0, 1, 2),
            ("containsIP", _) => Self::Network(false),
            ("containsCIDR", _) => Self::Network(true),
            ("check", _) => Self::Fixed(AUTHORIZATION),
            ("fieldSelector" | "labelSelector", _) => Self::Rebuild(1),
            ("slice", _) => Self::Slice,
            ("lists.range", _) => Self::Range,
            ("reverse", "list") => Self::Reverse,
            ("flatten", id) => Self::Flatten(id == "deep"),
            ("distinct", _) => Self::SelfCompare(0, false),
            ("sort", id) => Self::SelfCompare(0, id == "list_text"),
            ("@sortByAssociatedKeys", id) => Self::SelfCompare(1, id == "list_text"),
            _ => Self::One,
        }
    }

    /// The cost of a call that was made.
    pub(crate) fn actual(self, args: &[Value<'_>], result: Option<&Value<'_>>) -> u64 {
        let size = |index: usize| args.get(index).map_or(1, Value::cost_size);
        match self {
            Self::One | Self::ScalarText => 1,
            Self::Fixed(cost) => cost,
            Self::Traverse(index) => scaled(size(index), TRAVERSAL),
            Self::Affix => scaled(size(0), TRAVERSAL),
            Self::Rebuild(index) => scaled(size(index), 2.0 * TRAVERSAL),
            Self::Join => scaled(result.map_or(1, Value::cost_size), 2.0 * TRAVERSAL),
            Self::Elements(index) => size(index),
            Self::Regex(text, pattern) => {
                scaled(size(text).saturating_add(1), TRAVERSAL).saturating_mul(scaled(size(pattern), REGEX))
            }
            Self::Contains(text, part) => {
                scaled(size(text), TRAVERSAL).saturating_mul(scaled(size(part), TRAVERSAL))
            }
            Self::Compare(left, right) => scaled(size(left).min(size(right)), TRAVERSAL),
            Self::Concatenate => scaled(size(0).saturating_add(size(1)), TRAVERSAL),
            Self::ConcatenateLists => 1,
            Self::Product(left, right, times) => size(left)
                .saturating_mul(size(right))
                .saturating_mul(times)
                .saturating_add(1),
            Self::Network(prefix) => {
                let mut cost = scaled(size(0).saturating_mul(2), TRAVERSAL) + u64::from(prefix);
                if args.get(1).is_some_and(|other| other.as_str().is_some()) {
                    cost = cost.saturating_add(scaled(size(1), TRAVERSAL));
                }
                cost
            }
            Self::Slice | Self::Range | Self::Reverse => making(result.map_or(1, Value::cost_size), 1.0),
            Self::Flatten(_) => match args.get(1) {
                Some(Value::Int(depth)) => making(size(0), *depth as f64),
                _ => making(size(0), 1.0),
            },
            Self::SelfCompare(index, _) => {
                let first = args.get(index).and_then(Value::as_list);
                let first = first.and_then(|list| list.get(0));
                let texts = matches!(first, Some(Value::String(_) | Value::Bytes(_)));
                making(size(index).saturating_mul(size(index)), comparison(texts))
            }
        }
    }

    /// The least and most that a call may cost, without its arguments, and the size of its result. `literal` is the number that
    /// stands as an argument.
    pub(crate) fn estimated(
        self,
        size: impl Fn(usize) -> Size,
        literal: impl Fn(usize) -> Option<u64>,
    ) -> (Cost, Option<Size>) {
        let makes = |factor: f64, made: Size| (made.scaled(factor).add(Cost::fixed(LIST_CALL)), Some(made));
        let exactly = |count: u64| Size {
            min: count,
            max: count,
        };
        let (cost, result) = match self {
            Self::One => (Cost::fixed(1), None),
            Self::Fixed(cost) => (Cost::fixed(cost), None),
            Self::ScalarText => (Cost::fixed(1), Some(Size { min: 1, max: 64 })),
            Self::Traverse(index) => (size(index).scaled(TRAVERSAL), None),
            Self::Affix => (size(1).scaled(TRAVERSAL), None),
            Self::Rebuild(index) => {
                let text = size(index);
                let result = Size {
                    min: 0,
                    max: text.max,
                };
                (text.scaled(2.0 * TRAVERSAL), Some(result))
            }
            Self::Join => {
                let elements = size(0).multiply(Size {
                    min: 0,
                    max: u64::MAX,
                });
                (elements.scaled(2.0 * TRAVERSAL), Some(elements))
            }
            Self::Elements(index) => (size(index).scaled(1.0), None),
            Self::Regex(text, pattern) => {
                let text = size(text).add(Size { min: 1, max: 1 }).scaled(TRAVERSAL);
                (text.multiply(size(pattern).scaled(REGEX)), None)
            }
            Self::Contains(text, part) => (
                size(text)
                    .scaled(TRAVERSAL)
                    .multiply(size(part).scaled(TRAVERSAL)),
                None,
            ),
            Self::Compare(left, right) => {
                let max = size(left).max.min(size(right).max);
                (Size { min: 0, max }.scaled(TRAVERSAL), None)
            }
            Self::Concatenate => {
                let both = size(0).add(size(1));
                (both.scaled(TRAVERSAL), Some(both))
            }
            Self::ConcatenateLists => (Cost::fixed(1), Some(size(0).add(size(1)))),
            Self::Product(left, right, times) => {
                let product = size(left).multiply(size(right)).scaled(times as f64);
                (product.add(Cost::fixed(1)), None)
            }
            Self::Network(prefix) => {
                let network = Size { min: 4, max: 16 }.scaled(2.0 * TRAVERSAL);
                let other = Size {
                    min: 4,
                    max: size(1).max.clamp(16, 45),
                }
                .scaled(TRAVERSAL);
                (network.add(other).add(Cost::fixed(u64::from(prefix))), None)
            }
            Self::Slice => {
                let end = literal(2).unwrap_or(size(0).max);
                makes(1.0, exactly(end.saturating_sub(literal(1).unwrap_or(0))))
            }
            Self::Range => makes(1.0, exactly(literal(0).unwrap_or(u64::MAX))),
            Self::Reverse => makes(1.0, size(0)),
            Self::Flatten(deep) => {
                let depth = if deep { literal(1).unwrap_or(u64::MAX) } else { 1 };
                makes(depth as f64, size(0))
            }
            Self::SelfCompare(index, texts) => makes(comparison(texts), size(index).multiply(size(index))),
        };
        (cost, result)
    }
}
