//! The condition `Dangling` of a FlowSchema: whether its priority level is there.

use serde_json::{Value, json};

/// The condition that a schema should have, without its time.
pub fn dangling(level: &str, exists: bool) -> Value {
    let start = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if exists {
        ("False", "Found", format!("{start} and it exists"))
    } else {
        ("True", "NotFound", format!("{start} but there is no such object"))
    };
    json!({ "type": "Dangling", "status": status, "reason": reason, "message": message })
}

/// The condition to write, or `None` if the schema has it. The time changes with the status only.
pub fn needed(schema: &Value, exists: bool, now: &str) -> Option<Value> {
    let level = schema["spec"]["priorityLevelConfiguration"]["name"]
        .as_str()
        .unwrap_or("");
    let mut wanted = dangling(level, exists);
    let current = schema["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "Dangling");
    let same = |field: &str| current.is_some_and(|current| current[field] == wanted[field]);
    if same("status") && same("reason") && same("message") {
        return None;
    }
    let since = match current {
        Some(current) if current["status"] == wanted["status"] => current["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    wanted["lastTransitionTime"] = since;
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_follows_the_level() {
        let mut schema = json!({"spec": {"priorityLevelConfiguration": {"name": "l"}}});
        let found = needed(&schema, true, "t1").unwrap();
        assert_eq!(found["status"], "False");
        schema["status"] = json!({ "conditions": [found] });
        assert_eq!(needed(&schema, true, "t2"), None);
        let gone = needed(&schema, false, "t3").unwrap();
        assert_eq!(
            (&gone["status"], &gone["lastTransitionTime"]),
            (&json!("True"), &json!("t3"))
        );
    }
}
