//! The one-line text form of `--audit-log-format=legacy`.

use serde_json::Value;

/// An event in a line.
pub fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("<none>").to_owned();
    let groups = |user: &Value| match user["groups"].as_array() {
        Some(groups) if !groups.is_empty() => {
            let quoted: Vec<String> = groups
                .iter()
                .map(|group| format!("{:?}", group.as_str().unwrap_or("")))
                .collect();
            quoted.join(",")
        }
        _ => "<none>".to_owned(),
    };
    let or = |value: &Value, otherwise: &str| match value.as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => otherwise.to_owned(),
    };
    let user = or(&event["user"]["username"], "<none>");
    let acting = &event["impersonatedUser"];
    let (acting_as, acting_groups) = if acting.is_null() {
        ("<self>".to_owned(), "<lookup>".to_owned())
    } else {
        (or(&acting["username"], "<none>"), groups(acting))
    };
    let response = event["responseStatus"]["code"]
        .as_u64()
        .map_or("<deferred>".to_owned(), |code| code.to_string());
    format!(
        "{} AUDIT: id={:?} stage={:?} ip={:?} method={:?} user={user:?} groups={:?} as={acting_as:?} asgroups={acting_groups:?} user-agent={:?} namespace={:?} uri={:?} response={response:?}",
        text(&event["requestReceivedTimestamp"]),
        text(&event["auditID"]),
        text(&event["stage"]),
        or(&event["sourceIPs"][0], "<unknown>"),
        text(&event["verb"]),
        groups(&event["user"]),
        or(&event["userAgent"], ""),
        or(&event["objectRef"]["namespace"], "<none>"),
        text(&event["requestURI"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_as_upstreams() {
        let event = json!({
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z", "auditID": "i", "stage": "ResponseComplete",
            "sourceIPs": ["127.0.0.1"], "verb": "get", "user": {"username": "jane", "groups": ["a", "b"]},
            "userAgent": "kubectl", "objectRef": {"namespace": "n"}, "requestURI": "/x", "responseStatus": {"code": 200},
        });
        assert_eq!(
            line(&event),
            "2026-01-02T03:04:05.000006Z AUDIT: id=\"i\" stage=\"ResponseComplete\" ip=\"127.0.0.1\" method=\"get\" user=\"jane\" groups=\"\\\"a\\\",\\\"b\\\"\" as=\"<self>\" asgroups=\"<lookup>\" user-agent=\"kubectl\" namespace=\"n\" uri=\"/x\" response=\"200\""
        );
    }
}
