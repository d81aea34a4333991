mod signatures;

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// Of `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a`.
const REQUEST: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIHGMG4CAQAwDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA\n\
    BKMDRwLh6yHdftbc9mcdcF/FzgP1VSPU+81rfXLHbEswb9BWgA9yuIaAhC0IrN3M\n\
    82AkqvpC1ZupSXoHuc39tYSgADAKBggqhkjOPQQDAgNIADBFAiAmstydcfpDf//2\n\
    ER5oH8+Zlo8RyDY0aLFsNIjBF5P8fQIhAOt0U8ZGe+0DYlwsNavi0WAVOacXJPVd\n\
    bBYK7UWoRa9E\n\
    -----END CERTIFICATE REQUEST-----\n";

fn found(subresource: &str, old: Option<&Value>, new: &Value) -> Vec<String> {
    let errors = check(subresource, old, new);
    errors.iter().map(ToString::to_string).collect()
}

fn request(field: &str, value: Value) -> Value {
    let mut spec = json!({
        "request": STANDARD.encode(REQUEST), "usages": ["client auth"], "signerName": "example.com/signer",
    });
    spec[field] = value;
    json!({"spec": spec, "status": {}})
}

#[test]
fn requests_are_checked_field_by_field() {
    let forged = REQUEST.replace("F5P8fQIhAOt0U8ZG", "F5P8fQIhBOt0U8ZG");
    for (field, value, wrong) in [
        ("usages", json!(["client auth"]), vec![]),
        ("usages", json!([]), vec!["spec.usages: Required value"]),
        (
            "usages",
            json!(["signing", "signing"]),
            vec!["spec.usages[1]: Duplicate value: \"signing\""],
        ),
        (
            "request",
            Value::Null,
            vec!["spec.request: Invalid value: null: PEM block type must be CERTIFICATE REQUEST"],
        ),
        (
            "expirationSeconds",
            json!(599),
            vec![
                "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
            ],
        ),
        (
            "signerName",
            json!("kubernetes.io/legacy-unknown"),
            vec![
                "spec.signerName: Invalid value: \"kubernetes.io/legacy-unknown\": the legacy signerName is not allowed via this API version",
            ],
        ),
    ] {
        assert_eq!(found("", None, &request(field, value)), wrong, "{field}");
    }
    let wrong = found("", None, &request("request", json!(STANDARD.encode(forged))));
    assert_eq!(wrong.len(), 1);
    assert!(
        wrong[0].ends_with(": x509: ECDSA verification failure"),
        "{wrong:?}"
    );
    let odd = found("", None, &request("usages", json!(["flying"])));
    assert!(
        odd[0].starts_with("spec.usages[0]: Unsupported value: \"flying\": supported values: \"any\", "),
        "{odd:?}"
    );
}

#[test]
fn names_of_signers_are_domains_and_paths() {
    const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let long = "x".repeat(64);
    let longest = ["x".repeat(63).as_str(); 4].join(".");
    for (name, wrong) in [
        ("example.com/a.b".to_owned(), vec![]),
        (format!("example.com/{long}"), vec![]),
        (String::new(), vec!["s: Required value".to_owned()]),
        (
            "example.com/a/b".to_owned(),
            vec!["s: Invalid value: \"example.com/a/b\": must be a fully qualified domain and path of the form 'example.com/signer-name'".to_owned()],
        ),
        (
            "com/a".to_owned(),
            vec!["s: Invalid value: \"com\": should be a domain with at least two segments separated by dots".to_owned()],
        ),
        (
            format!("{long}.com/a"),
            vec![format!(
                "s: Invalid value: \"{long}.com\": validating label \"{long}\": must be no more than 63 characters"
            )],
        ),
        (
            "a..B/a".to_owned(),
            vec![format!("s: Invalid value: \"a..B\": validating label \"\": {LABEL}")],
        ),
        (
            format!("{longest}/{longest}.{longest}"),
            vec![
                "s: Too long: may not be more than 253 bytes".to_owned(),
                "s: Too long: may not be more than 571 bytes".to_owned(),
            ],
        ),
    ] {
        let errors = signer_name(&name, &Path::new("s"));
        let found: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(found, wrong, "{name}");
    }
}

