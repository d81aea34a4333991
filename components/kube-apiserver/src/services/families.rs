//! Which address families a service has.
//!
//! The rules are upstream's (pkg/registry/core/service/storage/alloc.go, `initIPFamilyFields`; KEP-563).

use apimachinery::field::{Error, ErrorList, Path};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

const SINGLE: &str = "SingleStack";
const PREFER_DUAL: &str = "PreferDualStack";
const REQUIRE_DUAL: &str = "RequireDualStack";

/// The name of a range's family.
pub fn of(range: &IpNet) -> &'static str {
    if range.addr().is_ipv4() { "IPv4" } else { "IPv6" }
}

fn of_address(text: &str) -> &'static str {
    if api::addresses::is_ipv6(text) {
        "IPv6"
    } else {
        "IPv4"
    }
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
    spec["clusterIPs"][0] == "None"
}

/// Whether a change leaves the families of a service as they are, which otherwise takes a second one when there is one: it
/// does not get one just because the cluster got it.
fn stays_as_it_prefers(old: &Value, new: &Value) -> bool {
    new["ipFamilyPolicy"] == PREFER_DUAL
        && (old["ipFamilyPolicy"] == PREFER_DUAL || old["ipFamilyPolicy"].is_null())
        && old["type"] == new["type"]
        && strings(&old["clusterIPs"]) == strings(&new["clusterIPs"])
        && strings(&old["ipFamilies"]) == strings(&new["ipFamilies"])
}

/// Sets ipFamilyPolicy and ipFamilies of a new or changed service where the client left them out. `served` are the
/// cluster's ranges, first the one of the families that nobody named. Fields that are wrong in themselves are left to the
/// check of the whole object.
pub fn set(old: Option<&Value>, service: &mut Value, served: &[IpNet]) -> ErrorList {
    let before = old.map(|old| &old["spec"]);
    let spec = &service["spec"];
    if spec["type"] == "ExternalName" || before.is_some_and(|before| stays_as_it_prefers(before, spec)) {
        return ErrorList::new();
    }
    let wanted = Wanted::of(before, spec);
    if !spec.is_object() || !api::validate::service_addresses(service).is_empty() {
        return ErrorList::new();
    }
    match wanted.fit(before, served) {
        Ok(fitting) => {
            let spec = &mut service["spec"];
            spec["ipFamilyPolicy"] = json!(fitting.policy);
            spec["ipFamilies"] = json!(fitting.families);
            if !fitting.addresses.is_empty() {
                spec["clusterIPs"] = json!(fitting.addresses);
            }
            ErrorList::new()
        }
        Err(errors) => errors,
    }
}

/// Brings a stored service into the form that it has since services may have two addresses. `primary` is the family of those
/// that have no address to tell theirs.
pub fn as_read(service: &mut Value, primary: &str) {
    let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    let told = |spec: &Map<String, Value>, field: &str| spec.get(field).cloned().unwrap_or_default();
    if told(spec, "type") == "ExternalName" {
        // It was a default of these, too.
        spec.remove("internalTrafficPolicy");
        return;
    }
    let address = told(spec, "clusterIP");
    if address.as_str().is_some_and(|address| !address.is_empty())
        && strings(&told(spec, "clusterIPs")).is_empty()
    {
        spec.insert("clusterIPs".to_owned(), json!([address]));
    }
    if !strings(&told(spec, "ipFamilies")).is_empty() {
        return;
    }
    let selectorless = told(spec, "selector").as_object().is_none_or(Map::is_empty);
    let families = match address.as_str() {
        Some("None") if selectorless => vec![primary, other(primary)],
        Some("None") => vec![primary],
        _ => {
            let addresses = strings(&told(spec, "clusterIPs"));
            addresses.iter().map(|address| of_address(address)).collect()
        }
    };
    let policy = match families.len() {
        0 => return,
        1 => SINGLE,
        _ => REQUIRE_DUAL,
    };
    spec.insert("ipFamilyPolicy".to_owned(), json!(policy));
    spec.insert("ipFamilies".to_owned(), json!(families));
}

/// What a service has of families, while it is being found.
struct Wanted {
    policy: String,
    families: Vec<String>,
    addresses: Vec<String>,
    headless: bool,
    /// Its endpoints are written by others, who may use any family.
    selectorless: bool,
}

