//! Validation of values against schemas, with upstream's messages and in its order. What an update leaves as it was
//! is not held against it.
use super::formats;
use super::ratcheting::is_as_before;
use super::schema::{Additional, Kind, Schema};
use apimachinery::field::{Error, ErrorKind, ErrorList, Path};
use serde_json::Value;

/// What is wrong with an object, or one that replaces `old`.
pub(crate) fn check(schema: &Schema, old: Option<&Value>, new: &Value) -> ErrorList {
    let root = Path::root();
    let mut validation = Validation::at(&root);
    validation.value(schema, old, new);
    validation.errors
}

/// A walk over a value.
pub(crate) struct Validation<'a> {
    base: &'a Path,
    /// Where in the value, as messages name it: `spec.items[0]`.
    name: String,
    pub errors: ErrorList,
}

fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Numbers up to which each whole one has a float of its own.
const WHOLE_FLOATS: f64 = 9_007_199_254_740_991.0;

/// Whether a number is a whole one as upstream reads it, for which those beyond 64 bits are floats.
fn is_whole(number: &serde_json::Number) -> bool {
    let whole = |number: f64| number.fract() == 0.0 && number.abs() <= WHOLE_FLOATS;
    number.is_i64() || number.as_f64().is_some_and(whole)
}

/// The format of a schema, if it is one that means something for its type.
fn format_of(schema: &Schema) -> &str {
    let kind = schema.kind.map_or("", Kind::as_str);
    if formats::is_known(kind, &schema.format) {
        &schema.format
    } else {
        ""
    }
}

/// The format that upstream's values have. Only numbers have one.
fn format_of_value(value: &Value) -> &'static str {
    match value {
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        _ => "",
    }
}

fn fits_kind(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Number(number) => kind == Kind::Number || (kind == Kind::Integer && is_whole(number)),
        other => kind.as_str() == kind_name(other),
    }
}

/// A number as Go's `%v` prints it.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e21 {
        return format!("{value:.0}");
    }
    value.to_string()
}

impl<'a> Validation<'a> {
    /// A walk over a value that stands at `base`.
    pub fn at(base: &'a Path) -> Self {
        Self {
            base,
            name: String::new(),
            errors: ErrorList::new(),
        }
    }

    fn path(&self) -> Path {
        match self.name.trim_start_matches('.') {
            "" => self.base.clone(),
            name => self.base.child(name),
        }
    }

    fn invalid(&mut self, value: &Value, what: &str) {
        let detail = format!("{} in body {what}", self.name);
        self.errors.push(Error::invalid(&self.path(), value, detail));
    }

    /// An error that upstream doesn't connect with a field.
    fn general(&mut self, detail: String) {
        self.errors.push(Error::invalid(self.base, "", detail));
    }

    /// Checks a value that stands where `old` stood.
    pub fn value(&mut self, schema: &Schema, old: Option<&Value>, new: &Value) {
        if is_as_before(schema, old, new) {
            return;
        }
        self.kind(schema, new);
        if new.is_null() {
            if !schema.nullable {
                self.enumeration(schema, new);
            }
            return;
        }
        self.combined(schema, new);
        match new {
            Value::String(text) => self.text(schema, text, new),
            Value::Number(number) => self.number(schema, number, new),
            Value::Array(items) => self.array(schema, old, items, new),
            _ => {}
        }
        self.enumeration(schema, new);
        if let Value::Object(map) = new {
            self.object(schema, old, map);
        }
    }

    fn kind(&mut self, schema: &Schema, value: &Value) {
        let wanted = match schema.kind {
            _ if value.is_null() && schema.nullable => return,
            Some(kind) if fits_kind(kind, value) => return,
            // Upstream looks at the formats of lists no more than at those of texts.
            Some(Kind::String) if value.is_array() && !format_of(schema).is_empty() => return,
            Some(kind) => kind.as_str(),
            None if schema.int_or_string => {
                if fits_kind(Kind::Integer, value) || value.is_string() {
                    return;
                }
                "integer,string"
            }
            None => match &schema.odd_kind {
                Some(odd) => odd.as_str(),
                None => return,
            },
        };
        let format = if schema.kind.is_some() {
            format_of(schema)
        } else {
            ""
        };
        // Where a format is wanted, that of the value is told instead of its type.
        let by_format =
            !format.is_empty() && !matches!(value, Value::Null | Value::String(_) | Value::Array(_));
        let (wanted, found) = if by_format {
            (format, format_of_value(value))
        } else {
            (wanted, kind_name(value))
        };
        let detail = format!("{} in body must be of type {wanted}: {found:?}", self.name);
        self.errors.push(Error::type_invalid(&self.path(), found, detail));
    }

