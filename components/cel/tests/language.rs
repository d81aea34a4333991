//! The language and the libraries: tables of expressions and what they come to.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails
use cel::{Decl, Environment, Object, ObjectField, Program, Shape, Value, from_json};
use serde_json::json;
use std::sync::Arc;

fn environment() -> Environment {
    let field = |name: &str, decl: Decl| {
        let field = ObjectField {
            json_name: name.to_owned(),
            decl: Arc::new(decl),
            zero_when_absent: false,
            null_is_absent: false,
        };
        (name.to_owned(), field)
    };
    let spec = Object {
        name: "spec".into(),
        fields: [
            field("size", Decl::new(Shape::Int)),
            field("name", Decl::bounded(Shape::String, 40)),
            field(
                "items",
                Decl::bounded(
                    Shape::List(Arc::new(Decl::bounded(Shape::String, 10)), cel::ListKind::Atomic),
                    5,
                ),
            ),
        ]
        .into(),
    };
    Environment::new()
        .with("self", Decl::new(Shape::Object(Arc::new(spec))))
        .with("object", Decl::dynamic())
}

/// The value as upstream's `string()` has it, or the error.
fn evaluate(text: &str) -> String {
    let environment = environment();
    let program = match Program::compile(text, &environment) {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let data = json!({"size": 3, "name": "abc", "items": ["x", "y"]});
    let object = json!({
        "spec": {"replicas": 3, "list": [1, 2, 3], "ratio": 0.5, "labels": {"a": "1", "b": "2"}},
        "metadata": {"name": "pod-a"},
    });
    let variables = [
        Some(from_json(&data, environment.decl("self").expect("declared"))),
        Some(from_json(&object, environment.decl("object").expect("declared"))),
    ];
    let outcome = program.evaluate(&variables, cel::PER_CALL_LIMIT);
    match outcome.result {
        Ok(Value::Optional(None)) => "none".into(),
        Ok(value) => value
            .to_json()
            .map_or_else(|| format!("{value:?}"), |json| json.to_string()),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn values() {
    for (text, want) in [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3 - -4", "13"),
        ("7 / 2 + 7 % 2", "4"),
        ("1.5 + 2.0", "3.5"),
        ("'a' + \"b\" + r'\\n' + '\\u00e9'", "\"ab\\\\né\""),
        ("true && !false || false", "true"),
        ("1 < 2.5 && 2u >= 1", "true"),
        ("self.size < 100", "true"),
        ("self.items.all(x, x.size() == 1)", "true"),
        ("self.items.exists(x, x == 'y')", "true"),
        ("self.items.exists_one(x, x == 'y')", "true"),
        ("self.items.map(x, x + x)", "[\"xx\",\"yy\"]"),
        ("self.items.filter(x, x != 'x')", "[\"y\"]"),
        ("[1, 2, 3].map(x, x > 1, x * 10)", "[20,30]"),
        ("has(self.size) && !has(object.nothing)", "true"),
        ("object.spec.list[1] == 2 && object.spec.ratio == 0.5", "true"),
        ("object.spec.list.sum() == 6", "true"),
        (
            "'a' in object.spec.labels && !('c' in object.spec.labels)",
            "true",
        ),
        ("object.spec.labels.all(k, k != 'c')", "true"),
        ("object.spec.labels['a']", "\"1\""),
        ("object.?spec.?missing.orValue(5)", "5"),
        ("optional.of(1).orValue(1 / 0)", "1"),
        ("optional.none().or(optional.of(2)).value()", "2"),
        ("optional.of(1).or(object.?a[1 / 0]).value()", "1"),
        ("object.spec[?'replicas'].hasValue()", "true"),
        ("object.?nothing.?deeper", "none"),
        ("optional.of(3).optMap(v, v + 1).value()", "4"),
        ("[1, ?optional.none(), 3]", "[1,3]"),
        ("{'a': 1, ?'b': optional.of(2)}", "{\"a\":1,\"b\":2}"),
        ("{'a': 1}.transformMap(k, v, v + 1)", "{\"a\":2}"),
        ("[5, 6].transformList(i, v, i + v)", "[5,7]"),
        ("[5, 6].exists_one(i, v, i + v == 7)", "true"),
        ("self.size > 1 ? 'many' : 'one'", "\"many\""),
        (
            "type(1) == int && type('a') == string && type([]) == list",
            "true",
        ),
        ("duration('1h30m').getMinutes()", "90"),
        ("timestamp('2026-01-02T03:04:05Z').getFullYear()", "2026"),
        ("timestamp('2026-01-02T03:04:05Z').getHours('+02:00')", "5"),
        (
            "timestamp('2026-01-02T03:04:05Z') + duration('1h') > timestamp('2026-01-02T03:04:05Z')",
            "true",
        ),
        ("string(1) + string(1.5) + string(true)", "\"11.5true\""),
        ("int('42') + int(3.9)", "45"),
        ("size(b'abc') == 3 && 'é'.size() == 1", "true"),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn libraries() {
    for (text, want) in [
        ("'hello world'.replace('o', '0', 1)", "\"hell0 world\""),
        ("'a,b,c'.split(',')", "[\"a\",\"b\",\"c\"]"),
        ("['a', 'b'].join('-')", "\"a-b\""),
        ("'tacocat'.substring(2, 5)", "\"coc\""),
        (
            "'  x '.trim() + 'Ab'.lowerAscii() + 'Ab'.upperAscii()",
            "\"xabAB\"",
        ),
        ("'abcb'.indexOf('b') + 'abcb'.lastIndexOf('b')", "4"),
        ("'%s is %d, %.2f'.format(['x', 3, 1.5])", "\"x is 3, 1.50\""),
        ("[3, 1, 2].isSorted()", "false"),
        ("[3, 1, 2].max() - [3, 1, 2].min()", "2"),
        ("'abc 123'.find('[0-9]+')", "\"123\""),
        ("'a1b22'.findAll('[0-9]+')", "[\"1\",\"22\"]"),
        ("'abc'.matches('^[a-z]+$')", "true"),
        (
            "url('https://user@example.com:80/path?k=v').getHost()",
            "\"example.com:80\"",
        ),
        ("url('https://example.com:80/').getPort()", "\"80\""),
        ("url('/a/b?k=v').getQuery()", "{\"k\":[\"v\"]}"),
        ("isURL('example.com/') || isURL('not a url')", "false"),
        ("quantity('1.5Gi').isGreaterThan(quantity('1G'))", "true"),
        ("quantity('500m').add(quantity('500m')).asInteger()", "1"),
        ("isQuantity('five')", "false"),
        ("ip('10.0.0.1').family() + ip('::1').family()", "10"),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"),
        ("cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')", "true"),
        ("isIP('10.0.0.256')", "false"),
        ("string(cidr('10.1.2.3/8').masked())", "\"10.0.0.0/8\""),
        ("format.dns1123Label().validate('ok')", "none"),
        ("format.dns1123Label().validate('Not OK').hasValue()", "true"),
        ("format.named('nothing')", "none"),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", "true"),
        ("semver('v1.2', true).minor()", "2"),
        (
            "sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1])",
            "true",
        ),
        ("sets.intersects([1], [2])", "false"),
        ("[1, 2, 3, 4].slice(1, 3)", "[2,3]"),
        (
            "[1, 2].slice(1, 3)",
            "error: cannot slice(1, 3), list is length 2",
        ),
        (
            "[1, 2].slice(-1, 1)",
            "error: cannot slice(-1, 1), negative indexes not supported",
        ),
        (
            "[1, 2].slice(2, 1)",
            "error: cannot slice(2, 1), start index must be less than or equal to end index",
        ),
        ("[[1, 2], [], [3]].flatten()", "[1,2,3]"),
        (
            "[dyn(1), dyn([dyn(2), dyn([3]), dyn([[4]])])].flatten(2)",
            "[1,2,3,[4]]",
        ),
        ("[[1], [2]].flatten(0)", "[[1],[2]]"),
        ("[[1]].flatten(-1)", "error: level must be non-negative"),
        ("[3, 1, 3, 2, 1].distinct()", "[3,1,2]"),
        ("object.spec.list.reverse()", "[3,2,1]"),
        ("lists.range(4)", "[0,1,2,3]"),
        (
            "lists.range(-1)",
            "error: lists.range: size must be non-negative, got -1",
        ),
        ("[3, 1, 2].sort()", "[1,2,3]"),
        ("self.items.map(x, x + 'z').sort().reverse()", "[\"yz\",\"xz\"]"),
        ("[true, false].sort()", "[false,true]"),
        (
            "lists.range(50).map(x, x % 2 == 0 ? double('NaN') : double(x)).sort()[0]",
            "1",
        ),
        (
            "[dyn(1), dyn('a')].sort()",
            "error: list elements must have the same type",
        ),
        ("['abc', 'a', 'ab'].sortBy(x, x.size())", "[\"a\",\"ab\",\"abc\"]"),
        ("[3, 1, 2].sortBy(x, -x)", "[3,2,1]"),
        ("[].sortBy(x, 1)", "[]"),
        (
            "object.spec.labels.map(k, k).sortBy(k, object.spec.labels[k])",
            "[\"a\",\"b\"]",
        ),
        ("[[2, 1], [3]].sortBy(x, x.sortBy(y, y)[0]).flatten()", "[2,1,3]"),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn failures_of_evaluation() {
    for (text, want) in [
        ("1 / 0 == 1", "error: division by zero"),
        ("object.nothing == 1", "error: no such key: nothing"),
        ("[1][3]", "error: index out of bounds: 3"),
        (
            "['a', 'a'].transformMapEntry(i, v, {v: i})",
            "error: insert failed: key a already exists",
        ),
        ("object.spec.replicas.foo", "error: no such key: foo"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        (
            "'a'.matches('(' + 'b')",
            "error: error parsing regexp: missing closing ): `(b`",
        ),
        ("object.missing == 1 || true", "true"),
        ("false && object.missing == 1", "false"),
        ("[0, 1].exists(x, 1 / x == 1)", "true"),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn conversions_are_those_of_go() {
    let failed = |to: &str| format!("error: type conversion error from 'string' to '{to}'");
    for (text, want) in [
        ("int('x')", failed("int")),
        ("int('1_000')", failed("int")),
        ("uint('+1')", failed("uint")),
        ("double('1e400')", failed("double")),
        ("double('x')", failed("double")),
        ("bool('yes')", failed("bool")),
        ("timestamp(self.name)", failed("google.protobuf.Timestamp")),
        ("duration(self.name)", failed("google.protobuf.Duration")),
        ("int('+7') + int('-0')", "7".into()),
        ("double('0x1p-2') + double('1_0.5')", "10.75".into()),
        ("string(double('-inf'))", "\"-Inf\"".into()),
        ("int(9223372036854774784.0)", "9223372036854774784".into()),
        ("int(9223372036854775807.0)", "error: integer overflow".into()),
        ("uint(-1)", "error: unsigned integer overflow".into()),
        (
            "string(1000000.0) + ' ' + string(999999.0)",
            "\"1e+06 999999\"".into(),
        ),
        (
            "string(0.0001) + ' ' + string(0.00001)",
            "\"0.0001 1e-05\"".into(),
        ),
        ("string(duration('1h30m1.5s'))", "\"5401.5s\"".into()),
        ("string(duration('-2ns'))", "\"-0.000000002s\"".into()),
        (
            "string(duration('2562047h47m16.854775807s'))",
            "\"9223372036.854776s\"".into(),
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn times_are_those_of_go() {
    for (text, want) in [
        (
            "string(timestamp('9999-12-31T23:59:59.999999999Z'))",
            "\"9999-12-31T23:59:59.999999999Z\"",
        ),
        ("int(timestamp('9999-12-31T23:59:59Z'))", "253402300799"),
        ("timestamp('9999-12-31T23:59:59Z').getDayOfYear()", "364"),
        (
            "timestamp('9999-12-31T22:59:59Z').getHours('Europe/Berlin')",
            "23",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
            "error: timestamp overflow",
        ),
        (
            "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')",
            "error: integer overflow",
        ),
        ("timestamp(253402300799 + 1)", "error: timestamp overflow"),
        (
            "timestamp('0001-01-01T00:00:00Z') - duration('1h')",
            "error: timestamp overflow",
        ),
        (
            "string(timestamp('0001-01-01T00:00:00Z'))",
            "\"0001-01-01T00:00:00Z\"",
        ),
        (
            "string(timestamp('2020-01-01T00:30:00.250-01:30'))",
            "\"2020-01-01T00:30:00.25-01:30\"",
        ),
        ("timestamp('2020-01-01T00:30:00-01:30').getHours()", "2"),
        (
            "timestamp('2020-01-01T01:00:00+01:00') == timestamp('2020-01-01T00:00:00Z')",
            "true",
        ),
        (
            "string(timestamp('1969-12-31T23:59:59.5Z') - duration('1.75s'))",
            "\"1969-12-31T23:59:57.75Z\"",
        ),
        (
            "timestamp('2020-01-01T00:00:00Z').getHours('x:1')",
            "error: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "timestamp('2020-01-01T00:00:00Z').getHours('Nowhere')",
            "error: unknown time zone Nowhere",
        ),
        ("timestamp('2020-01-01T00:00:00Z').getMinutes('-02:30')", "30"),
        ("format.datetime().validate('9999-12-31T23:59:59Z')", "none"),
        (
            "format.datetime().validate('2020-01-01t01:02:03.5+01:00')",
            "none",
        ),
        (
            "format.datetime().validate('2020-01-01T24:00:00Z').hasValue()",
            "true",
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn texts_are_looked_into_as_upstream_does() {
    for (text, want) in [
        ("'tacocat'.indexOf('a', 3)", "5"),
        ("'tacocat'.indexOf('a', 30)", "-1"),
        ("'tacocat'.indexOf('', 30)", "30"),
        ("'tacocat'.indexOf('a', -1)", "error: index out of range: -1"),
        ("''.indexOf('a')", "-1"),
        ("'tacocat'.lastIndexOf('at')", "5"),
        ("'tacocat'.lastIndexOf('a', 4)", "1"),
        ("'tacocat'.lastIndexOf('a', 30)", "-1"),
        ("'tacocat'.lastIndexOf('')", "7"),
        ("'tacocat'.lastIndexOf('', 3)", "3"),
        ("''.lastIndexOf('a')", "error: index out of range: -1"),
        ("'ab'.lastIndexOf('abc')", "-1"),
        (
            "'tacocat'.substring(40, 3)",
            "error: invalid substring range. start: 40, end: 3",
        ),
        ("'tacocat'.substring(-1)", "error: index out of range: -1"),
        ("'tacocat'.substring(1, 30)", "error: index out of range: 30"),
        ("[dyn('a'), dyn(1)].join()", "error: join: invalid input: 1"),
        (
            "strings.quote('é\\u0001\\n\"')",
            "\"\\\"é\\u0001\\\\n\\\\\\\"\\\"\"",
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn templates() {
    let quoted = |text: &str| json!(text).to_string();
    let failed = |why: &str| format!("error: {why}");
    for (text, want) in [
        ("'no substitution'.format([])", quoted("no substitution")),
        ("'%% and %%%s%%'.format(['x'])", quoted("% and %x%")),
        ("'%d %s, %.3f'.format([1, 'A', 1.2345])", quoted("1 A, 1.234")),
        ("'%b %b %b'.format([-5, 64u, true])", quoted("-101 1000000 1")),
        ("'%o %x %X'.format([-11, -30, 6000u])", quoted("-13 -1e 1770")),
        ("'%x %X'.format(['Hello', b'\\x00z'])", quoted("48656c6c6f 007A")),
        ("'%.6e'.format([1052.032911275])", quoted("1.052033\u{202f}×\u{202f}10⁰³")),
        ("'%e'.format([0.000000002])", quoted("2.000000\u{202f}×\u{202f}10⁻⁰⁹")),
        ("'%f'.format([1234567.5])", quoted("1,234,567.500000")),
        ("'%.0f'.format([-123456.0])", quoted("-123,456")),
        ("'%f %f %f'.format(['NaN', 'Infinity', '-Infinity'])", quoted("NaN ∞ -∞")),
        (
            "'%s %s %s'.format([2.71, [2.71], 0.000000002])",
            quoted("2.71 [2.710000] 2e-09"),
        ),
        (
            "'%s'.format([[double('NaN'), double('+Inf'), double('-Inf')]])",
            quoted("[\"NaN\", \"+Inf\", \"-Inf\"]"),
        ),
        ("'%s %s %s'.format([null, type('x'), b'xyz'])", quoted("null string xyz")),
        (
            "'%s %s'.format([timestamp('2023-02-03T23:31:20+00:00'), duration('1h45m47s')])",
            quoted("2023-02-03T23:31:20Z 6347s"),
        ),
        (
            "'%s'.format([['abc', 3.14, null, [9, 8], timestamp('2023-02-03T23:31:20Z')]])",
            quoted("[\"abc\", 3.140000, null, [9, 8], timestamp(\"2023-02-03T23:31:20Z\")]"),
        ),
        (
            "'%s'.format([{'key1': dyn(b'xyz'), 'key5': dyn(null), 'key2': dyn(duration('2h')), 'key4': dyn(true), 'key3': dyn(2.71828)}])",
            quoted("{\"key1\":b\"xyz\", \"key2\":duration(\"7200s\"), \"key3\":2.718280, \"key4\":true, \"key5\":null}"),
        ),
        (
            "'%s %s'.format([object.spec.labels, object.spec.list])",
            quoted("{\"a\":\"1\", \"b\":\"2\"} [1, 2, 3]"),
        ),
        (
            "'%d'.format([object.spec.ratio])",
            failed("error during formatting: decimal clause can only be used on integers, was given double"),
        ),
        (
            "'%f'.format([object.spec.replicas])",
            failed("error during formatting: fixed-point clause can only be used on doubles, was given int"),
        ),
        (
            "'%s'.format([object.?nothing])",
            "ERROR: <input>:1:20: error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given optional_type\n | '%s'.format([object.?nothing])\n | ...................^".into(),
        ),
        (
            "'%s %s'.format(object.spec.list.filter(x, x == 1))",
            failed("index 1 out of range"),
        ),
        ("(self.name + '%').format([1])", failed("unexpected end of string")),
        (
            "(self.name + '%a').format([1])",
            failed("could not parse formatting clause: unrecognized formatting clause \"a\""),
        ),
        (
            "(self.name + '%.34').format([1])",
            failed("could not parse formatting clause: error while parsing precision: could not find end of precision specifier"),
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn templates_that_are_written_out_are_checked() {
    let wrong = |text: &str, at: usize, why: &str| {
        format!(
            "ERROR: <input>:1:{at}: {why}\n | {text}\n | {}^",
            ".".repeat(at - 1)
        )
    };
    for (text, at, why) in [
        ("'%s %s'.format(['abc'])", 15, "index 1 out of range"),
        (
            "'%s'.format(['abc', 'def'])",
            12,
            "too many arguments supplied to string.format (expected 1, got 2)",
        ),
        ("'%'.format(['x'])", 11, "unexpected end of string"),
        (
            "'%j'.format([123])",
            12,
            "could not parse formatting clause: unrecognized formatting clause \"j\"",
        ),
        (
            "'%d'.format([5.2])",
            14,
            "error during formatting: decimal clause can only be used on integers, was given double",
        ),
        (
            "'%x'.format([2.5])",
            14,
            "error during formatting: only integers, byte buffers, and strings can be formatted as hex, was given double",
        ),
        (
            "'%b'.format(['a'])",
            14,
            "error during formatting: only integers and bools can be formatted as binary, was given string",
        ),
        (
            "'%s'.format([[1, quantity('1')]])",
            26,
            "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given kubernetes.Quantity",
        ),
    ] {
        assert_eq!(evaluate(text), wrong(text, at, why), "{text}");
    }
}

#[test]
fn variables_of_macros_are_names() {
    let wrong = |text: &str, at: usize, why: &str| {
        format!(
            "ERROR: <input>:1:{at}: {why}\n | {text}\n | {}^",
            ".".repeat(at - 1)
        )
    };
    for (text, at, why) in [
        ("[1].all(1, true)", 9, "argument must be a simple name"),
        ("[1].map(1, true)", 9, "argument is not an identifier"),
        ("[1].filter(1, true)", 12, "argument is not an identifier"),
        ("[1].exists(i, i, true)", 15, "duplicate variable name: i"),
        (
            "[1].all(__result__, true)",
            9,
            "iteration variable overwrites accumulator variable",
        ),
        (
            "optional.of(1).optMap(1, 2)",
            23,
            "optMap() variable name must be a simple identifier",
        ),
    ] {
        assert_eq!(evaluate(text), wrong(text, at, why), "{text}");
    }
}

#[test]
fn failures_of_compilation_read_as_upstreams() {
    for (text, want) in [
        (
            "changed",
            "ERROR: <input>:1:1: undeclared reference to 'changed' (in container '')\n | changed\n | ^",
        ),
        (
            "self.color < 5",
            "ERROR: <input>:1:5: undefined field 'color'\n | self.color < 5\n | ....^",
        ),
        (
            "",
            "ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        (
            "Bad_Value!",
            "ERROR: <input>:1:10: Syntax error: extraneous input '!' expecting <EOF>\n | Bad_Value!\n | .........^",
        ),
        (
            "self.size + 'a'",
            "ERROR: <input>:1:11: found no matching overload for '_+_' applied to '(int, string)'\n | self.size + 'a'\n | ..........^",
        ),
        (
            "self.name.all(x, true)",
            "ERROR: <input>:1:5: expression of type 'string' cannot be range of a comprehension (must be list, map, or dynamic)\n | self.name.all(x, true)\n | ....^",
        ),
        (
            "self.size.foo",
            "ERROR: <input>:1:10: type 'int' does not support field selection\n | self.size.foo\n | .........^",
        ),
        (
            "self.name.nope(1)",
            "ERROR: <input>:1:15: undeclared reference to 'nope' (in container '')\n | self.name.nope(1)\n | ..............^",
        ),
        (
            "'a'.startsWith(1)",
            "ERROR: <input>:1:15: found no matching overload for 'startsWith' applied to 'string.(int)'\n | 'a'.startsWith(1)\n | ..............^",
        ),
        (
            "'a'.matches('(')",
            "ERROR: <input>:1:13: invalid matches argument\n | 'a'.matches('(')\n | ............^",
        ),
        (
            "duration('1x') > duration('y')",
            "ERROR: <input>:1:10: invalid duration argument\n | duration('1x') > duration('y')\n | .........^\nERROR: <input>:1:27: invalid duration argument\n | duration('1x') > duration('y')\n | ..........................^",
        ),
        (
            "[1].all(x, timestamp(x) < timestamp('2026-01-02 03:04:05Z'))",
            "ERROR: <input>:1:37: invalid timestamp argument\n | [1].all(x, timestamp(x) < timestamp('2026-01-02 03:04:05Z'))\n | ....................................^",
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn costs_are_counted_and_limited() {
    let environment = environment();
    let data = json!({"size": 3, "name": "abc", "items": ["x", "y"]});
    for (text, actual, estimated) in [
        // Two names, and a comparison.
        ("self.size < 100", 3, 3),
        ("has(self.size)", 1, 1),
        // Names, then for each element: accumulator, not_strictly_false, accumulator, x, size, comparison.
        ("self.items.all(x, x.size() == 1)", 2 + 2 * 6 + 1, 2 + 5 * 6 + 1),
        // Made, the text counts, and beforehand the prefix.
        ("self.name.startsWith('a')", 3, 3),
        // A number's text is short.
        ("('size ' + string(self.size)).size() > 0", 6, 12),
        // Names, a call, a list of at most five, a size, a comparison.
        (
            "self.items.reverse().size() > 0",
            2 + 11 + 2 + 1 + 1,
            2 + 11 + 5 + 1 + 1,
        ),
        (
            "self.items.slice(0, 1).size() > 0",
            2 + 11 + 1 + 1 + 1,
            2 + 11 + 1 + 1 + 1,
        ),
        ("lists.range(3).size() > 0", 11 + 3 + 1 + 1, 11 + 3 + 1 + 1),
        // Each text with each: 2.1 times four, cut off, or 25, rounded up.
        (
            "self.items.sort().size() > 0",
            2 + 11 + 8 + 1 + 1,
            2 + 11 + 53 + 1 + 1,
        ),
        (
            "self.items.distinct().size() > 0",
            2 + 11 + 8 + 1 + 1,
            2 + 11 + 50 + 1 + 1,
        ),
    ] {
        let program = Program::compile(text, &environment).unwrap();
        let variables = [
            Some(from_json(&data, environment.decl("self").expect("declared"))),
            None,
        ];
        let outcome = program.evaluate(&variables, 1_000);
        assert_eq!(outcome.cost, actual, "{text}");
        assert_eq!(program.cost().max, estimated, "{text}");
        let outcome = program.evaluate(&variables, 0);
        assert!(outcome.result.is_err_and(|error| error.over_budget), "{text}");
    }
}

#[test]
fn texts_do_not_grow_without_bound() {
    let environment = Environment::new().with("text", Decl::dynamic());
    let data = json!("x".repeat(1_000_000));
    for expression in [
        "text.replace('', text).size() > 0",
        "text.split('').join(text).size() > 0",
        "text.split('').map(c, text).join().size() > 0",
    ] {
        let program = Program::compile(expression, &environment).unwrap();
        let variables = [Some(from_json(&data, environment.decl("text").unwrap()))];
        assert!(
            program.evaluate(&variables, u64::MAX).result.is_err(),
            "{expression}"
        );
    }
}

#[test]
fn lists_do_not_grow_without_bound_and_are_not_compared_for_ever() {
    let environment = Environment::new().with("list", Decl::dynamic());
    let data = json!(vec![1; 100_000]);
    for expression in [
        "lists.range(9000000).size() > 0",
        "lists.range(99000000).size() > 0",
        "list.distinct().size() > 0",
        "lists.range(1000).map(x, list).flatten().size() > 0",
        // Nothing is made of it, but there is much to look through.
        "[lists.range(1000).map(x, [])].map(a, lists.range(1000).map(x, a)).map(b, lists.range(1000).map(x, b)).flatten(3).size() == 0",
    ] {
        let program = Program::compile(expression, &environment).unwrap();
        let variables = [Some(from_json(&data, environment.decl("list").unwrap()))];
        let outcome = program.evaluate(&variables, cel::PER_CALL_LIMIT);
        assert!(outcome.result.is_err(), "{expression}");
    }
}

#[test]
fn functions_that_older_servers_lack_are_refused_in_new_expressions() {
    let environment = environment();
    let refused = |minor: u32, known: &str, text: &str| {
        let known = [known.to_owned()].into();
        let compiled = cel::compatibility::storing(minor, known, || Program::compile(text, &environment));
        compiled.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for (text, said) in [
        (
            "self.items.sort() == []",
            "undeclared reference to 'sort' (in container '')",
        ),
        (
            "[[1]].flatten() == []",
            "undeclared reference to 'flatten' (in container '')",
        ),
        (
            "lists.range(2) == []",
            "undeclared reference to 'lists' (in container '')",
        ),
        (
            "self.items.sortBy(x, x) == []",
            "undeclared reference to 'sortBy' (in container '')",
        ),
        (
            "[1].reverse() == []",
            "undeclared reference to 'reverse' (in container '')",
        ),
        ("[1].isSorted() && semver('1.2.3').minor() == 2", ""),
    ] {
        let error = refused(33, "", text);
        assert!(
            error.contains(said) && said.is_empty() == error.is_empty(),
            "{text}: {error}"
        );
        assert_eq!(refused(34, "", text), "", "{text}");
        assert_eq!(refused(33, text, text), "", "{text}");
        assert!(Program::compile(text, &environment).is_ok(), "{text}");
    }
}

#[test]
fn long_loops_take_time_in_proportion() {
    let environment = Environment::new().with("list", Decl::dynamic());
    let program = Program::compile("list.map(x, x + 1).filter(x, x > 0).size()", &environment).unwrap();
    let data = json!(vec![1; 100_000]);
    let variables = [Some(from_json(&data, environment.decl("list").unwrap()))];
    let outcome = program.evaluate(&variables, u64::MAX);
    assert_eq!(outcome.result.unwrap(), Value::Int(100_000));
}

mod no_input_panics {
    use super::environment;
    use cel::Program;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts(text in r#"[a-z0-9 ."'()\[\]{}?:,+*/%<>=!&|_\\-]{0,60}"#) {
            let _ = Program::compile(&text, &environment());
        }

        #[test]
        fn tokens(words in prop::collection::vec(
            prop::sample::select(vec!["self", ".", "items", "all", "(", ")", "x", ",", "[", "]", "1", "+", "?", ":", "has", "map", "'a'", "-", "!", "{", "}", "optional", "of"]),
            0..20,
        )) {
            let text = words.concat();
            if let Ok(program) = Program::compile(&text, &environment()) {
                let _ = program.evaluate(&[None, None], 10_000);
            }
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        "(".repeat(10_000),
        "[".repeat(10_000),
        "1".to_owned() + &" + 1".repeat(10_000),
        "self".to_owned() + &".a".repeat(10_000),
        "true".to_owned() + &" ? true : true".repeat(10_000),
        "object".to_owned() + &".map(x, x".repeat(10_000),
    ] {
        assert!(Program::compile(&text, &environment()).is_err());
    }
    assert_eq!(evaluate(&("1".to_owned() + &" + 1".repeat(240))), "241");
    assert_eq!(evaluate(&("(".repeat(90) + "1" + &")".repeat(90))), "1");
    let balanced = "true".to_owned() + &" && true".repeat(5_000);
    assert_eq!(evaluate(&balanced), "true");
}

#[test]
fn mutations_alone_have_functions_for_patches() {
    let text = "jsonpatch.escapeKey('a/b')";
    let mutations = Environment::new().with_patch_types();
    assert!(Program::compile(text, &mutations).is_ok());
    let told = Program::compile(text, &Environment::new())
        .unwrap_err()
        .to_string();
    assert!(told.contains("undeclared reference to 'jsonpatch'"), "{told}");
}
