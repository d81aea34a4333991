//! Which address families a service has.

use ipnet::IpNet;
use serde_json::{Value, json};

/// The name of a range's family.
pub fn of(range: &IpNet) -> &'static str {
    if range.addr().is_ipv4() { "IPv4" } else { "IPv6" }
}

fn of_address(text: &str) -> &'static str {
    if text.contains(':') { "IPv6" } else { "IPv4" }
}

fn other(family: &str) -> &'static str {
    if family == "IPv4" { "IPv6" } else { "IPv4" }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

pub fn is_headless(spec: &Value) -> bool {
    spec["clusterIP"] == "None" || spec["clusterIPs"][0] == "None"
}

/// Sets ipFamilyPolicy and ipFamilies where the client left them out. Gives the field and text of what can't be had.
pub fn set(spec: &mut Value, ranges: &[IpNet]) -> Result<(), (&'static str, String)> {
    if spec["type"] == "ExternalName" {
        return Ok(());
    }
    let served: Vec<&str> = ranges.iter().map(of).collect();
    let primary = served.first().copied().unwrap_or("IPv4");
    let mut families = strings(&spec["ipFamilies"]);
    let policy = spec["ipFamilyPolicy"].as_str().map(str::to_owned);
    let addresses: Vec<String> = strings(&spec["clusterIPs"])
        .into_iter()
        .filter(|address| address != "None" && !address.is_empty())
        .collect();
    let headless = is_headless(spec);
    let selectorless = spec["selector"].as_object().is_none_or(serde_json::Map::is_empty);
    for address in addresses.iter().skip(families.len()) {
        families.push(of_address(address).to_owned());
    }
    if headless && selectorless {
        if families.is_empty() {
            families.push(primary.to_owned());
        }
        if families.len() < 2 && policy.as_deref() != Some("SingleStack") {
            families.push(other(&families[0]).to_owned());
        }
        spec["ipFamilyPolicy"] = json!(policy.unwrap_or_else(|| "RequireDualStack".to_owned()));
        spec["ipFamilies"] = json!(families);
        return Ok(());
    }
    let policy = policy.unwrap_or_else(|| {
        if families.len() > 1 {
            "RequireDualStack"
        } else {
            "SingleStack"
        }
        .to_owned()
    });
    if families.is_empty() {
        families.push(primary.to_owned());
    }
    let dual = served.len() > 1;
    if policy == "RequireDualStack" && !dual {
        return Err((
            "spec.ipFamilyPolicy",
            "this cluster is not configured for dual-stack services".to_owned(),
        ));
    }
    for family in &families {
        if !served.contains(&family.as_str()) {
            return Err(("spec.ipFamilies[0]", "not configured on this cluster".to_owned()));
        }
    }
    if policy != "SingleStack" && dual && families.len() < 2 {
        families.push(other(&families[0]).to_owned());
    }
    if policy == "SingleStack" {
        families.truncate(1);
    }
    spec["ipFamilyPolicy"] = json!(policy);
    spec["ipFamilies"] = json!(families);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_of_new_services() {
        let single: Vec<IpNet> = vec!["10.0.0.0/24".parse().unwrap()];
        let dual: Vec<IpNet> = vec!["10.0.0.0/24".parse().unwrap(), "fd00::/112".parse().unwrap()];
        for (spec, ranges, policy, families) in [
            (
                json!({"selector": {"a": "b"}}),
                &single,
                "SingleStack",
                json!(["IPv4"]),
            ),
            (
                json!({"selector": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"}),
                &single,
                "PreferDualStack",
                json!(["IPv4"]),
            ),
            (
                json!({"selector": {"a": "b"}, "ipFamilyPolicy": "PreferDualStack"}),
                &dual,
                "PreferDualStack",
                json!(["IPv4", "IPv6"]),
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None"], "selector": {"a": "b"}}),
                &single,
                "SingleStack",
                json!(["IPv4"]),
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None"]}),
                &single,
                "RequireDualStack",
                json!(["IPv4", "IPv6"]),
            ),
        ] {
            let mut spec = spec;
            set(&mut spec, ranges).unwrap();
            assert_eq!(
                (spec["ipFamilyPolicy"].as_str(), &spec["ipFamilies"]),
                (Some(policy), &families),
                "{spec}"
            );
        }
        assert!(
            set(
                &mut json!({"selector": {"a": "b"}, "ipFamilyPolicy": "RequireDualStack"}),
                &single
            )
            .is_err()
        );
    }
}
