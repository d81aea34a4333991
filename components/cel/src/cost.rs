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
/// Length of the longest pattern of a named format, and of a format's own form.
const LONGEST_PATTERN: f64 = 128.0;
const LONGEST_FORMAT: u64 = 64;
/// Cost of asking an authorizer.
const AUTHORIZATION: u64 = 350_000;

/// How a signature's cost follows from its arguments. Numbers are positions of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostRule {
    One,
    Fixed(u64),
    /// An optional value or something else, which is evaluated only where there is no value. Upstream counts nothing for it.
    Otherwise,
    /// A scalar becomes a text of a few bytes.
    ScalarText,
    /// The text is read once.
    Traverse(usize),
    /// The same, and what is made is as large.
    Keep,
    /// A text is read so many times to make a value of it; beforehand upstream counts that as nothing.
    Parse(u64),
    /// A text becomes bytes, up to four for a character; or the other way round.
    Encode,
    Decode,
    /// A text gets quotes, and each character may need an escape.
    Quote,
    /// The text is read and another one is made of it, or a list of its parts.
    Replace,
    Split,
    /// A text is held against one of the longest patterns; while it runs upstream counts that as nothing.
    Validate,
    /// A selector is made of the second argument, a text.
    Selector,
    /// The text is read up to the length of the second. The estimate counts the second and the call the first, as upstream.
    Affix,
    /// A text is made that is as long as the result.
    Join,
    /// The list is walked, an element for one.
    Elements(usize),
    /// The list and its elements are walked, or the text.
    Walk,
    Regex(usize, usize),
    /// The same, and what matches is made.
    Find,
    Contains(usize, usize),
    /// Both are read as far as the shorter one goes.
    Compare(usize, usize),
    /// The same but for values of the libraries' types.
    Equals,
    Concatenate,
    ConcatenateLists,
    /// Each element of one is looked for in the other.
    Product(usize, usize, u64),
    /// An address, or a prefix, in a network. It may be a text that is read first.
    Network {
        prefix: bool,
        text: bool,
    },
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

/// What is known of a call's arguments beforehand.
pub(crate) trait Arguments {
    /// The size that an argument may have; anything, where nothing is known.
    fn size(&self, index: usize) -> Size;
    /// The same, if there is such an argument.
    fn given(&self, index: usize) -> Option<Size>;
    /// The size that the argument's own expression tells.
    fn known_size(&self, index: usize) -> Option<Size>;
    /// The number that stands as an argument.
    fn literal(&self, index: usize) -> Option<u64>;
    /// Of a list, whether its elements are texts, and their size.
    fn element(&self, index: usize) -> Option<(bool, Size)>;
    /// The name of the type that the first two have, if a library has it.
    fn same_library_type(&self) -> Option<&'static str>;
}

/// A list, for each two characters a requirement, which is a list and a structure, and reading.
fn selector(length: Size) -> Cost {
    let requirements = length.scaled(0.5).scaled(10.0 + 40.0);
    Cost::fixed(10).add(length.scaled(TRAVERSAL)).add(requirements)
}

/// What is walked for one is counted as one; texts by their bytes.
fn walked(value: &Value<'_>) -> u64 {
    let bytes = |length: usize| (length as f64 * TRAVERSAL) as u64;
    match value {
        Value::String(text) => bytes(text.as_str().len()),
        Value::Bytes(text) => bytes(text.len()),
        _ => match value.as_list() {
            Some(list) => list.iter().map(|item| walked(&item)).sum(),
            None if value.is_map() => value
                .keys()
                .iter()
                .map(|key| walked(key) + value.entry(key).map_or(0, |entry| walked(&entry)))
                .sum(),
            None => 1,
        },
    }
}

/// The size of a text in which one part is replaced by another.
fn replaced(text: Size, old: Size, new: Size) -> Size {
    let part = |whole: u64, of: u64| (whole as f64 / of as f64).ceil() as u64;
    // How often it is replaced at most, and what stays.
    let (most, stays) = if old.min == 0 {
        (text.max.saturating_add(1), text.max)
    } else if new.max <= old.min {
        (0, text.max)
    } else {
        (part(text.max, old.min), 0)
    };
    let (least, remains) = if old.max == 0 {
        (text.min.saturating_add(1), text.min)
    } else if old.max <= new.min {
        (0, text.min)
    } else {
        (part(text.min, old.max), 0)
    };
    Size {
        min: least.saturating_mul(new.min).saturating_add(remains),
        max: most.saturating_mul(new.max).saturating_add(stays),
    }
}

