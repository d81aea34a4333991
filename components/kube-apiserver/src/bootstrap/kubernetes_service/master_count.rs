//! Endpoints of a fixed number of API servers (`--endpoint-reconciler-type=master-count`), which know of each other by
//! the endpoints alone.

use serde_json::Value;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The addresses that endpoints have.
pub fn addresses(endpoints: &Value) -> BTreeSet<IpAddr> {
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    subsets
        .flat_map(|subset| subset["addresses"].as_array().into_iter().flatten())
        .filter_map(|address| address["ip"].as_str()?.parse().ok())
        .collect()
}

/// `known` with the own address, or without it when this server leaves. If they are more than `count`, those that follow
/// the own one stay, in the order of their text and beginning anew at its end: so every server takes out the same ones.
pub fn members(known: &BTreeSet<IpAddr>, own: IpAddr, count: usize, leaving: bool) -> BTreeSet<IpAddr> {
    let mut all = known.clone();
    if leaving {
        all.remove(&own);
        return all;
    }
    all.insert(own);
    if all.len() <= count {
        return all;
    }
    let mut ordered: Vec<IpAddr> = all.into_iter().collect();
    ordered.sort_by_key(IpAddr::to_string);
    let position = ordered.iter().position(|address| *address == own).unwrap_or(0);
    ordered.into_iter().cycle().skip(position).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_server_is_there_and_no_more_than_the_count() {
        let set =
            |list: &[&str]| -> BTreeSet<IpAddr> { list.iter().map(|text| text.parse().unwrap()).collect() };
        for (known, own, count, leaving, expected) in [
            (&[][..], "10.0.0.1", 1, false, &["10.0.0.1"][..]),
            (&["10.0.0.2"], "10.0.0.1", 2, false, &["10.0.0.1", "10.0.0.2"]),
            (&["10.0.0.2"], "10.0.0.1", 1, false, &["10.0.0.1"]),
            // In the order of the text 10 comes before 2.
            (
                &["10.0.0.2", "10.0.0.3"],
                "10.0.0.10",
                2,
                false,
                &["10.0.0.10", "10.0.0.2"],
            ),
            (
                &["10.0.0.1", "10.0.0.2"],
                "10.0.0.3",
                2,
                false,
                &["10.0.0.1", "10.0.0.3"],
            ),
            (&["10.0.0.1", "10.0.0.2"], "10.0.0.1", 2, true, &["10.0.0.2"]),
        ] {
            let found = members(&set(known), own.parse().unwrap(), count, leaving);
            assert_eq!(found, set(expected), "{known:?} {own} {count} {leaving}");
        }
        let endpoints = json!({ "subsets": [{ "addresses": [{ "ip": "10.0.0.1" }, { "ip": "none" }] }] });
        assert_eq!(addresses(&endpoints), set(&["10.0.0.1"]));
    }
}
