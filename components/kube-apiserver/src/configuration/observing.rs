//! The log, and which metrics are told.

use crate::configuration::strict;
use crate::nulls;
use anyhow::{Context, anyhow, bail};
use component_config::kube_apiserver::collector::{Collector, TracingConfiguration};
use component_config::kube_apiserver::{LabelValues, ObservingFlags};
use daemon::logging::{Format, Module, Settings};
use daemon::metrics::Selection;
use std::collections::BTreeMap;
use std::path::Path;

/// # Errors
///
/// --vmodule can't be read, or goes with a format that has none.
pub fn log(flags: &ObservingFlags, verbosity: u32) -> anyhow::Result<Settings> {
    let format = match flags.logging_format.as_str() {
        "json" => Format::Json,
        _ => Format::Text,
    };
    let modules: Vec<Module> = flags
        .vmodule
        .iter()
        .filter(|text| !text.is_empty())
        .map(|text| Module::parse(text).map_err(|error| anyhow!("--vmodule: {error}")))
        .collect::<anyhow::Result<_>>()?;
    if format == Format::Json && !modules.is_empty() {
        bail!("--vmodule: only supported for text log format; leave it out or use --logging-format=text");
    }
    if flags.enable_logs_handler {
        bail!("--enable-logs-handler: this server writes no log files that it could serve; leave it out");
    }
    let split_stream = match format {
        Format::Json => flags.log_json_split_stream,
        Format::Text => flags.log_text_split_stream,
    };
    Ok(Settings {
        verbosity,
        modules,
        format,
        split_stream,
    })
}

/// # Errors
///
/// The file can't be read, or is no TracingConfiguration.
pub fn collector(file: &Path) -> anyhow::Result<Collector> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    strict::once(&text).with_context(|| file.display().to_string())?;
    let configuration: TracingConfiguration =
        nulls::from_yaml(&text).with_context(|| file.display().to_string())?;
    let checked = configuration.check();
    checked.map_err(|error| anyhow!("{}: {error}", file.display()))
}

/// # Errors
///
/// The manifest of labels can't be read, or says what no metric could have.
pub fn metrics(flags: &ObservingFlags) -> anyhow::Result<Selection> {
    let mut allowed = LabelValues::default();
    for given in &flags.allow_metric_labels {
        for (metric, labels) in &given.0 {
            allowed
                .0
                .entry(metric.clone())
                .or_default()
                .extend(labels.clone());
        }
    }
    if let (true, Some(file)) = (allowed.0.is_empty(), &flags.allow_metric_labels_manifest) {
        let of = || format!("--allow-metric-labels-manifest {}", file.display());
        let text = std::fs::read_to_string(file).with_context(of)?;
        let told: BTreeMap<String, String> = serde_yaml_ng::from_str(&text).with_context(of)?;
        for (key, values) in &told {
            allowed
                .insert(key, values)
                .map_err(|error| anyhow!(error))
                .with_context(of)?;
        }
    }
    Ok(Selection {
        disabled: flags.disabled_metrics.iter().cloned().collect(),
        allowed: allowed.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_holds_where_no_labels_are_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "m,l: a,b\n").unwrap();
        let mut flags = ObservingFlags {
            disabled_metrics: vec!["n".to_owned()],
            show_hidden_metrics_for_version: String::new(),
            allow_metric_labels: Vec::new(),
            allow_metric_labels_manifest: Some(file.path().to_owned()),
            profiling: true,
            enable_logs_handler: false,
            logging_format: "text".to_owned(),
            vmodule: Vec::new(),
            log_json_split_stream: false,
            log_text_split_stream: false,
        };
        let selection = metrics(&flags).unwrap();
        assert!(selection.disabled.contains("n"));
        assert_eq!(selection.allowed["m"]["l"].len(), 2);
        std::fs::write(file.path(), "m: a\n").unwrap();
        assert!(format!("{:#}", metrics(&flags).unwrap_err()).contains("not metric,label"));
        let mut given = LabelValues::default();
        given.insert("o,l", "a").unwrap();
        flags.allow_metric_labels = vec![given];
        assert!(metrics(&flags).unwrap().allowed.contains_key("o"));
    }
}