    /// What a schema on its own would say. Nothing is let through there for having been so before.
    fn alone(&self, schema: &Schema, new: &Value) -> ErrorList {
        let mut inner = Validation {
            base: self.base,
            name: self.name.clone(),
            errors: ErrorList::new(),
        };
        inner.value(schema, None, new);
        inner.errors
    }

    fn combined(&mut self, schema: &Schema, new: &Value) {
        if !schema.any_of.is_empty() {
            let outcomes: Vec<ErrorList> = schema.any_of.iter().map(|part| self.alone(part, new)).collect();
            if !outcomes.iter().any(Vec::is_empty) {
                self.general(format!(
                    "{:?} must validate at least one schema (anyOf)",
                    self.name
                ));
                self.errors.extend(fewest(outcomes));
            }
        }
        if !schema.one_of.is_empty() {
            let outcomes: Vec<ErrorList> = schema.one_of.iter().map(|part| self.alone(part, new)).collect();
            match outcomes.iter().filter(|errors| errors.is_empty()).count() {
                0 => {
                    self.general(format!(
                        "{:?} must validate one and only one schema (oneOf). Found none valid",
                        self.name
                    ));
                    self.errors.extend(fewest(outcomes));
                }
                1 => {}
                several => self.general(format!(
                    "{:?} must validate one and only one schema (oneOf). Found {several} valid alternatives",
                    self.name
                )),
            }
        }
        if !schema.all_of.is_empty() {
            let mut valid = 0;
            for part in &schema.all_of {
                let errors = self.alone(part, new);
                valid += usize::from(errors.is_empty());
                self.errors.extend(errors);
            }
            if valid == 0 {
                self.general(format!(
                    "{:?} must validate all the schemas (allOf). None validated",
                    self.name
                ));
            } else if valid < schema.all_of.len() {
                self.general(format!("{:?} must validate all the schemas (allOf)", self.name));
            }
        }
        if let Some(not) = &schema.not
            && self.alone(not, new).is_empty()
        {
            self.general(format!("{:?} must not validate the schema (not)", self.name));
        }
    }

    fn text(&mut self, schema: &Schema, text: &str, value: &Value) {
        let length = text.chars().count() as u64;
        if let Some(max) = schema.max_length.filter(|max| length > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors.push(Error::too_long(&self.path(), max));
        }
        if let Some(min) = schema.min_length.filter(|min| length < *min) {
            self.invalid(value, &format!("should be at least {min} chars long"));
        }
        if let Some((pattern, regex)) = &schema.pattern
            // One that would take too much memory is not looked at.
            && regex.as_ref().is_some_and(|regex| !regex.is_match(text))
        {
            self.invalid(value, &format!("should match '{pattern}'"));
        }
        if !formats::fits(&schema.format, text) {
            let detail = format!(
                "{} in body must be of type {}: {text:?}",
                self.name, schema.format
            );
            self.errors.push(Error::type_invalid(&self.path(), value, detail));
        }
    }

