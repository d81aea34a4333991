//! DenyServiceExternalIPs: services get no external addresses that they didn't have.
use crate::admission::Attributes;
use apimachinery::ApiError;
use serde_json::Value;

pub fn check(
    attributes: &Attributes<'_>,
    service: Option<&Value>,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if adds(service.unwrap_or(&Value::Null), old.unwrap_or(&Value::Null)) {
        return Err(attributes.forbidden("Use of external IPs is denied by admission control"));
    }
    Ok(())
}

fn adds(service: &Value, old: &Value) -> bool {
    let addresses = |service: &Value| {
        service["spec"]["externalIPs"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let before = addresses(old);
    addresses(service).iter().any(|address| !before.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_may_only_go() {
        let service = |addresses: &[&str]| json!({"spec": {"externalIPs": addresses}});
        for (new, old, want) in [
            (json!({"spec": {}}), Value::Null, false),
            (service(&["192.0.2.1"]), Value::Null, true),
            (
                service(&["192.0.2.1"]),
                service(&["192.0.2.2", "192.0.2.1"]),
                false,
            ),
            (
                service(&["192.0.2.1", "192.0.2.2"]),
                service(&["192.0.2.1"]),
                true,
            ),
            (service(&[]), service(&["192.0.2.1"]), false),
        ] {
            assert_eq!(adds(&new, &old), want, "{new} after {old}");
        }
    }
}
