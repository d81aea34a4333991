//! Container logs: files in the CRI format, `TIME STREAM TAG CONTENT`.

mod follow;
mod parse;

use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;

use super::{ServerState, refuse};
use crate::pod::members::PodView;
use crate::runtime::{Observed, ObservedContainer, RunState};

pub use parse::text_of_line;
pub(crate) use parse::{LogLine, tail_offset};

/// The query of a log request, as in PodLogOptions.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LogQuery {
    follow: Option<String>,
    previous: Option<String>,
    timestamps: Option<String>,
    since_seconds: Option<i64>,
    since_time: Option<String>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
    stream: Option<String>,
}

/// The checked form of a query.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogOptions {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail: Option<usize>,
    pub limit: Option<usize>,
    /// `stdout` or `stderr` only.
    pub stream: Option<&'static str>,
}

fn is_true(value: &Option<String>) -> bool {
    value
        .as_deref()
        .is_some_and(|text| matches!(text, "" | "true" | "1" | "True" | "t"))
}

impl LogQuery {
    pub(crate) fn check(&self, now: Timestamp) -> Result<LogOptions, String> {
        let count = |name: &str, value: Option<i64>, least: i64| match value {
            Some(value) if value < least => Err(format!(
                "{name}: Invalid value: {value}: must be at least {least}"
            )),
            value => Ok(value.and_then(|value| usize::try_from(value).ok())),
        };
        let since = match (self.since_seconds, &self.since_time) {
            (Some(_), Some(_)) => {
                return Err("at most one of sinceTime or sinceSeconds may be specified".to_owned());
            }
            (Some(seconds), None) if seconds < 1 => {
                return Err(format!(
                    "sinceSeconds: Invalid value: {seconds}: must be at least 1"
                ));
            }
            (Some(seconds), None) => now.checked_sub(SignedDuration::from_secs(seconds)).ok(),
            (None, Some(text)) => Some(
                text.parse()
                    .map_err(|error| format!("sinceTime: Invalid value: {text:?}: {error}"))?,
            ),
            (None, None) => None,
        };
        let stream = match self.stream.as_deref() {
            None | Some("" | "All") => None,
            Some("Stdout") => Some("stdout"),
            Some("Stderr") => Some("stderr"),
            Some(other) => {
                return Err(format!(
                    "stream: Unsupported value: {other:?}: supported values: \"All\", \"Stdout\", \"Stderr\""
                ));
            }
        };
        Ok(LogOptions {
            follow: is_true(&self.follow),
            previous: is_true(&self.previous),
            timestamps: is_true(&self.timestamps),
            since,
            tail: count("tailLines", self.tail_lines, 0)?,
            limit: count("limitBytes", self.limit_bytes, 1)?,
            stream,
        })
    }
}

pub(super) async fn serve(
    State(state): State<ServerState>,
    Path((namespace, name, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    let options = match query.check(Timestamp::now()) {
        Ok(options) => options,
        Err(error) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, error),
    };
    let Some(pod) = state.table.find(&namespace, &name) else {
        return refuse(StatusCode::NOT_FOUND, format!("pod \"{name}\" not found"));
    };
    if pod.member(&container).is_none() {
        return refuse(
            StatusCode::NOT_FOUND,
            format!("container \"{container}\" not found in pod \"{name}\""),
        );
    }
    let observed = match state
        .context
        .runtime
        .observe(pod.uid(), &Observed::default())
        .await
    {
        Ok(observed) => observed,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let instance = match choose(&pod, &observed, &container, options.previous) {
        Ok(instance) => instance.clone(),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    let stream = follow::stream(
        Arc::new(state),
        PathBuf::from(&instance.log_path),
        instance,
        options,
    );
    ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(stream)).into_response()
}

/// The instance whose log is meant, or why there is none, in upstream's words.
fn choose<'a>(
    pod: &Pod,
    observed: &'a Observed,
    container: &str,
    previous: bool,
) -> Result<&'a ObservedContainer, String> {
    let newest = observed.container(container);
    let found = if previous {
        // Until a failed container is started again, its newest instance is the previous one.
        let waiting = newest.is_some_and(|newest| newest.state == RunState::Exited)
            && observed.previous(container).is_none();
        match observed.previous(container) {
            Some(before) => Some(before),
            None if waiting && pod.restart_policy() != crate::pod::members::RestartPolicy::Never => newest,
            None => None,
        }
    } else {
        newest
            .filter(|newest| newest.state != RunState::Created)
            .or_else(|| observed.previous(container))
    };
    found.ok_or_else(|| {
        if previous {
            format!(
                "previous terminated container \"{container}\" in pod \"{}\" not found",
                pod.name()
            )
        } else {
            format!(
                "container \"{container}\" in pod \"{}\" is waiting to start: ContainerCreating",
                pod.name()
            )
        }
    })
}
