//! What the conformance suite demands of nodes, networking, storage, workloads and scheduling, on real hosts. The cases are data: steps in
//! `cases/*.yaml`, under the suite's own names; each has a namespace of its own, and many run at once.
//!
//! `HARDWAY_CASES` names a part of the titles to run. `HARDWAY_USE_LAB` names a lab that is up and stays.

mod api;
mod case;
mod matching;
mod object;
mod run;

use std::time::Instant;

use e2e::TestLab;

const IMAGE: &str = "hardway.local/pod-server:1";

#[test]
fn hosts_do_what_the_suite_demands() {
    let cases = case::all(&e2e::own_folder().join("tests/conformance/cases"));
    let lab = TestLab::up("conformance", &["--control-planes", "1", "--workers", "2"]);
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    lab.load_image(&[
        "--image",
        IMAGE,
        "--program",
        "/bin/busybox",
        "--also",
        &format!("/pod-server={}", e2e::binaries().join("pod-server").display()),
        "--argument",
        "echo",
        "--argument",
        "the image's own arguments",
    ]);
    let begun = Instant::now();
    let outcomes = run::all(&lab, cases);
    let mut slowest: Vec<&run::Outcome> = outcomes.iter().collect();
    slowest.sort_by_key(|outcome| std::cmp::Reverse(outcome.took));
    for outcome in slowest.iter().take(10) {
        println!("{:6.1} s  {}", outcome.took.as_secs_f64(), outcome.title);
    }
    let failed: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| {
            let reason = outcome.result.as_ref().err()?;
            Some(format!("{} ({}): {reason}", outcome.title, outcome.namespace))
        })
        .collect();
    println!(
        "{} cases in {:.1} s, {} failed",
        outcomes.len(),
        begun.elapsed().as_secs_f64(),
        failed.len()
    );
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
