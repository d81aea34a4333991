use crate::validate::resource::names;
use apimachinery::field::Path;
use proptest::prelude::*;

#[test]
fn names_of_attributes() {
    const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
    const BARE: &str = "a fully qualified name must be a domain and a name separated by a slash";
    let invalid = |value: &str, why: &str| format!("p: Invalid value: {value:?}: {why}");
    for (name, wrong) in [
        ("example.com/a_1", vec![]),
        ("Example.com/_", vec![]),
        // As upstream.
        ("a/b/c", vec![]),
        ("a_1", vec![invalid("a_1", BARE)]),
        ("", vec![invalid("", IDENTIFIER), invalid("", BARE)]),
        ("/a", vec![invalid("", "the domain must not be empty")]),
        ("a/", vec![invalid("", "the name must not be empty")]),
        ("a/1", vec![invalid("1", IDENTIFIER)]),
        ("a/ä", vec![invalid("ä", IDENTIFIER)]),
    ] {
        let errors = names::fully_qualified(name, &Path::new("p"));
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors, wrong, "{name}");
    }
    let long = format!("{}/{}", "d".repeat(64), "i".repeat(33));
    let errors = names::qualified(&long, &Path::new("p"));
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "p: Too long: may not be more than 63 bytes",
            "p: Too long: may not be more than 32 bytes"
        ]
    );
}

#[test]
fn uuids() {
    const USUAL: &str = "123e4567-e89b-12d3-a456-426614174000";
    const FORM: &str = "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters";
    for (text, wrong) in [
        (USUAL.to_owned(), None),
        (USUAL.to_uppercase(), Some(FORM)),
        (USUAL.replace('-', ""), Some(FORM)),
        (format!("{{{USUAL}}}"), Some(FORM)),
        (format!("URN:uuid:{USUAL}"), Some(FORM)),
        (
            format!("urn:abcd:{USUAL}"),
            Some("error validating uid: invalid urn prefix: \"urn:abcd:\""),
        ),
        (
            format!("<{USUAL}>"),
            Some("error validating uid: invalid bracketed UUID format"),
        ),
        (
            USUAL.replace('-', "0"),
            Some("error validating uid: invalid UUID format"),
        ),
        (
            USUAL.replace('e', "g"),
            Some("error validating uid: invalid UUID format"),
        ),
        ("g".repeat(32), Some("error validating uid: invalid UUID format")),
        (
            String::new(),
            Some("error validating uid: invalid UUID length: 0"),
        ),
    ] {
        let wrong = wrong.map(|why| format!("p: Invalid value: {text:?}: {why}"));
        let found = names::uuid(&text, &Path::new("p")).map(|error| error.to_string());
        assert_eq!(found, wrong);
    }
}

#[test]
fn keys_in_paths_have_a_bound() {
    let path = Path::new("p");
    assert_eq!(names::key(&path, &"a".repeat(96)).as_str().len(), 96 + 3);
    let long = format!("{}{}", "a".repeat(60), "b".repeat(60));
    let shown = format!("p[{}...{}]", "a".repeat(47), "b".repeat(46));
    assert_eq!(names::key(&path, &long).as_str(), shown);
}

proptest! {
    #[test]
    fn no_text_is_too_odd(text in "\\PC{0,60}") {
        let path = Path::new("p");
        names::qualified(&text, &path);
        names::driver(&text, &path);
        names::pool(&text, &path);
        names::uuid(&text, &path);
        let long = text.repeat(4);
        prop_assert!(names::key(&path, &long).as_str().len() <= 96 + 3 + 6);
    }
}
