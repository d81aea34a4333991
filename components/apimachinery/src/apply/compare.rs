use super::{Shape, is_deduced, items, shape};
use crate::decode::{Unchanged, is_empty_collection, settle_value};
use crate::fieldset::{FieldSet, field_element};
use crate::schema::{Field, ListKind, SchemaSet, Type};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// How two versions of an object differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub added: FieldSet,
    pub modified: FieldSet,
    pub removed: FieldSet,
}

/// Compares two versions of an object, of which the later may be made of what was applied: what that gives is there,
/// also when it is empty. managedFields are not looked at.
pub fn compare(set: &SchemaSet, ty: &Type, before: &Value, after: &Value) -> Comparison {
    compare_change(set, ty, before, after, &Unchanged::default(), false)
}

/// Compares two versions of an object, of which `unchanged` is known to be the same. With `typed` as upstream's typed
/// objects: what would not be written is not there.
pub fn compare_change(
    set: &SchemaSet,
    ty: &Type,
    before: &Value,
    after: &Value,
    unchanged: &Unchanged,
    typed: bool,
) -> Comparison {
    let mut comparer = Comparer {
        set,
        typed,
        unchanged,
        path: Vec::new(),
        out: Comparison::default(),
    };
    comparer.value(Some(ty), None, before, after);
    comparer.out
}

/// A step on the way; its element text is only made for what differs.
enum Step<'a> {
    Field(&'a str),
    Element(String),
    /// An item of a list of these.
    Item(Option<&'a Type>, &'a ListKind, &'a Value),
}

impl Step<'_> {
    fn text(&self, set: &SchemaSet) -> Cow<'_, str> {
        match self {
            Step::Field(name) => Cow::Owned(field_element(name)),
            Step::Element(text) => Cow::Borrowed(text),
            // Items of an atomic list, for which alone the position counts, are not compared.
            Step::Item(inner, kind, item) => Cow::Owned(items::element(set, *inner, kind, 0, item)),
        }
    }
}

struct Comparer<'a> {
    set: &'a SchemaSet,
    typed: bool,
    unchanged: &'a Unchanged,
    path: Vec<Step<'a>>,
    out: Comparison,
}

pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    }
}

/// Whether what a field holds counts as nothing.
pub(super) fn is_nothing(typed: bool, field: Option<&Field>, value: &Value) -> bool {
    typed && field.is_some_and(|field| !field.always && is_empty_collection(value, &field.ty))
}

/// Whether what is taken as a whole has become another. Inside of it, what is empty counts no more than elsewhere.
pub(super) fn differs(
    set: &SchemaSet,
    typed: bool,
    ty: Option<&Type>,
    before: &Value,
    after: &Value,
) -> bool {
    if before == after {
        return false;
    }
    let (true, Some(ty)) = (typed, ty) else {
        return true;
    };
    let mut settled = after.clone();
    settle_value(set, ty, &mut settled);
    *before != settled
}