impl CostRule {
    /// The rule of a signature.
    pub(crate) fn of(function: &str, id: &str) -> Self {
        match (function, id) {
            ("startsWith" | "endsWith", _) => Self::Affix,
            (_, "string_to_bytes") => Self::Encode,
            (_, "bytes_to_string") => Self::Decode,
            ("strings.quote", _) => Self::Quote,
            ("format", _) => Self::Traverse(0),
            (_, "scalar") => Self::ScalarText,
            (_, "in_list") => Self::Elements(1),
            ("or" | "orValue", _) => Self::Otherwise,
            ("_==_", _) => Self::Equals,
            ("_<_" | "_<=_" | "_>_" | "_>=_", "text") | ("_!=_", _) => Self::Compare(0, 1),
            ("_+_", "text") => Self::Concatenate,
            ("_+_", "list") => Self::ConcatenateLists,
            ("matches", _) => Self::Regex(0, 1),
            ("find" | "findAll", _) => Self::Find,
            ("contains", _) => Self::Contains(0, 1),
            ("isSorted" | "sum" | "min" | "max" | "indexOf" | "lastIndexOf", _) => Self::Walk,
            ("url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "jsonpatch.escapeKey", _) => {
                Self::Keep
            }
            ("ip", "cidr_ip") => Self::One,
            ("ip" | "isIP" | "cidr" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver", _) => {
                Self::Parse(1)
            }
            ("ip.isCanonical", _) => Self::Parse(2),
            ("replace", _) => Self::Replace,
            ("split", _) => Self::Split,
            ("join", _) => Self::Join,
            ("validate", _) => Self::Validate,
            ("sets.contains" | "sets.intersects", _) => Self::Product(0, 1, 1),
            ("sets.equivalent", _) => Self::Product(0, 1, 2),
            ("containsIP" | "containsCIDR", id) => Self::Network {
                prefix: function == "containsCIDR",
                text: id == "text",
            },
            ("check", _) => Self::Fixed(AUTHORIZATION),
            ("fieldSelector" | "labelSelector", _) => Self::Selector,
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
            Self::One | Self::ScalarText | Self::Validate => 1,
            Self::Fixed(cost) => cost,
            Self::Otherwise => 0,
            Self::Traverse(index) => scaled(size(index), TRAVERSAL),
            Self::Affix | Self::Keep | Self::Encode | Self::Decode | Self::Quote => {
                scaled(size(0), TRAVERSAL)
            }
            Self::Parse(times) => scaled(size(0), times as f64 * TRAVERSAL),
            Self::Replace | Self::Split => scaled(size(0), 2.0 * TRAVERSAL),
            Self::Join => scaled(result.map_or(1, Value::cost_size), 2.0 * TRAVERSAL),
            Self::Selector => {
                let length = size(1);
                selector(Size {
                    min: length,
                    max: length,
                })
                .max
            }
            Self::Walk => args.first().map_or(0, walked),
            Self::Equals if matches!(args.first(), Some(Value::Opaque(_))) => 1,
            Self::Elements(index) => size(index),
            Self::Find => Self::Regex(0, 1).actual(args, result),
            Self::Regex(text, pattern) => {
                scaled(size(text).saturating_add(1), TRAVERSAL).saturating_mul(scaled(size(pattern), REGEX))
            }
            Self::Contains(text, part) => {
                scaled(size(text), TRAVERSAL).saturating_mul(scaled(size(part), TRAVERSAL))
            }
            Self::Equals => scaled(size(0).min(size(1)), TRAVERSAL),
            Self::Compare(left, right) => scaled(size(left).min(size(right)), TRAVERSAL),
            Self::Concatenate => scaled(size(0).saturating_add(size(1)), TRAVERSAL),
            Self::ConcatenateLists => 1,
            Self::Product(left, right, times) => size(left)
                .saturating_mul(size(right))
                .saturating_mul(times)
                .saturating_add(1),
            Self::Network { prefix, text } => {
                let mut cost = scaled(size(0).saturating_mul(2), TRAVERSAL);
                if prefix {
                    cost += scaled(size(0), TRAVERSAL) + 1;
                }
                if text {
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

    /// The least and most that a call may cost, without its arguments, and the size of its result.
    pub(crate) fn estimated(self, args: &dyn Arguments) -> (Cost, Option<Size>) {
        let size = |index: usize| args.size(index);
        let literal = |index: usize| args.literal(index);
        let makes = |factor: f64, made: Size| (made.scaled(factor).add(Cost::fixed(LIST_CALL)), Some(made));
        let exactly = |count: u64| Size {
            min: count,
            max: count,
        };
        let (cost, result) = match self {
            Self::One | Self::Otherwise => (Cost::fixed(1), None),
            Self::Fixed(cost) => (Cost::fixed(cost), None),
            Self::ScalarText => (Cost::fixed(1), Some(Size { min: 1, max: 64 })),
            Self::Traverse(index) => (size(index).scaled(TRAVERSAL), None),
            Self::Affix => (size(1).scaled(TRAVERSAL), None),
            Self::Keep => (size(0).scaled(TRAVERSAL), Some(size(0))),
            Self::Parse(_) => (Cost::fixed(1), None),
            Self::Encode => {
                let Size { min, max } = size(0);
                let max = max.saturating_mul(4);
                (size(0).scaled(TRAVERSAL), Some(Size { min, max }))
            }
            Self::Decode => {
                let Size { min, max } = size(0);
                (size(0).scaled(TRAVERSAL), Some(Size { min: min / 4, max }))
            }
            Self::Quote => {
                let Size { min, max } = size(0);
                let quoted = Size {
                    min: min.saturating_add(2),
                    max: max.saturating_mul(2).saturating_add(2),
                };
                (size(0).scaled(TRAVERSAL), Some(quoted))
            }
            Self::Replace => {
                let made = replaced(size(0), size(1), size(2));
                (size(0).scaled(2.0 * TRAVERSAL), Some(made))
            }
            Self::Split => {
                let max = literal(2).unwrap_or(size(0).max);
                (size(0).scaled(2.0 * TRAVERSAL), Some(Size { min: 0, max }))
            }
            Self::Join => {
                let count = size(0);
                let element = args.element(0).map(|(_, size)| size);
                let mut made = element.map_or(exactly(0), |element| count.multiply(element));
                if let Some(separator) = args.given(1) {
                    let between = Size {
                        min: count.min.saturating_sub(1),
                        max: count.max.saturating_sub(1),
                    };
                    made = made.add(separator.multiply(between));
                }
                (made.scaled(TRAVERSAL), Some(made))
            }
            Self::Validate => {
                let read = size(1).scaled(TRAVERSAL);
                (read.scaled(LONGEST_PATTERN * REGEX), None)
            }
            Self::Selector => (selector(size(1)), None),
            Self::Walk => {
                let cost = match args.element(0) {
                    None => size(0).scaled(TRAVERSAL),
                    Some((false, _)) => size(0).scaled(1.0),
                    Some((true, element)) => {
                        let each = Cost::fixed(1).add(element.scaled(TRAVERSAL));
                        size(0).scaled(1.0).multiply(each)
                    }
                };
                (cost, None)
            }
            Self::Elements(index) => (size(index).scaled(1.0), None),
            Self::Find => {
                let (cost, _) = Self::Regex(0, 1).estimated(args);
                let max = size(0).max;
                (cost, Some(Size { min: 0, max }))
            }
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
            Self::Equals => match args.same_library_type() {
                None => Self::Compare(0, 1).estimated(args),
                Some("kubernetes.URL") => {
                    let known = args.known_size(1).unwrap_or(exactly(1));
                    (
                        Size {
                            min: 1,
                            max: known.max,
                        }
                        .scaled(TRAVERSAL),
                        None,
                    )
                }
                Some("kubernetes.NamedFormat") => (
                    Size {
                        min: 1,
                        max: LONGEST_FORMAT,
                    }
                    .scaled(TRAVERSAL),
                    None,
                ),
                Some(_) => (Cost::fixed(1), None),
            },
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
            Self::Network { prefix, text } => {
                let address = Size { min: 4, max: 16 };
                let mut cost = address.add(address).scaled(TRAVERSAL);
                if prefix {
                    cost = cost.add(address.scaled(TRAVERSAL)).add(Cost::fixed(1));
                }
                if text {
                    cost = cost.add(size(1).scaled(TRAVERSAL));
                }
                (cost, None)
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
