use super::flags::BAD_NAME;
use super::*;
use proptest::prelude::*;

fn compiled(pattern: &str) -> Result<Regex, String> {
    compile(pattern, 10 << 20)
}

#[test]
fn patterns_that_go_compiles() {
    for pattern in [
        "",
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "a|b|",
        "(a|)*",
        "(?i)a(?-i:b)(?s-m:c)",
        "(?P<name>a)(?<other>b)(?P<name>c)",
        "x{2}y{2,}z{2,3}?",
        "{",
        "a{,5}",
        "a{01}",
        "a{1",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[a-c-e]",
        "[[:alpha:][:^digit:]_]",
        "[[:alpha]",
        "[\\d\\pL\\-\\]]",
        "\\pN\\p{Greek}\\P{^Lu}\\p{L}",
        "\\Aa\\b\\B\\z",
        "\\Q*[(\\E+",
        "\\Qabc",
        "\\_\\-\\.\\/\\101\\07\\x41\\x{10FFFF}",
        "a(?i)*",
        "^*",
        "a*(?i)*",
        "(((((x{2}){2}){2}){2}){2})",
        "é+",
    ] {
        assert_eq!(check(pattern), Ok(()), "{pattern}");
        assert!(compiled(pattern).is_ok(), "{pattern}: {:?}", compiled(pattern));
    }
}

#[test]
fn what_matches_in_go_matches() {
    for (pattern, text, matches) in [
        ("^\\d+$", "12", true),
        ("^\\d+$", "\u{663}", false),
        ("^[\\d-]+$", "1-\u{663}", false),
        ("^\\w$", "é", false),
        ("^\\W$", "é", true),
        ("^[\\s]$", "\u{a0}", false),
        ("^\\s$", "\u{b}", false),
        ("\\bé\\b", "é", false),
        ("a\\B", "aé", false),
        ("a\\Bb", "ab", true),
        ("^[a&&b]+$", "&a", true),
        ("^[+--]+$", ",-", true),
        ("^[a~~b]$", "~", true),
        ("^[[a]$", "[", true),
        ("^[\\]^-]+$", "^]-", true),
        ("^a{,5}$", "a{,5}", true),
        ("^}{]$", "}{]", true),
        ("^\\<b\\>$", "<b>", true),
        ("^\\Qa.b\\E+$", "a.bb", true),
        ("^\\Qa.b\\E+$", "acb", false),
        ("^\\101\\x{e9}$", "Aé", true),
        ("^\\x{D800}?$", "", true),
        ("^[\\x{D800}-\\x{E000}]$", "\u{e000}", true),
        ("^[^\\x{D800}]$", "a", true),
        ("^\\p{^Greek}\\P{^Lu}$", "aA", true),
        ("^\\PN\\pN$", "a1", true),
        ("^(?i)ab(?-i)c$", "ABc", true),
        ("^(?i)ab(?-i)c$", "ABC", false),
        ("^(?ii:a)(?i-i:b)$", "Ab", true),
        ("^a(?i)*$", "aaa", true),
        ("^a+(?i)?b$", "B", true),
        ("^(ab)+(?i)?c$", "C", true),
        ("^(?:a|(?i)b)c$", "Bc", true),
        ("^(?P<1st>a)(?P<1st>b)$", "ab", true),
        ("^a$", "a\n", false),
        ("(?m)^a$", "b\na\n", true),
        ("^.$", "\n", false),
        ("^[^a]$", "\n", true),
        ("^(?s).$", "\n", true),
    ] {
        let found = compiled(pattern).map(|regex| regex.is_match(text));
        assert_eq!(found, Ok(matches), "{pattern} {text:?}");
    }
}

