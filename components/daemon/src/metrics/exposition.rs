//! From the OpenMetrics text that the registry writes to the Prometheus text that is served, less what the operator
//! doesn't want.

use std::collections::{BTreeMap, BTreeSet};

/// What is left out or put together. Costs nothing until somebody asks for the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Families that are not told (`--disabled-metrics`), by their full names.
    pub disabled: BTreeSet<String>,
    /// By family and label: the values that are told (`--allow-metric-labels`); all others become `unexpected`.
    pub allowed: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

/// What values outside their list become.
const UNEXPECTED: &str = "unexpected";

/// Rewrites an exposition: a counter's header has its samples' name, counters without `_total` are counters, and
/// `selection` holds.
pub fn prometheus(open: &str, selection: &Selection) -> String {
    let mut text = String::with_capacity(open.len());
    let mut family = Family::default();
    for line in open.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family.end(&mut text);
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            family = Family::of(name);
            family.help = Some(help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.rsplit_once(' ').unwrap_or((rest, ""));
            if family.open != name {
                family.end(&mut text);
                family = Family::of(name);
            }
            family.begin(kind, selection);
        } else if !line.starts_with('#') && !line.is_empty() {
            family.sample(line, &mut text);
        }
    }
    family.end(&mut text);
    text
}

#[derive(Default)]
struct Family<'a> {
    /// Its name in OpenMetrics.
    open: &'a str,
    name: String,
    kind: &'a str,
    help: Option<&'a str>,
    told: bool,
    disabled: bool,
    allowed: Option<&'a BTreeMap<String, BTreeSet<String>>>,
    /// Samples that were put together, in their first order; used with lists of values only.
    merged: Vec<(String, f64)>,
}

impl<'a> Family<'a> {
    fn of(name: &'a str) -> Self {
        Self {
            open: name,
            name: name.to_owned(),
            kind: "untyped",
            ..Self::default()
        }
    }

    fn begin(&mut self, kind: &'a str, selection: &'a Selection) {
        let (name, kind) = match kind {
            "counter" if !self.open.ends_with("_total") => (format!("{}_total", self.open), "counter"),
            "unknown" => (self.open.to_owned(), "counter"),
            "info" => (format!("{}_info", self.open), "gauge"),
            _ => (self.open.to_owned(), kind),
        };
        self.disabled = selection.disabled.contains(&name);
        self.allowed = selection.allowed.get(&name);
        (self.name, self.kind) = (name, kind);
    }

    /// A family without series is not told, as upstream's.
    fn head(&mut self, text: &mut String) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if let Some(help) = self.help {
            text.push_str(&format!("# HELP {} {help}\n", self.name));
        }
        text.push_str(&format!("# TYPE {} {}\n", self.name, self.kind));
    }

    fn sample(&mut self, line: &str, text: &mut String) {
        if self.disabled {
            return;
        }
        self.head(text);
        let Some(allowed) = self.allowed else {
            text.push_str(line);
            text.push('\n');
            return;
        };
        let (series, value) = line.rsplit_once(' ').unwrap_or((line, "0"));
        let series = limited(series, allowed);
        let value: f64 = value.parse().unwrap_or(0.0);
        match self.merged.iter_mut().find(|(known, _)| *known == series) {
            Some((_, sum)) => *sum += value,
            None => self.merged.push((series, value)),
        }
    }

    fn end(&mut self, text: &mut String) {
        for (series, value) in self.merged.drain(..) {
            text.push_str(&format!("{series} {value}\n"));
        }
    }
}

/// A series' name and labels with the values that may be told.
fn limited(series: &str, allowed: &BTreeMap<String, BTreeSet<String>>) -> String {
    let Some((name, labels)) = series.strip_suffix('}').and_then(|series| series.split_once('{')) else {
        return series.to_owned();
    };
    let labels: Vec<String> = pairs(labels)
        .map(|(label, value)| match allowed.get(label) {
            Some(values) if !values.contains(value) => format!("{label}=\"{UNEXPECTED}\""),
            _ => format!("{label}=\"{value}\""),
        })
        .collect();
    format!("{name}{{{}}}", labels.join(","))
}

/// `a="b",c="d"`; values stay escaped.
fn pairs(labels: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = labels;
    std::iter::from_fn(move || {
        let (label, after) = rest.trim_start_matches(',').split_once("=\"")?;
        let mut escaped = false;
        let end = after.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        rest = &after[end + 1..];
        Some((label, &after[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "# HELP a Words.\n# TYPE a counter\na_total{v=\"x\",w=\"q,\\\"=\"} 1\na_total{v=\"y\",w=\"q,\\\"=\"} 2\na_total{v=\"z\",w=\"q,\\\"=\"} 4\n\
        # HELP b Words.\n# TYPE b unknown\nb 3\n# HELP c Words.\n# TYPE c gauge\n# TYPE d gauge\nd 1\n# EOF\n";

    #[test]
    fn counters_have_their_samples_names_and_empty_families_are_not_told() {
        let text = prometheus(OPEN, &Selection::default());
        assert_eq!(
            text,
            "# HELP a_total Words.\n# TYPE a_total counter\na_total{v=\"x\",w=\"q,\\\"=\"} 1\na_total{v=\"y\",w=\"q,\\\"=\"} 2\na_total{v=\"z\",w=\"q,\\\"=\"} 4\n\
            # HELP b Words.\n# TYPE b counter\nb 3\n# TYPE d gauge\nd 1\n"
        );
    }

    #[test]
    fn disabled_families_are_left_out_and_values_outside_their_list_put_together() {
        let values = BTreeSet::from(["y".to_owned()]);
        let selection = Selection {
            disabled: BTreeSet::from(["b".to_owned()]),
            allowed: BTreeMap::from([("a_total".to_owned(), BTreeMap::from([("v".to_owned(), values)]))]),
        };
        let text = prometheus(OPEN, &selection);
        assert_eq!(
            text,
            "# HELP a_total Words.\n# TYPE a_total counter\na_total{v=\"unexpected\",w=\"q,\\\"=\"} 5\na_total{v=\"y\",w=\"q,\\\"=\"} 2\n# TYPE d gauge\nd 1\n"
        );
    }
}