/// A request that is stored may have what is refused now.
#[test]
fn older_requests_keep_what_was_let_through() {
    for (field, kept, other) in [
        ("usages", json!(["flying"]), json!([])),
        ("usages", json!(["signing", "signing"]), json!(["flying"])),
        (
            "signerName",
            json!("kubernetes.io/legacy-unknown"),
            json!("legacy"),
        ),
    ] {
        let old = request(field, kept);
        assert!(!found("", None, &old).is_empty(), "{field}");
        assert_eq!(found("", Some(&old), &old), [""; 0], "{field}");
        assert!(
            !found("", Some(&old), &request(field, other)).is_empty(),
            "{field}"
        );
    }
}

#[test]
fn only_approvers_approve_and_only_signers_sign() {
    let with = |status: Value| {
        let mut request = request("usages", json!(["signing"]));
        request["status"] = status;
        request
    };
    let conditions = |rows: &[(&str, &str)]| {
        let rows = rows
            .iter()
            .map(|(kind, status)| json!({"type": kind, "status": status}));
        json!({"conditions": rows.collect::<Vec<_>>()})
    };
    let none = json!({});
    let (approved, denied) = (
        conditions(&[("Approved", "True")]),
        conditions(&[("Denied", "True")]),
    );
    let both = conditions(&[("Approved", "True"), ("Denied", "True")]);
    let twice = conditions(&[("Odd", "True"), ("Odd", "False")]);
    let nameless = conditions(&[("", "True")]);
    let exclusive =
        "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive";
    for (subresource, old, new, wrong) in [
        ("approval", &none, &approved, vec![]),
        (
            "status",
            &none,
            &approved,
            vec!["status.conditions: Forbidden: updates may not add a condition of type \"Approved\""],
        ),
        (
            "approval",
            &approved,
            &none,
            vec!["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
        ),
        (
            "approval",
            &approved,
            &denied,
            vec!["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
        ),
        ("approval", &none, &both, vec![exclusive]),
        ("approval", &both, &both, vec![]),
        (
            "approval",
            &none,
            &twice,
            vec!["status.conditions[1].type: Duplicate value: \"Odd\""],
        ),
        ("approval", &twice, &twice, vec![]),
        (
            "approval",
            &none,
            &nameless,
            vec!["status.conditions[0].type: Required value"],
        ),
        ("approval", &nameless, &nameless, vec![]),
        (
            "approval",
            &none,
            &conditions(&[("Denied", "False")]),
            vec!["status.conditions[0].status: Unsupported value: \"False\": supported values: \"True\""],
        ),
        (
            "approval",
            &none,
            &conditions(&[("Odd", "")]),
            vec!["status.conditions[0].status: Required value"],
        ),
    ] {
        let found = found(subresource, Some(&with(old.clone())), &with(new.clone()));
        assert_eq!(found, wrong, "{subresource} {old} {new}");
    }
    let certificate = |text: &str| json!({"certificate": STANDARD.encode(text)});
    let none_there = "status.certificate: Invalid value: \"<certificate data>\": must contain at least one CERTIFICATE PEM block";
    let (a, b) = (certificate("a"), certificate("b"));
    for (subresource, old, new, wrong) in [
        ("status", &none, &a, vec![none_there]),
        ("status", &a, &a, vec![]),
        (
            "status",
            &a,
            &b,
            vec!["status.certificate: Forbidden: updates may not modify existing certificate content"],
        ),
        (
            "approval",
            &a,
            &b,
            vec!["status.certificate: Forbidden: updates may not set certificate content"],
        ),
        (
            "status",
            &none,
            &certificate(REQUEST),
            vec![
                "status.certificate: Invalid value: \"<certificate data>\": only CERTIFICATE PEM blocks are allowed, found \"CERTIFICATE REQUEST\"",
            ],
        ),
        (
            "status",
            &none,
            &certificate("-----BEGIN CERTIFICATE-----\na: b\n\nAAAA\n-----END CERTIFICATE-----\n"),
            vec![
                "status.certificate: Invalid value: \"<certificate data>\": no PEM block headers are permitted",
            ],
        ),
        (
            "status",
            &none,
            &certificate("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            vec!["status.certificate: Invalid value: \"<certificate data>\": x509: malformed certificate"],
        ),
    ] {
        let found = found(subresource, Some(&with(old.clone())), &with(new.clone()));
        assert_eq!(found, wrong, "{subresource} {old} {new}");
    }
}