/// Whether this is `metadata.managedFields`, given the names above it.
fn is_managed_fields(path: &[Step<'_>], key: &str) -> bool {
    key == "managedFields" && matches!(path, [Step::Field("metadata")])
}

fn steps<'p>(set: &SchemaSet, path: &'p [Step<'_>]) -> Vec<Cow<'p, str>> {
    path.iter().map(|step| step.text(set)).collect()
}

impl<'a> Comparer<'a> {
    fn added(&mut self, below: FieldSet) {
        let path = steps(self.set, &self.path);
        self.out.added.attach(&path, below);
    }

    fn removed(&mut self, below: FieldSet) {
        let path = steps(self.set, &self.path);
        self.out.removed.attach(&path, below);
    }

    fn modified(&mut self) {
        let path = steps(self.set, &self.path);
        self.out.modified.insert(&path);
    }

    fn leaf(&mut self, ty: Option<&Type>, before: &Value, after: &Value) {
        if differs(self.set, self.typed, ty, before, after) {
            self.modified();
        }
    }

    /// What is there before and after.
    fn value(&mut self, ty: Option<&'a Type>, field: Option<&Field>, before: &'a Value, after: &'a Value) {
        if let Value::Object(map) = before
            && is_deduced(ty)
            && !after.is_object()
        {
            // A map of no declared type has become something else: what was below it is gone.
            for (key, value) in map {
                self.path.push(Step::Field(key));
                self.either(None, None, Some(value), None);
                self.path.pop();
            }
            return self.leaf(ty, before, after);
        }
        let shape = shape(self.set, ty, field, Some(after));
        if is_empty(before) && is_empty(after) {
            return self.leaf(ty, before, after);
        }
        match shape {
            Shape::Leaf | Shape::List(_, ListKind::Atomic) => self.leaf(ty, before, after),
            Shape::Struct(schema) => {
                let mut fields = schema.ascending();
                self.map(before, after, |key| {
                    fields.field(key).map(|field| (&field.ty, Some(field)))
                });
            }
            Shape::Map(inner) => self.map(before, after, |_| inner.map(|ty| (ty, None))),
            Shape::List(inner, kind) => self.list(inner, kind, before, after),
        }
    }

    fn map<'f>(
        &mut self,
        before: &'a Value,
        after: &'a Value,
        // Asked for names that ascend.
        mut below: impl FnMut(&str) -> Option<(&'a Type, Option<&'f Field>)>,
    ) {
        let (before, after) = (before.as_object(), after.as_object());
        let mut new = after.into_iter().flatten().peekable();
        let mut step =
            |comparer: &mut Self, key: &'a str, before: Option<&'a Value>, after: Option<&'a Value>| {
                if is_managed_fields(&comparer.path, key) {
                    return;
                }
                let (ty, field) = below(key).unzip();
                let field = field.flatten();
                let before = before.filter(|value| !is_nothing(comparer.typed, field, value));
                let after = after.filter(|value| !is_nothing(comparer.typed, field, value));
                comparer.path.push(Step::Field(key));
                comparer.either(ty, field, before, after);
                comparer.path.pop();
            };
        // Both are sorted by key.
        for (key, old) in before.into_iter().flatten() {
            while let Some((key, value)) = new.next_if(|(other, _)| *other < key) {
                step(self, key, None, Some(value));
            }
            let same = new.next_if(|(other, _)| *other == key).map(|(_, value)| value);
            step(self, key, Some(old), same);
        }
        for (key, value) in new {
            step(self, key, None, Some(value));
        }
    }

    fn is_same_at_top(&self, before: &Value, after: &Value) -> bool {
        match self.path.as_slice() {
            [Step::Field(name)] => self.unchanged.has(name) || before == after,
            _ => false,
        }
    }

    fn either(
        &mut self,
        ty: Option<&'a Type>,
        field: Option<&Field>,
        before: Option<&'a Value>,
        after: Option<&'a Value>,
    ) {
        match (before, after) {
            // Most changes leave all but one of the members at the top as they are. Further down the same question
            // would be asked of the same values again and again.
            (Some(before), Some(after)) if self.is_same_at_top(before, after) => {}
            (Some(before), Some(after)) => self.value(ty, field, before, after),
            (None, Some(after)) => {
                let below = self.whole(ty, field, after);
                self.added(below);
            }
            (Some(before), None) => {
                let below = self.whole(ty, field, before);
                self.removed(below);
            }
            (None, None) => {}
        }
    }

    /// All fields below a value that is only there before or after.
    fn whole(&self, ty: Option<&Type>, field: Option<&Field>, value: &Value) -> FieldSet {
        let mut out = FieldSet::default();
        match (shape(self.set, ty, field, Some(value)), value) {
            (Shape::Leaf | Shape::List(_, ListKind::Atomic), _) => {}
            (Shape::Struct(schema), Value::Object(map)) => {
                let mut fields = schema.ascending();
                for (key, value) in map {
                    let field = fields.field(key);
                    if is_nothing(self.typed, field, value) {
                        continue;
                    }
                    let below = self.whole(field.map(|field| &field.ty), field, value);
                    out.push(field_element(key), true, below);
                }
            }
            (Shape::Map(inner), Value::Object(map)) => {
                for (key, value) in map {
                    out.push(field_element(key), true, self.whole(inner, None, value));
                }
            }
            (Shape::List(inner, kind), Value::Array(list)) => {
                let elements = items::elements(self.set, inner, kind, list);
                let mut sorted: Vec<(String, &Value)> = elements.into_iter().zip(list).collect();
                sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
                let mut sorted = sorted.into_iter().peekable();
                while let Some((element, item)) = sorted.next() {
                    let mut repeated = false;
                    while sorted.next_if(|(other, _)| *other == element).is_some() {
                        repeated = true;
                    }
                    // Repeated items can't be told apart: they are one leaf.
                    let below = if repeated {
                        FieldSet::default()
                    } else {
                        self.whole(inner, None, item)
                    };
                    out.push(element, true, below);
                }
            }
            _ => {}
        }
        out
    }

    fn list(&mut self, inner: Option<&'a Type>, kind: &'a ListKind, before: &'a Value, after: &'a Value) {
        if before == after {
            return;
        }
        let list = |value: &'a Value| value.as_array().map_or(&[][..], Vec::as_slice);
        let (before, after) = (list(before), list(after));
        if items::are_paired(self.set, inner, kind, before, after)
            && items::are_few_and_distinct(self.set, inner, kind, after)
        {
            for (before, after) in before.iter().zip(after) {
                self.path.push(Step::Item(inner, kind, after));
                self.either(inner, None, Some(before), Some(after));
                self.path.pop();
            }
            return;
        }
        type Pair<'v> = (Vec<&'v Value>, Vec<&'v Value>);
        let mut paired: BTreeMap<String, Pair<'a>> = BTreeMap::new();
        for (element, item) in items::elements(self.set, inner, kind, before)
            .into_iter()
            .zip(before)
        {
            paired.entry(element).or_default().0.push(item);
        }
        for (element, item) in items::elements(self.set, inner, kind, after)
            .into_iter()
            .zip(after)
        {
            paired.entry(element).or_default().1.push(item);
        }
        for (element, (before, after)) in paired {
            self.path.push(Step::Element(element));
            if before.len() <= 1 && after.len() <= 1 {
                self.either(inner, None, before.first().copied(), after.first().copied());
            } else if before.is_empty() {
                self.added(FieldSet::default());
            } else if after.is_empty() {
                self.removed(FieldSet::default());
            } else if before != after {
                // Repeated items can't be told apart: they are one leaf, and nobody owns what was inside.
                self.modified();
                for item in before {
                    self.either(inner, None, Some(item), None);
                }
            }
            self.path.pop();
        }
    }
}
