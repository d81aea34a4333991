use super::*;
use serde_json::json;

#[test]
fn docker_configurations_are_maps() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    for (content, wrong) in [
        ("{}", ""),
        ("null", ""),
        (r#"{"auths": {}}"#, ""),
        (
            "[]",
            "json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "1",
            "json: cannot unmarshal number into Go value of type map[string]interface {}",
        ),
        (
            r#""a""#,
            "json: cannot unmarshal string into Go value of type map[string]interface {}",
        ),
        (
            "true",
            "json: cannot unmarshal bool into Go value of type map[string]interface {}",
        ),
        ("", "unexpected end of JSON input"),
    ] {
        for (kind, key) in [
            ("kubernetes.io/dockercfg", ".dockercfg"),
            ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
        ] {
            let secret = json!({"type": kind, "data": {key: STANDARD.encode(content)}});
            let found: Vec<String> = secret_errors(&secret);
            let wanted: Vec<String> = Some(wrong)
                .filter(|wrong| !wrong.is_empty())
                .map(|wrong| format!("data[{key}]: Invalid value: \"<secret contents redacted>\": {wrong}"))
                .into_iter()
                .collect();
            assert_eq!(found, wanted, "{kind} {content}");
        }
    }
}

fn secret_errors(secret: &Value) -> Vec<String> {
    super::secret(None, secret)
        .iter()
        .map(ToString::to_string)
        .collect()
}
