//! The table that is printed.

use crate::load::Measure;
use std::fmt;

/// One line.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    /// What is counted, with its unit.
    pub value: f64,
    pub unit: &'static str,
    pub target: Option<f64>,
    /// Requests per second, p50 and p99 in ms, where requests were made.
    pub requests: Option<(f64, f64, f64)>,
    pub note: String,
}

/// All lines so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a line and says it on standard error at once: a run takes minutes.
    pub fn add(&mut self, row: Row) {
        eprintln!("{row}");
        self.rows.push(row);
    }

    /// A line of a plain figure.
    pub fn figure(&mut self, name: &str, value: f64, unit: &'static str, target: impl Into<Option<f64>>) {
        self.add(Row {
            name: name.to_owned(),
            value,
            unit,
            target: target.into(),
            requests: None,
            note: String::new(),
        });
    }

    /// A line about requests: server CPU for each of `parts` per request.
    pub fn requests(&mut self, name: &str, measure: &Measure, parts: usize, target: f64, note: String) {
        let millis = |share| measure.percentile(share).as_secs_f64() * 1e3;
        self.add(Row {
            name: name.to_owned(),
            value: measure.cpu_micros(parts),
            unit: "µs CPU",
            target: Some(target),
            requests: Some((measure.per_second(), millis(0.5), millis(0.99))),
            note,
        });
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<52} {:>9.1} {:<7}", self.name, self.value, self.unit)?;
        match self.target {
            Some(target) => {
                let verdict = if self.value <= target { "met" } else { "MISSED" };
                write!(out, " {target:>7.1} {verdict:<6}")?;
            }
            None => write!(out, " {:>7} {:<6}", "", "")?,
        }
        match self.requests {
            Some((rate, middle, slow)) => write!(out, " {rate:>9.0}/s {middle:>8.2} {slow:>8.2}")?,
            None => write!(out, " {:>11} {:>8} {:>8}", "", "", "")?,
        }
        write!(out, "  {}", self.note)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<52} {:>9} {:<7} {:>7} {:<6} {:>11} {:>8} {:>8}",
            "path", "measured", "", "target", "", "rate", "p50 ms", "p99 ms"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{row}"))
    }
}