impl Wanted {
    fn of(before: Option<&Value>, spec: &Value) -> Self {
        let headless = is_headless(spec);
        let selectorless = spec["selector"].as_object().is_none_or(serde_json::Map::is_empty);
        let told = |spec: &Value| spec["ipFamilyPolicy"].as_str().map(str::to_owned);
        let policy = told(spec).or_else(|| before.and_then(told)).unwrap_or_else(|| {
            let policy = if headless && selectorless {
                REQUIRE_DUAL
            } else {
                SINGLE
            };
            policy.to_owned()
        });
        Self {
            policy,
            families: strings(&spec["ipFamilies"]),
            addresses: strings(&spec["clusterIPs"]),
            headless,
            selectorless,
        }
    }

    fn fit(mut self, before: Option<&Value>, served: &[IpNet]) -> Result<Self, ErrorList> {
        let served: Vec<&str> = served.iter().map(of).collect();
        let primary = served.first().copied().unwrap_or("IPv4");
        let mut errors = ErrorList::new();
        if let Some(before) = before {
            errors.extend(self.follow_the_policy(before));
        }
        errors.extend(self.check_the_policy());
        errors.extend(self.take_from_addresses(&served));
        if !errors.is_empty() {
            return Err(errors);
        }
        if self.headless && self.selectorless {
            if self.families.is_empty() {
                self.families.push(primary.to_owned());
            }
            self.take_the_other(true);
            return Ok(self);
        }
        let dual = served.contains(&"IPv4") && served.contains(&"IPv6");
        if self.policy == REQUIRE_DUAL && !dual {
            errors.push(self.wrong_policy("this cluster is not configured for dual-stack services"));
        }
        for (index, family) in self.families.iter().enumerate() {
            if !served.contains(&family.as_str()) {
                let path = Path::new("spec.ipFamilies").index(index);
                errors.push(Error::invalid(
                    &path,
                    family.as_str(),
                    "not configured on this cluster",
                ));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if self.families.is_empty() {
            self.families.push(primary.to_owned());
        }
        self.take_the_other(dual);
        Ok(self)
    }

    /// Of a service that has been: a policy of one family is what takes the second away.
    fn follow_the_policy(&mut self, before: &Value) -> ErrorList {
        let (addresses, families) = (strings(&before["clusterIPs"]), strings(&before["ipFamilies"]));
        let mut errors = ErrorList::new();
        if self.policy == SINGLE {
            if self.addresses == addresses {
                self.addresses.truncate(1);
            }
            if self.families == families {
                self.families.truncate(1);
            }
            return errors;
        }
        let fewer = |now: &[String], before: &[String]| !now.is_empty() && now.len() < before.len();
        if fewer(&self.addresses, &addresses) {
            errors.push(self.wrong_policy("must be 'SingleStack' to release the secondary cluster IP"));
        }
        if fewer(&self.families, &families) {
            errors.push(self.wrong_policy("must be 'SingleStack' to release the secondary IP family"));
        }
        errors
    }

    fn check_the_policy(&self) -> ErrorList {
        let mut errors = ErrorList::new();
        for (count, what) in [
            (self.addresses.len(), "cluster IPs"),
            (self.families.len(), "IP families"),
        ] {
            if self.policy == SINGLE && count == 2 {
                errors.push(self.wrong_policy(&format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                )));
            }
        }
        errors
    }

    /// Families that only the addresses tell.
    fn take_from_addresses(&mut self, served: &[&str]) -> ErrorList {
        let mut errors = ErrorList::new();
        if self.headless {
            return errors;
        }
        for (index, address) in self.addresses.iter().enumerate().skip(self.families.len()) {
            let family = of_address(address);
            if served.contains(&family) {
                self.families.push(family.to_owned());
            } else {
                errors.push(Error::invalid(
                    &Path::new("spec.clusterIPs").index(index),
                    json!(self.addresses),
                    format!("{family} is not configured on this cluster"),
                ));
            }
        }
        errors
    }

    fn take_the_other(&mut self, there_is_one: bool) {
        if there_is_one && self.policy != SINGLE && self.families.len() == 1 {
            self.families.push(other(&self.families[0]).to_owned());
        }
    }

    fn wrong_policy(&self, why: &str) -> Error {
        Error::invalid(&Path::new("spec.ipFamilyPolicy"), self.policy.as_str(), why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Policy, families and addresses that a spec gets, or what is wrong with it.
    fn outcome(old: Option<Value>, spec: Value, served: &[IpNet]) -> String {
        let mut service = json!({"spec": spec});
        let old = old.map(|spec| json!({"spec": spec}));
        let errors = set(old.as_ref(), &mut service, served);
        if !errors.is_empty() {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return errors.join("; ");
        }
        let spec = &service["spec"];
        let text = |field: &str| strings(&spec[field]).join(",");
        let policy = spec["ipFamilyPolicy"].as_str().unwrap_or("");
        format!("{policy} {} {}", text("ipFamilies"), text("clusterIPs"))
            .trim_end()
            .to_owned()
    }

    #[test]
    fn families_of_new_services() {
        let v4 = ranges(&["10.0.0.0/24"]);
        let dual = ranges(&["10.0.0.0/24", "fd00::/112"]);
        let v6_first = ranges(&["fd00::/112", "10.0.0.0/24"]);
        let selected = |more: Value| {
            let mut spec = json!({"type": "ClusterIP", "selector": {"a": "b"}});
            spec.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            spec
        };
        for (spec, served, expected) in [
            (selected(json!({})), &v4, "SingleStack IPv4"),
            (selected(json!({})), &v6_first, "SingleStack IPv6"),
            (
                selected(json!({"ipFamilyPolicy": "PreferDualStack"})),
                &v4,
                "PreferDualStack IPv4",
            ),
            (
                selected(json!({"ipFamilyPolicy": "PreferDualStack"})),
                &v6_first,
                "PreferDualStack IPv6,IPv4",
            ),
            (
                selected(json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]})),
                &dual,
                "RequireDualStack IPv6,IPv4",
            ),
            (
                selected(json!({"clusterIP": "fd00::5", "clusterIPs": ["fd00::5"]})),
                &dual,
                "SingleStack IPv6 fd00::5",
            ),
            (
                selected(json!({"clusterIP": "None", "clusterIPs": ["None"]})),
                &v4,
                "SingleStack IPv4 None",
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None"]}),
                &v4,
                "RequireDualStack IPv4,IPv6 None",
            ),
            (
                json!({"clusterIP": "None", "clusterIPs": ["None"], "ipFamilyPolicy": "SingleStack"}),
                &dual,
                "SingleStack IPv4 None",
            ),
            (
                selected(json!({"ipFamilies": ["IPv4", "IPv6"]})),
                &dual,
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ),
            (
                selected(json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]})),
                &v4,
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services; spec.ipFamilies[1]: Invalid value: \"IPv6\": not configured on this cluster",
            ),
            (
                selected(json!({"clusterIP": "fd00::5", "clusterIPs": ["fd00::5"]})),
                &v4,
                "spec.clusterIPs[0]: Invalid value: [\"fd00::5\"]: IPv6 is not configured on this cluster",
            ),
        ] {
            assert_eq!(outcome(None, spec.clone(), served), expected, "{spec}");
        }
    }

    #[test]
    fn a_second_family_comes_and_goes_with_the_policy() {
        let dual = ranges(&["10.0.0.0/24", "fd00::/112"]);
        let service = |policy: Option<&str>, families: &[&str], addresses: &[&str]| {
            json!({
                "type": "ClusterIP", "selector": {"a": "b"}, "ipFamilyPolicy": policy,
                "ipFamilies": families, "clusterIPs": addresses, "clusterIP": addresses.first(),
            })
        };
        let (both, pair) = (["IPv4", "IPv6"], ["10.0.0.1", "fd00::1"]);
        let single = || service(Some("SingleStack"), &["IPv4"], &["10.0.0.1"]);
        let required = || service(Some("RequireDualStack"), &both, &pair);
        let preferred = || service(Some("PreferDualStack"), &["IPv4"], &["10.0.0.1"]);
        for (old, new, expected) in [
            (
                single(),
                service(Some("PreferDualStack"), &["IPv4"], &["10.0.0.1"]),
                "PreferDualStack IPv4,IPv6 10.0.0.1",
            ),
            // Nobody asked for the second one that there is now.
            (preferred(), preferred(), "PreferDualStack IPv4 10.0.0.1"),
            (
                required(),
                service(Some("SingleStack"), &both, &pair),
                "SingleStack IPv4 10.0.0.1",
            ),
            (
                required(),
                service(None, &both, &pair),
                "RequireDualStack IPv4,IPv6 10.0.0.1,fd00::1",
            ),
            (
                required(),
                service(None, &both, &["10.0.0.1"]),
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary cluster IP",
            ),
            (
                required(),
                service(None, &["IPv4"], &pair),
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary IP family",
            ),
            (
                single(),
                service(Some("SingleStack"), &both, &["10.0.0.1"]),
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ),
        ] {
            assert_eq!(outcome(Some(old), new.clone(), &dual), expected, "{new}");
        }
    }
}