    fn number(&mut self, schema: &Schema, given: &serde_json::Number, value: &Value) {
        let wide = given.as_f64().unwrap_or(f64::NAN);
        self.in_range(schema, "Checked", given);
        if let Some(factor) = schema.multiple_of.filter(|factor| {
            let ratio = wide / factor;
            *factor > 0.0 && (ratio - ratio.round()).abs() > 1e-9
        }) {
            self.invalid(value, &format!("should be a multiple of {}", number(factor)));
        }
        if let Some(max) = schema
            .maximum
            .and_then(|(max, _)| serde_json::Number::from_f64(max))
        {
            self.in_range(schema, "Maximum boundary", &max);
        }
        if let Some((max, exclusive)) = schema.maximum
            && (wide > max || (exclusive && wide == max))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            self.invalid(value, &format!("should be less than{or_equal} {}", number(max)));
        }
        if let Some(min) = schema
            .minimum
            .and_then(|(min, _)| serde_json::Number::from_f64(min))
        {
            self.in_range(schema, "Minimum boundary", &min);
        }
        if let Some((min, exclusive)) = schema.minimum
            && (wide < min || (exclusive && wide == min))
        {
            let or_equal = if exclusive { "" } else { " or equal to" };
            self.invalid(
                value,
                &format!("should be greater than{or_equal} {}", number(min)),
            );
        }
    }

    /// A number has to fit the type and format that its schema names.
    fn in_range(&mut self, schema: &Schema, what: &str, number: &serde_json::Number) {
        let format = format_of(schema);
        let fits = match (schema.kind, format) {
            (Some(Kind::Integer), "int32") => {
                is_whole(number)
                    && number
                        .as_f64()
                        .is_some_and(|number| (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number))
            }
            (Some(Kind::Integer), _) => is_whole(number),
            // What is rounded to the greatest float is one.
            (Some(Kind::Number), "float") => {
                number.as_f64().is_some_and(|number| (number as f32).is_finite())
            }
            _ => true,
        };
        if !fits {
            let kind = schema.kind.map_or("", Kind::as_str);
            let format = match format {
                "" => "(default format)".to_owned(),
                format => format!("with format {format}"),
            };
            self.general(format!(
                "{what} value must be of type {kind} {format} in {}",
                self.name
            ));
        }
    }

    fn array(&mut self, schema: &Schema, old: Option<&Value>, items: &[Value], value: &Value) {
        let length = self.name.len();
        if let Some(below) = &schema.items {
            let former = schema.former(old);
            for (index, item) in items.iter().enumerate() {
                self.name.push_str(&format!("[{index}]"));
                self.value(below, former.of(schema, item), item);
                self.name.truncate(length);
            }
        }
        let count = items.len() as u64;
        if let Some(min) = schema.min_items.filter(|min| count < *min) {
            self.invalid(&count.into(), &format!("should have at least {min} items"));
        }
        if let Some(max) = schema.max_items.filter(|max| count > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors.push(Error::too_many(&self.path(), items.len(), max));
        }
        if schema.unique_items {
            let mut seen = std::collections::HashSet::new();
            if items.iter().any(|item| !seen.insert(item.to_string())) {
                self.invalid(value, "shouldn't contain duplicates");
            }
        }
    }

    fn enumeration(&mut self, schema: &Schema, value: &Value) {
        if schema.enumeration.is_empty() || schema.enumeration.contains(value) {
            return;
        }
        let supported: Vec<String> = schema
            .enumeration
            .iter()
            .map(|allowed| {
                allowed
                    .as_str()
                    .map_or_else(|| allowed.to_string(), str::to_owned)
            })
            .collect();
        let supported: Vec<&str> = supported.iter().map(String::as_str).collect();
        self.errors
            .push(Error::not_supported(&self.path(), value, &supported));
    }

    fn object(&mut self, schema: &Schema, old: Option<&Value>, map: &serde_json::Map<String, Value>) {
        let count = map.len() as u64;
        if let Some(min) = schema.min_properties.filter(|min| count < *min) {
            self.invalid(&count.into(), &format!("should have at least {min} properties"));
        }
        if let Some(max) = schema.max_properties.filter(|max| count > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.errors.push(Error::too_many(&self.path(), map.len(), max));
        }
        for name in schema.required.iter().filter(|name| !map.contains_key(*name)) {
            self.errors.push(Error::required(&self.path().child(name), ""));
        }
        let length = self.name.len();
        for (key, value) in map {
            let below = match (schema.properties.get(key), &schema.additional) {
                (Some(below), _) => below,
                (None, Additional::Schema(below)) => below,
                _ => continue,
            };
            if length > 0 {
                self.name.push('.');
            }
            self.name.push_str(key);
            // That an update changes these at the top can't be seen: both objects were converted to the same.
            let old = old.filter(|_| length > 0 || !matches!(key.as_str(), "apiVersion" | "kind"));
            self.value(below, old.and_then(|old| old.get(key)), value);
            self.name.truncate(length);
        }
    }
}

