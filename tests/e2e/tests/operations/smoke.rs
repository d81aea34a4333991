//! The built-in smoke test.

use e2e::TestLab;

pub(crate) fn everything_a_cluster_is_for_works(lab: &TestLab) {
    let text = lab.hardway(&["smoke", "--json"]).ok();
    println!("{text}");
    let report = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line["checks"].is_array())
        .expect("a report");
    let checks = report["checks"].as_array().expect("checks");
    assert!(checks.len() >= 11, "{report}");
    assert!(checks.iter().all(|check| check["error"].is_null()), "{report}");
    let left = lab.kubectl(&["get", "namespaces"]).ok();
    assert!(!left.contains("hardway-smoke"), "{left}");
}