#[test]
fn patterns_that_go_refuses() {
    for (pattern, why, part) in [
        ("(abc", MISSING_PAREN, "(abc"),
        ("(a|b", MISSING_PAREN, "(a|b"),
        ("a(?:b", MISSING_PAREN, "a(?:b"),
        ("abc)", "unexpected )", "abc)"),
        ("(a))b", "unexpected )", "(a))b"),
        ("*a", MISSING_ARGUMENT, "*"),
        ("a|*", MISSING_ARGUMENT, "*"),
        ("(+?)", MISSING_ARGUMENT, "+?"),
        ("{2}", MISSING_ARGUMENT, "{2}"),
        ("(?i)*", MISSING_ARGUMENT, "*"),
        ("\\Q\\E*", MISSING_ARGUMENT, "*"),
        ("a**", "invalid nested repetition operator", "**"),
        ("a*+b", "invalid nested repetition operator", "*+"),
        ("a??+", "invalid nested repetition operator", "??+"),
        ("a{2}{3}", "invalid nested repetition operator", "{2}{3}"),
        ("x{1001}", BAD_COUNT, "{1001}"),
        ("x{2,1}", BAD_COUNT, "{2,1}"),
        ("x{9876543210}y", BAD_COUNT, "{9876543210}"),
        ("x{1,9876543210}", BAD_COUNT, "{1,9876543210}"),
        ("((a{100}){11})", BAD_COUNT, "{11}"),
        ("x[a-z", "missing closing ]", "[a-z"),
        ("[]", "missing closing ]", "[]"),
        ("[z-a]", BAD_RANGE, "z-a"),
        ("[\\d-a\\x41-\\x40]", BAD_RANGE, "\\x41-\\x40"),
        ("[[:odd:]]", BAD_RANGE, "[:odd:]"),
        ("\\p{Odd}a", BAD_RANGE, "\\p{Odd}"),
        ("\\p{Odd", BAD_RANGE, "\\p{Odd"),
        ("\\pX", BAD_RANGE, "\\pX"),
        (
            "\\pL\\p{l}\\p{Greek}\\p{greek}\\p{Greex}",
            BAD_RANGE,
            "\\p{Greex}",
        ),
        ("\\p", BAD_RANGE, "\\p"),
        ("a\\", "trailing backslash at end of expression", ""),
        ("\\Z", "invalid escape sequence", "\\Z"),
        ("\\C", "invalid escape sequence", "\\C"),
        ("\\8a", "invalid escape sequence", "\\8"),
        ("(a)\\1", "invalid escape sequence", "\\1"),
        ("\\x", "invalid escape sequence", "\\x"),
        ("\\xg0", "invalid escape sequence", "\\xg0"),
        ("\\x{110000}", "invalid escape sequence", "\\x{110000"),
        ("\\x{}", "invalid escape sequence", "\\x{}"),
        ("[\\q]", "invalid escape sequence", "\\q"),
        ("\\é", "invalid escape sequence", "\\é"),
        ("(?=a)", "invalid or unsupported Perl syntax", "(?="),
        ("b(?!a)", "invalid or unsupported Perl syntax", "(?!"),
        ("(?>a)", "invalid or unsupported Perl syntax", "(?>"),
        ("(?i-)", "invalid or unsupported Perl syntax", "(?i-)"),
        ("(?x)", "invalid or unsupported Perl syntax", "(?x"),
        ("(?i", "invalid or unsupported Perl syntax", "(?i"),
        ("(?", "invalid or unsupported Perl syntax", "(?"),
        ("(?P=n)", "invalid or unsupported Perl syntax", "(?P"),
        ("(?<=a)b", BAD_NAME, "(?<=a)b"),
        ("(?<!a>b)", BAD_NAME, "(?<!a>"),
        ("(?P<x y>a)", BAD_NAME, "(?P<x y>"),
        ("(?P<>a)", BAD_NAME, "(?P<>"),
        ("(?P<n", BAD_NAME, "(?P<n"),
    ] {
        let wanted = format!("error parsing regexp: {why}: `{part}`");
        assert_eq!(check(pattern), Err(wanted), "{pattern}");
    }
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| "(".repeat(depth) + &")".repeat(depth);
    assert_eq!(check(&nested(900)), Ok(()));
    let deep = nested(1000);
    let wanted = format!("error parsing regexp: expression nests too deeply: `{deep}`");
    assert_eq!(check(&deep), Err(wanted));
}

proptest! {
    #[test]
    fn whatever_it_is_is_read(pattern in "[a-c0-9\\\\pPQExCdé(){}\\[\\]|*+?<>:=!^$,.-]{0,30}") {
        if check(&pattern).is_ok() {
            prop_assert!(compiled(&pattern).is_ok(), "{:?}", compiled(&pattern));
        }
    }

    // Where both have no say of their own, they agree.
    #[test]
    fn another_reader_agrees(pattern in "[a-c()|.]{0,20}") {
        prop_assert_eq!(check(&pattern).is_ok(), regex::Regex::new(&pattern).is_ok());
    }
}