/// The failure that came closest.
fn fewest(outcomes: Vec<ErrorList>) -> ErrorList {
    let mistyped = |errors: &ErrorList| {
        errors
            .iter()
            .filter(|error| error.kind == ErrorKind::TypeInvalid)
            .count()
    };
    outcomes
        .into_iter()
        .min_by_key(|errors| (mistyped(errors), errors.len()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(schema: Value, value: Value) -> Vec<String> {
        check(&Schema::parse(&schema), None, &value)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn messages_are_upstreams() {
        for (schema, value, want) in [
            (
                json!({"type": "integer"}),
                json!("a"),
                vec![r#"a: Invalid value: "string": a in body must be of type integer: "string""#],
            ),
            (
                json!({"type": "integer"}),
                json!(2.5),
                vec![
                    r#"a: Invalid value: "number": a in body must be of type integer: "number""#,
                    r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in a"#,
                ],
            ),
            (
                json!({"type": "integer", "minimum": 1, "maximum": 5, "exclusiveMaximum": true}),
                json!(5),
                vec!["a: Invalid value: 5: a in body should be less than 5"],
            ),
            (
                json!({"type": "string", "minLength": 2}),
                json!("x"),
                vec![r#"a: Invalid value: "x": a in body should be at least 2 chars long"#],
            ),
            (
                json!({"type": "string", "pattern": "^a$"}),
                json!("b"),
                vec![r#"a: Invalid value: "b": a in body should match '^a$'"#],
            ),
            (
                json!({"type": "string", "pattern": "\\Qa*\\E"}),
                json!("b"),
                vec![r#"a: Invalid value: "b": a in body should match '\Qa*\E'"#],
            ),
            (
                json!({"type": "integer", "format": "int32"}),
                json!(1.5),
                vec![
                    r#"a: Invalid value: "float64": a in body must be of type int32: "float64""#,
                    r#"<nil>: Invalid value: "": Checked value must be of type integer with format int32 in a"#,
                ],
            ),
            (
                json!({"type": "integer", "format": "odd"}),
                json!(true),
                vec![r#"a: Invalid value: "boolean": a in body must be of type integer: "boolean""#],
            ),
            (
                json!({"type": "string", "format": "date"}),
                json!(1),
                vec![r#"a: Invalid value: "int64": a in body must be of type date: "int64""#],
            ),
            (json!({"type": "string", "format": "date"}), json!([1]), vec![]),
            (
                json!({"type": "number", "format": "float"}),
                json!(3.402_823_5e38),
                vec![],
            ),
            (
                json!({"type": "string"}),
                json!(1.0),
                vec![r#"a: Invalid value: "number": a in body must be of type string: "number""#],
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "minItems": 1}),
                json!([]),
                vec!["a: Invalid value: 0: a in body should have at least 1 items"],
            ),
            (
                json!({"type": "object", "minProperties": 2}),
                json!({"a": 1}),
                vec!["a: Invalid value: 1: a in body should have at least 2 properties"],
            ),
            (
                json!({"type": "string", "format": "ipv4"}),
                json!("b"),
                vec![r#"a: Invalid value: "b": a in body must be of type ipv4: "b""#],
            ),
            (
                json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}),
                json!(["a", "b"]),
                vec!["a: Too many: 2: must have at most 1 item"],
            ),
            (
                json!({"type": "object", "required": ["x"]}),
                json!({}),
                vec!["a.x: Required value"],
            ),
            (
                json!({"x-kubernetes-int-or-string": true}),
                json!(true),
                vec![r#"a: Invalid value: "boolean": a in body must be of type integer,string: "boolean""#],
            ),
            (
                json!({"type": "integer", "oneOf": [{"minimum": 3}, {"minimum": 1}]}),
                json!(4),
                vec![
                    r#"<nil>: Invalid value: "": "a" must validate one and only one schema (oneOf). Found 2 valid alternatives"#,
                ],
            ),
            (
                json!({"type": "integer", "not": {"minimum": 3}}),
                json!(4),
                vec![r#"<nil>: Invalid value: "": "a" must not validate the schema (not)"#],
            ),
            (json!({"type": "string", "nullable": true}), json!(null), vec![]),
            (
                json!({"type": "integer"}),
                json!(9_007_199_254_740_993_i64),
                vec![],
            ),
            (
                json!({"type": "integer"}),
                json!(u64::MAX),
                vec![
                    r#"a: Invalid value: "number": a in body must be of type integer: "number""#,
                    r#"<nil>: Invalid value: "": Checked value must be of type integer (default format) in a"#,
                ],
            ),
        ] {
            let schema = json!({"type": "object", "properties": {"a": schema}});
            assert_eq!(errors(schema, json!({"a": value})), want);
        }
    }

    #[test]
    fn elements_of_long_lists_are_found_by_their_keys() {
        let schema = Schema::parse(
            &json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
            "items": {"type": "object", "properties": {
                "k": {"type": "integer"}, "p": {"type": "string", "default": "x"}, "v": {"type": "integer", "maximum": 1},
            }}}),
        );
        let count = 20_000;
        let old: Value = (0..count).map(|k| json!({"k": k, "v": 5})).collect();
        let mut new: Value = (0..count)
            .rev()
            .map(|k| json!({"k": k, "p": "x", "v": 5}))
            .collect();
        assert!(check(&schema, Some(&old), &new).is_empty());
        new[0]["v"] = json!(6);
        new[1]["p"] = json!("y");
        assert_eq!(check(&schema, Some(&old), &new).len(), 2);
    }

    #[test]
    fn what_was_there_before_may_stay() {
        let schema = Schema::parse(&json!({"type": "object", "properties": {
            "a": {"type": "integer", "maximum": 3}, "b": {"type": "integer"},
        }}));
        let old = json!({"a": 5, "b": 1});
        // What all or some schemas say is never let through.
        for quantor in ["allOf", "anyOf", "oneOf"] {
            let mut schema =
                json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}});
            schema[quantor] = json!([{"properties": {"a": {"maximum": 3}}}]);
            let schema = Schema::parse(&schema);
            assert!(check(&schema, Some(&old), &old).is_empty());
            assert!(
                !check(&schema, Some(&old), &json!({"a": 5, "b": 2})).is_empty(),
                "{quantor}"
            );
        }
        assert!(check(&schema, Some(&old), &json!({"a": 5, "b": 2})).is_empty());
        assert_eq!(check(&schema, Some(&old), &json!({"a": 6, "b": 2})).len(), 1);
    }
}
