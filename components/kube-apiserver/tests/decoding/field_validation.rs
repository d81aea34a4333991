//! Unknown and duplicate fields: refused when the client wants strict decoding, warned of when it says nothing.

use crate::Bench;
use serde_json::json;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const WIDGETS: &str = "/apis/example.com/v1/widgets";

fn deployment(more: &str) -> String {
    format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {{"name": "d"}}, "spec": {{{more}"selector": {{"matchLabels": {{"a": "b"}}}},
        "template": {{"metadata": {{"labels": {{"a": "b"}}}}, "spec": {{"containers": [{{"name": "c", "image": "i"}}]}}}}}}}}"#
    )
}

/// A request; what it says is wrong with its body, as an error and as warnings.
struct Case {
    method: &'static str,
    path: String,
    media: &'static str,
    body: String,
    code: u16,
    /// In the message.
    says: &'static str,
    warns: &'static [&'static str],
}

fn case(
    method: &'static str,
    path: &str,
    media: &'static str,
    body: impl Into<String>,
    (code, says): (u16, &'static str),
    warns: &'static [&'static str],
) -> Case {
    let (path, body) = (path.to_owned(), body.into());
    Case {
        method,
        path,
        media,
        body,
        code,
        says,
        warns,
    }
}

fn cases() -> Vec<Case> {
    let one = format!("{DEPLOYMENTS}/kept");
    let widget =
        "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  foo: foo1\n  foo: foo2\n";
    vec![
        // In the order of the text, a duplicate where its key comes again, and nothing about what is inside of an unknown field.
        case(
            "POST",
            DEPLOYMENTS,
            JSON,
            deployment(r#""unknown": {"a": 1, "a": 2}, "replicas": 2, "also": 1, "replicas": 3, "#),
            (
                400,
                r#"strict decoding error: unknown field "spec.unknown", unknown field "spec.also", duplicate field "spec.replicas""#,
            ),
            &[
                r#"unknown field \"spec.unknown\""#,
                r#"unknown field \"spec.also\""#,
                r#"duplicate field \"spec.replicas\""#,
            ],
        ),
        case(
            "POST",
            DEPLOYMENTS,
            YAML,
            deployment("also: 1,\n replicas: 2,\n replicas: 3,\n"),
            (
                400,
                "strict decoding error: yaml: unmarshal errors:\n  line 3: key \"replicas\" already set in map, unknown field \"spec.also\"",
            ),
            &[
                r#"line 3: key \"replicas\" already set in map"#,
                r#"unknown field \"spec.also\""#,
            ],
        ),
        case(
            "PATCH",
            &format!("{DEPLOYMENTS}/d?fieldManager=m"),
            APPLY,
            deployment("\"replicas\": 2,\n\"replicas\": 3,"),
            (
                400,
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 2: key \"replicas\" already set in map",
            ),
            &[r#"line 2: key \"replicas\" already set in map"#],
        ),
        // A custom object that keeps what its schema does not know.
        case(
            "PATCH",
            &format!("{WIDGETS}/w?fieldManager=m"),
            APPLY,
            widget,
            (400, "line 7: key \"foo\" already set in map"),
            &[r#"line 7: key \"foo\" already set in map"#],
        ),
        case(
            "POST",
            WIDGETS,
            YAML,
            widget,
            (
                400,
                "strict decoding error: yaml: unmarshal errors:\n  line 7: key \"foo\" already set in map",
            ),
            &[r#"line 7: key \"foo\" already set in map"#],
        ),
        case(
            "POST",
            WIDGETS,
            JSON,
            r#"{"apiVersion": "example.com/v1", "kind": "Widget", "zz": 1, "metadata": {"name": "w"}, "spec": {"a": {"b": 1, "b": 2}}}"#,
            (
                400,
                r#"strict decoding error: duplicate field "spec.a.b", unknown field "zz""#,
            ),
            &[r#"duplicate field \"spec.a.b\""#, r#"unknown field \"zz\""#],
        ),
        case(
            "PATCH",
            &one,
            MERGE,
            r#"{"spec": {"zz": 1, "replicas": 2, "replicas": 3}}"#,
            (
                422,
                r#": strict decoding error: duplicate field "spec.replicas", unknown field "spec.zz""#,
            ),
            &[
                r#"duplicate field \"spec.replicas\""#,
                r#"unknown field \"spec.zz\""#,
            ],
        ),
        case(
            "PATCH",
            &one,
            STRATEGIC,
            r#"{"spec": {"replicas": 2, "replicas": 3}}"#,
            (
                422,
                r#"patch: Invalid value: "map[spec:map[replicas:3]]": strict decoding error: duplicate field "spec.replicas""#,
            ),
            &[r#"duplicate field \"spec.replicas\""#],
        ),
        case(
            "PATCH",
            &one,
            PATCH,
            r#"[{"op": "replace", "path": "/spec/replicas", "value": 4, "to": 1, "value": 5}]"#,
            (
                422,
                r#": strict decoding error: json patch unknown field "[0].to", json patch duplicate field "[0].value""#,
            ),
            &[
                r#"json patch unknown field \"[0].to\""#,
                r#"json patch duplicate field \"[0].value\""#,
            ],
        ),
    ]
}

#[tokio::test]
async fn duplicate_and_unknown_fields_are_refused_or_warned_of() {
    let bench = Bench::start().await;
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
                "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}],
        },
    });
    bench
        .post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        )
        .await;
    let kept = deployment("").replace(r#""name": "d""#, r#""name": "kept""#);
    bench
        .post(DEPLOYMENTS, &serde_json::from_str(&kept).unwrap())
        .await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while bench.get(WIDGETS).await.code != 200 {
        assert!(std::time::Instant::now() < deadline, "widgets are not served");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for Case {
        method,
        path,
        media,
        body,
        code,
        says,
        warns,
    } in cases()
    {
        let path = format!("{path}{}dryRun=All", if path.contains('?') { "&" } else { "?" });
        let about = format!("{method} {path} {media} {body}");
        let strict = format!("{path}&fieldValidation=Strict");
        let refused = bench.send(method, &strict, media, &body).await;
        let message = refused.body["message"].as_str().unwrap_or_default();
        assert!(
            refused.code == code && message.contains(says),
            "{about}: {}",
            refused.body
        );
        let warned = bench.send(method, &path, media, &body).await;
        assert!(warned.code < 300, "{about}: {}", warned.body);
        let expected: Vec<String> = warns.iter().map(|text| format!("299 - \"{text}\"")).collect();
        assert_eq!(warned.warnings, expected, "{about}");
        let ignored = format!("{path}&fieldValidation=Ignore");
        let ignored = bench.send(method, &ignored, media, &body).await;
        assert!(
            ignored.code < 300 && ignored.warnings.is_empty(),
            "{about}: {}",
            ignored.body
        );
    }
}
