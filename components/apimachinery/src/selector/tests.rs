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
    assert_eq!(
        FieldSelector::parse("a").unwrap_err().to_string(),
        "invalid selector: 'a'; can't understand 'a'"
    );
    assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
}

proptest! {
    #[test]
    fn nothing_panics(text in ".{0,40}") {
        let _ = (LabelSelector::parse(&text), FieldSelector::parse(&text));
    }
}
