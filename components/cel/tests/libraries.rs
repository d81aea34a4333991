//! Kubernetes' own functions: URLs, versions, addresses, patterns.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test panics where an assumption fails

use cel::{Environment, Program, Value};
use serde_json::json;

/// The value as JSON, or the error.
fn evaluate(text: &str) -> String {
    let program = Program::compile(text, &Environment::new()).expect(text);
    match program.evaluate(&[], cel::PER_CALL_LIMIT).result {
        Ok(Value::Optional(None)) => "none".into(),
        Ok(value) => value
            .to_json()
            .map_or_else(|| format!("{value:?}"), |json| json.to_string()),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn urls_are_gos() {
    for (url, scheme, host, hostname, port, path) in [
        (
            "https://example.com:80/a/b",
            "https",
            "example.com:80",
            "example.com",
            "80",
            "/a/b",
        ),
        (
            "HTTPS://Example.com:443",
            "https",
            "Example.com:443",
            "Example.com",
            "443",
            "",
        ),
        (
            "https://example.com:",
            "https",
            "example.com:",
            "example.com",
            "",
            "",
        ),
        ("https://u:p@[::1]:80/", "https", "[::1]:80", "::1", "80", "/"),
        (
            "https://[fe80::1%25en0]/",
            "https",
            "[fe80::1%en0]",
            "fe80::1%en0",
            "",
            "/",
        ),
        ("/path/../x y", "", "", "", "", "/path/../x%20y"),
        ("//a/b", "", "a", "a", "", "/b"),
        ("http://a/b%2fc%20[d]", "http", "a", "a", "", "/b%2fc%20[d]"),
        ("http://a/é#f", "http", "a", "a", "", "/%C3%A9"),
        ("mailto:a@b", "mailto", "", "", "", ""),
        ("x:/y", "x", "", "", "", "/y"),
        ("http:///y", "http", "", "", "", "/y"),
        ("*", "", "", "", "", "*"),
    ] {
        for (read, want) in [
            ("getScheme", scheme),
            ("getHost", host),
            ("getHostname", hostname),
            ("getPort", port),
            ("getEscapedPath", path),
        ] {
            let text = format!("url({}).{read}()", json!(url));
            assert_eq!(evaluate(&text), json!(want).to_string(), "{text}");
        }
        assert_eq!(evaluate(&format!("isURL({})", json!(url))), "true", "{url}");
    }
}

#[test]
fn what_is_no_url_is_told_as_go_tells_it() {
    for (url, why) in [
        ("", "empty url"),
        ("../relative", "invalid URI for request"),
        ("example.com:80/x y", "first"),
        (":a", "missing protocol scheme"),
        ("http://a b/", "invalid character \" \" in host name"),
        ("http://a:b/", "invalid port \":b\" after host"),
        ("http://[::1/", "missing ']' in host"),
        ("http://a/%zz", "invalid URL escape \"%zz\""),
        ("http://a%41/", "invalid URL escape \"%41\""),
        ("http://u ser@a/", "net/url: invalid userinfo"),
        ("http://a/\u{1}", "net/url: invalid control character in URL"),
    ] {
        let text = format!("url({})", json!(url));
        if why == "first" {
            // A scheme may be anything.
            assert_eq!(evaluate(&format!("{text}.getScheme()")), "\"example.com\"");
            continue;
        }
        let shown = apimachinery::field::quote(url);
        assert_eq!(
            evaluate(&text),
            format!("error: URL parse error during conversion from string: parse {shown}: {why}"),
        );
        assert_eq!(evaluate(&format!("isURL({})", json!(url))), "false");
        assert_eq!(
            evaluate(&format!("format.uri().validate({}).value()", json!(url))),
            json!([format!("parse {shown}: {why}")]).to_string()
        );
    }
}

#[test]
fn queries() {
    for (text, want) in [
        (
            "url('http://a?x=1&y=2+3&x=%2f&z&;b=1&%zz=1').getQuery()",
            r#"{"x":["1","/"],"y":["2 3"],"z":[""]}"#,
        ),
        ("url('http://a?').getQuery()", "{}"),
        ("url('http://a/b?x') == url('http://a/b?x')", "true"),
        ("url('http://a/b?x') == url('http://a/b')", "false"),
        ("url('HTTP://a/b') == url('http://a/b')", "true"),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn versions() {
    for (text, want) in [
        ("isSemver('1.2.3-beta.1+build.1')", "true"),
        ("isSemver('01.01.01')", "false"),
        ("isSemver('1.1')", "false"),
        ("isSemver(' 1.0.0', true)", "false"),
        ("isSemver('1. 0.0', true)", "false"),
        ("isSemver('', true)", "false"),
        ("isSemver('v1', true)", "true"),
        ("semver('v01.01', true) == semver('1.1.0')", "true"),
        ("semver('1.2.003-rc', true) == semver('1.2.3-rc')", "true"),
        ("semver('1.2.3+a') == semver('1.2.3+b')", "true"),
        ("semver('1.2.3-a.1').isLessThan(semver('1.2.3-a.b'))", "true"),
        ("semver('1.2.3-a').compareTo(semver('1.2.3'))", "-1"),
        ("semver('v1.0')", "error: No Major.Minor.Patch elements found"),
        ("semver('')", "error: Version string empty"),
        (
            "semver('v1.0.0')",
            "error: Invalid character(s) found in major number \"v1\"",
        ),
        (
            "semver('1.02.0')",
            "error: Minor number must not contain leading zeroes \"02\"",
        ),
        (
            "semver('1.0.x')",
            "error: Invalid character(s) found in patch number \"x\"",
        ),
        (
            "semver('1..0')",
            "error: strconv.ParseUint: parsing \"\": invalid syntax",
        ),
        ("semver('1.0.0-')", "error: Prerelease is empty"),
        (
            "semver('1.0.0-01')",
            "error: Numeric PreRelease version must not contain leading zeroes \"01\"",
        ),
        (
            "semver('1.0.0-a_b')",
            "error: Invalid character(s) found in prerelease \"a_b\"",
        ),
        ("semver('1.0.0+')", "error: Build meta data is empty"),
        (
            "semver('1.0.0+a_b')",
            "error: Invalid character(s) found in build meta data \"a_b\"",
        ),
        (
            "semver('1.2-rc', true)",
            "error: short version cannot contain PreRelease/Build meta data",
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn addresses() {
    let network = "error: network address parse error during conversion from string: ";
    let twice = format!("{network}network address parse error during conversion from string: ");
    for (text, want) in [
        (
            "ip('::ffff:1.2.3.4').family()",
            "error: IPv4-mapped IPv6 address \"::ffff:1.2.3.4\" is not allowed".to_owned(),
        ),
        (
            "ip('fe80::1%eth0').family()",
            "error: IP address \"fe80::1%eth0\" with zone value is not allowed".to_owned(),
        ),
        (
            "cidr('192.168.0.0/').ip().family()",
            format!("{twice}netip.ParsePrefix(\"192.168.0.0/\"): bad bits after slash: \"\""),
        ),
        (
            "cidr('192.168.0.0/08').ip().family()",
            format!("{twice}netip.ParsePrefix(\"192.168.0.0/08\"): bad bits after slash: \"08\""),
        ),
        (
            "cidr('192.168.0.0/33').ip().family()",
            format!("{twice}netip.ParsePrefix(\"192.168.0.0/33\"): prefix length out of range"),
        ),
        (
            "cidr('192.168.0.0').ip().family()",
            format!("{twice}netip.ParsePrefix(\"192.168.0.0\"): no '/'"),
        ),
        (
            "cidr('x/8').ip().family()",
            format!("{twice}netip.ParsePrefix(\"x/8\"): ParseAddr(\"x\"): unable to parse IP"),
        ),
        (
            "cidr('::ffff:1.2.3.4/100').ip().family()",
            format!("{network}IPv4-mapped IPv6 address \"::ffff:1.2.3.4/100\" is not allowed"),
        ),
        (
            "string(cidr('192.168.0.1/0').masked())",
            "\"0.0.0.0/0\"".to_owned(),
        ),
        (
            "cidr('2001:db8::/32').containsCIDR('2001:db8::/33')",
            "true".to_owned(),
        ),
        (
            "cidr('2001:db8::/32').containsCIDR('2001:db8::/31')",
            "false".to_owned(),
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn extremes_sums_and_patterns() {
    for (text, want) in [
        ("[1.0, double('NaN'), 3.0].max()", "3"),
        ("[2.5, double('NaN'), 1.5].min()", "1.5"),
        (
            "[duration('2562047h'), duration('2562047h')].sum()",
            "error: integer overflow",
        ),
        ("'abc 123'.find('[0-9]+')", "\"123\""),
        ("'12 34'.findAll('[0-9]+', 1)", "[\"12\"]"),
        (
            "'x'.find('(' + 'a')",
            "error: Illegal regex: error parsing regexp: missing closing ): `(a`",
        ),
    ] {
        assert_eq!(evaluate(text), want, "{text}");
    }
}

#[test]
fn costs_are_those_of_upstreams_estimator() {
    for (text, actual, estimated) in [
        // Values of the libraries' types are read from their texts while they run, and compared for one.
        ("quantity('12Mi') == quantity('1')", 3, 3),
        ("semver('1.2.3') == semver('1.2.3')", 3, 3),
        ("ip('10.0.0.1') == ip('10.0.0.12')", 3, 3),
        ("ip.isCanonical('127.0.0.1')", 2, 1),
        ("isURL('https://example.com')", 1, 1),
        ("url('https://a.b/c').getHost()", 3, 3),
        ("url('https://a.b/c') == url('https://a.b/d')", 5, 6),
        // A network's prefix has three bytes, an address four or sixteen.
        (
            "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))",
            2 + 2 + 1,
            1 + 1 + 4,
        ),
        (
            "cidr('192.168.0.0/24').containsIP('192.168.0.1')",
            2 + 1 + 2,
            1 + 4 + 2,
        ),
        (
            "cidr('192.168.0.0/24').containsCIDR('192.168.0.0/25')",
            2 + 1 + 2 + 2,
            1 + 4 + 3 + 2,
        ),
        // What isn't needed isn't evaluated.
        ("optional.of(1).orValue('abc'.trim().size())", 1, 1 + 1 + 1 + 1),
        // A named format is one of the longest patterns.
        ("format.dns1123Label().validate('ok')", 2, 1 + 32),
        // What is made of a text has a size.
        ("'abc'.trim().matches('a')", 2, 2),
        ("'abc'.replace('b', 'xx').matches('a')", 2, 2),
        ("'abc'.replace('', 'xxxxxxxxxx').matches('a')", 1 + 5, 1 + 5),
        ("'abc'.find('[a-z]+').matches('a')", 2 + 1, 2 + 1),
        ("'a-b-c'.split('-').size()", 1 + 1, 1 + 1),
        ("'a-b-c'.split('-').all(x, true)", 1 + 3 * 3 + 1, 1 + 5 * 3 + 1),
        ("'a-b-c'.split('-', 2).all(x, true)", 1 + 2 * 3 + 1, 1 + 2 * 3 + 1),
        // Lists of numbers are walked for one each, texts by their bytes.
        ("[1, 2, 3].sum()", 10 + 3, 10 + 3),
        ("['a', 'bb'].isSorted()", 10, u64::MAX),
        ("'tacocat'.indexOf('a')", 0, 1),
        ("'no substitution'.format([])", 12, 12),
        ("strings.quote('abc').matches('a')", 2, 2),
    ] {
        let program = Program::compile(text, &Environment::new()).expect(text);
        let outcome = program.evaluate(&[], cel::PER_CALL_LIMIT);
        assert!(outcome.result.is_ok(), "{text}");
        assert_eq!((outcome.cost, program.cost().max), (actual, estimated), "{text}");
    }
}
