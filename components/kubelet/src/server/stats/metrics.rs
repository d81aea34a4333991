//! The pages of metrics: the kubelet's own, those of containers, and those that metrics-server reads.

mod cadvisor;
mod own;
mod resource;

use std::fmt::Write as _;

use http::header;

use super::collect::ContainerUse;
use crate::runtime::ContainerRecord;

pub(in crate::server) use cadvisor::cadvisor;
pub(in crate::server) use own::{own_metrics, probes};
pub(in crate::server) use resource::resource;

const TEXT: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

fn labels(record: &ContainerRecord) -> String {
    format!(
        "container={:?},namespace={:?},pod={:?}",
        record.name, record.pod_namespace, record.pod_name
    )
}

/// Rows of one metric: labels, which may be empty, and values.
type Rows = Vec<(String, f64)>;

/// A metric's lines; with a time stamp (milliseconds) where the values are as old as that.
fn family(text: &mut String, name: &str, kind: &str, help: &str, at: Option<i64>, rows: Rows) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    let at = at.map(|at| format!(" {at}")).unwrap_or_default();
    for (labels, value) in rows {
        let labels = if labels.is_empty() {
            labels
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(text, "{name}{labels} {value}{at}");
    }
}

fn each(used: &[ContainerUse], of: impl Fn(&ContainerUse) -> Option<f64>) -> Rows {
    used.iter()
        .filter_map(|used| Some((labels(&used.record), of(used)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_and_rows() {
        let mut text = String::new();
        family(
            &mut text,
            "a",
            "gauge",
            "About a.",
            Some(5),
            vec![(String::new(), 1.5), ("x=\"y\"".to_owned(), 2.0)],
        );
        assert_eq!(
            text,
            "# HELP a About a.\n# TYPE a gauge\na 1.5 5\na{x=\"y\"} 2 5\n"
        );
    }
}
