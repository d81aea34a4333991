//! Flags about what operators see of the server: metrics, profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The only version whose hidden metrics may be shown: upstream hides a metric for one minor version before it removes it.
const PREVIOUS_MINOR: &str = "1.35";

#[derive(Clone, Debug, clap::Args)]
pub struct ObservingFlags {
    /// Metrics that are not told, by their full names.
    #[arg(long, value_delimiter = ',')]
    pub disabled_metrics: Vec<String>,
    /// Tells metrics that were hidden in the minor version before; there is none among this server's.
    #[arg(long, default_value = "", value_parser = hidden)]
    pub show_hidden_metrics_for_version: String,
    /// `metric,label=value,value`: all other values become `unexpected`. May be repeated.
    #[arg(long, value_parser = LabelValues::parse)]
    pub allow_metric_labels: Vec<LabelValues>,
    /// The same as YAML: a map from `metric,label` to `value,value`. Used if --allow-metric-labels is not given.
    #[arg(long)]
    pub allow_metric_labels_manifest: Option<PathBuf>,
    /// Serves /debug/pprof and /debug/flags.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub profiling: bool,
    /// Upstream serves a folder of log files then; this server writes none.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub enable_logs_handler: bool,
    /// `text`, or `json` in upstream's shape.
    #[arg(long, default_value = "text", value_parser = ["text", "json"])]
    pub logging_format: String,
    /// `pattern=N,…`: the verbosity of single source files, by name without `.rs`.
    #[arg(long, value_delimiter = ',')]
    pub vmodule: Vec<String>,
    /// Errors go to standard error, all else to standard output, with --logging-format=json.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub log_json_split_stream: bool,
    /// The same with --logging-format=text.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub log_text_split_stream: bool,
}

fn hidden(text: &str) -> Result<String, String> {
    if text.is_empty() || text == PREVIOUS_MINOR {
        return Ok(text.to_owned());
    }
    Err(format!(
        "must be omitted or have the value '{PREVIOUS_MINOR}'. Only the previous minor version is allowed"
    ))
}

/// By metric and label: the values that are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelValues(pub BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl LabelValues {
    /// Reads upstream's form: one pair as it is, several pairs each within double quotes.
    fn parse(text: &str) -> Result<Self, String> {
        let mut all = Self::default();
        if text.matches('=').count() == 1 {
            let pair = text.trim_matches('"').split_once('=').unwrap_or_default();
            all.insert(pair.0, pair.1)?;
            return Ok(all);
        }
        for pair in text.split('"').filter(|part| !part.trim_matches(',').is_empty()) {
            let (key, values) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair} must be formatted as key=value"))?;
            if values.contains('=') {
                return Err(format!(
                    "several pairs must each be within double quotes, as in '\"a,l=x\",\"b,l=y\"': {text}"
                ));
            }
            all.insert(key, values)?;
        }
        Ok(all)
    }

    /// # Errors
    ///
    /// The key is not `metric,label`.
    pub fn insert(&mut self, key: &str, values: &str) -> Result<(), String> {
        let name = |text: &str, colons: bool| {
            let mut bytes = text.bytes();
            let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
            bytes.next().is_some_and(first) && bytes.all(|byte| first(byte) || byte.is_ascii_digit())
        };
        let (metric, label) = key.split_once(',').unwrap_or((key, ""));
        if !name(metric, true) || !name(label, false) {
            return Err(format!("key {key:?} is not metric,label"));
        }
        let values = values.split(',').map(|value| value.trim().to_owned());
        let labels = self.0.entry(metric.to_owned()).or_default();
        labels.insert(label.to_owned(), values.collect());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_read_in_upstreams_form() {
        let told = |text: &str| {
            LabelValues::parse(text).map(|all| {
                let mut lines = Vec::new();
                for (metric, labels) in all.0 {
                    for (label, values) in labels {
                        lines.push(format!("{metric} {label} {}", Vec::from_iter(values).join("|")));
                    }
                }
                lines.join("; ")
            })
        };
        assert_eq!(told("m,l=a,b").as_deref(), Ok("m l a|b"));
        assert_eq!(told("\"m,l=a,b\",\"n,k=c\"").as_deref(), Ok("m l a|b; n k c"));
        for text in ["m=a", "m,l", "1,l=a", "m,l=a,n,k=b", "m,l-l=a"] {
            assert!(told(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_previous_minor_version_may_be_shown() {
        assert!(hidden("").is_ok() && hidden("1.35").is_ok());
        assert!(hidden("1.36").is_err() && hidden("x").is_err());
    }
}
