use super::*;
use proptest::prelude::*;
use serde_json::json;

#[test]
fn label_selectors_match() {
    let labels = json!({"app": "web", "tier": "front", "count": "7"});
    for (text, matches) in [
        ("", true),
        ("app=web", true),
        ("app==web,tier!=back", true),
        ("app in (web, db)", true),
        ("app notin (web)", false),
        ("none notin (x)", true),
        ("tier", true),
        ("!tier", false),
        ("!none", true),
        ("count>5,count<8", true),
        ("count>7", false),
        ("none=", false),
        ("in=x", false),
    ] {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches(labels.as_object()), matches, "{text}");
        assert_eq!(
            LabelSelector::parse(&selector.to_string())
                .unwrap()
                .matches(labels.as_object()),
            matches,
            "{text}"
        );
    }
    assert!(
        !LabelSelector::from_object(None)
            .unwrap()
            .matches(labels.as_object())
    );
    let object =
        json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]});
    assert!(
        LabelSelector::from_object(Some(&object))
            .unwrap()
            .matches(labels.as_object())
    );
}

#[test]
fn wrong_label_selectors() {
    for (text, message) in [
        (
            "!!",
            "unable to parse requirement: found '!', expected: identifier",
        ),
        (
            "a in (",
            "unable to parse requirement: found '', expected: ',', ')' or identifier",
        ),
        ("a=b,", "found '', expected: identifier after ','"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a in -5", "unable to parse requirement: found '-5' expected: '('"),
        (
            "a/b/c",
            "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ),
        (
            "a>-b",
            "unable to parse requirement: [values[0]: Invalid value: \"-b\": for 'Gt', 'Lt' operators, the value must be an integer, values[0][a]: Invalid value: \"-b\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')]",
        ),
    ] {
        assert_eq!(
            LabelSelector::parse(text).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
}

#[test]
fn field_selectors() {
    let selector = FieldSelector::parse(r"status.phase!=Running,spec.nodeName=a\,b").unwrap();
    assert!(selector.matches(|field| if field == "spec.nodeName" {
        Some("a,b")
    } else {
        Some("Pending")
    }));
    assert_eq!(selector.exact("spec.nodeName"), Some("a,b"));
    for (text, message) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("b,a", "invalid selector: 'b,a'; can't understand 'a'"),
        (
            "a=b=c",
            "invalid field selector: unescaped character in value: 61",
        ),
        (r"a=\s", r"invalid field selector: invalid escape sequence: \s"),
        (r"a=b\", r"invalid field selector: invalid escape sequence: \"),
    ] {
        assert_eq!(
            FieldSelector::parse(text).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
    assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,40}") {
        let _ = (LabelSelector::parse(&text), FieldSelector::parse(&text));
    }
}
