//! `/statusz` and `/flagz`: the process and its command line, for people; and as JSON or YAML for who asks in so many words.

use super::paths::not_found;
use crate::answer;
use crate::media::{Accepted, Encoding};
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use apimachinery::ApiError;
use clap::CommandFactory;
use component_config::kube_apiserver::{ApiServerFlags, UNUSED_FLAGS};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.";
const COMPONENT: &str = "kube-apiserver";
const PATHS: [&str; 7] = [
    "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version",
];

/// How a page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// An object of this version.
    Version(&'static str, Encoding),
}

pub fn statusz(server: &Server, request: &ApiRequest) -> Response {
    if !server.has_feature("ComponentStatusz") {
        return not_found();
    }
    let now = jiff::Timestamp::now();
    let up = now.as_second() - server.started.as_second();
    let version = server.build.version(&server.flags.version);
    let text_of = |name: &str| version[name].as_str().unwrap_or_default();
    let binary = text_of("gitVersion").trim_start_matches('v');
    let emulated = server.flags.version.emulated.to_string();
    match form(&request.headers, "Statusz") {
        None => refusal(),
        Some(Form::Version(of, encoding)) => document(
            "Statusz",
            of,
            encoding,
            json!({
                "startTime": seconds(server.started).to_string(),
                "uptimeSeconds": up,
                "goVersion": text_of("goVersion"),
                "binaryVersion": binary,
                "emulationVersion": emulated,
                "paths": PATHS,
            }),
        ),
        Some(Form::Text) => answer::text(
            StatusCode::OK,
            format!(
                "\n{COMPONENT} statusz\n{WARNING}\n\nStarted: {}\nUp: {} hr {:02} min {:02} sec\nGo version: {}\nBinary version: {binary}\nEmulation version: {emulated}\nPaths: {}\n",
                server.started.strftime("%a %b %e %H:%M:%S UTC %Y"),
                up / 3600,
                up / 60 % 60,
                up % 60,
                text_of("goVersion"),
                PATHS.join(" "),
            ),
        ),
    }
}

pub fn flagz(server: &Server, request: &ApiRequest) -> Response {
    if !server.has_feature("ComponentFlagz") {
        return not_found();
    }
    let flags = flags(std::env::args());
    match form(&request.headers, "Flagz") {
        None => refusal(),
        Some(Form::Version(of, encoding)) => document("Flagz", of, encoding, json!({ "flags": flags })),
        Some(Form::Text) => {
            let lines: String = flags
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect();
            answer::text(
                StatusCode::OK,
                format!("\n{COMPONENT} flagz\n{WARNING}\n\n{lines}"),
            )
        }
    }
}

/// All flags with their values, given or not. Secrets are in files, which flags only name.
fn flags(args: impl IntoIterator<Item = String>) -> BTreeMap<String, String> {
    let words = component_config::flags::normalize(args, UNUSED_FLAGS).unwrap_or_default();
    // This is how the server was started, so it can be read.
    let Ok(matches) = ApiServerFlags::command().try_get_matches_from(words) else {
        return BTreeMap::new();
    };
    let command = ApiServerFlags::command();
    let mut told = BTreeMap::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long() else { continue };
        let id = argument.get_id().as_str();
        let values: Vec<String> = matches
            .get_raw(id)
            .into_iter()
            .flatten()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        let list = matches!(argument.get_action(), clap::ArgAction::Append);
        let value = if list {
            format!("[{}]", values.join(","))
        } else {
            values.concat()
        };
        told.insert(name.to_owned(), value);
    }
    told
}

fn seconds(time: jiff::Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn document(kind: &str, version: &str, encoding: Encoding, fields: Value) -> Response {
    let mut document = json!({
        "kind": kind,
        "apiVersion": format!("config.k8s.io/{version}"),
        "metadata": { "name": COMPONENT },
    });
    if let (Some(into), Value::Object(fields)) = (document.as_object_mut(), fields) {
        into.extend(fields);
    }
    let accepted = Accepted {
        encoding,
        ..Accepted::default()
    };
    answer::value(StatusCode::OK, &document, &accepted)
}

/// The first form of the client's list that there is. An object must be asked for by group, version and kind.
fn form(headers: &HeaderMap, kind: &str) -> Option<Form> {
    let mut accepted = headers
        .get_all(http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .peekable();
    if accepted.peek().is_none() {
        return Some(Form::Text);
    }
    accepted.find_map(|range| {
        let mut words = range.split(';').map(str::trim);
        let encoding = match words.next()? {
            "*/*" | "text/*" | "text/plain" => return Some(Form::Text),
            "application/json" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            _ => return None,
        };
        let told: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let version = ["v1beta1", "v1alpha1"]
            .into_iter()
            .find(|version| told.get("v") == Some(version))?;
        let fits = told.get("g") == Some(&"config.k8s.io") && told.get("as") == Some(&kind);
        fits.then_some(Form::Version(version, encoding))
    })
}

/// Upstream's words: protobuf is among what it can write, though no such page is given.
fn refusal() -> Response {
    let known = [
        "application/json",
        "application/yaml",
        "application/vnd.kubernetes.protobuf",
        "text/plain",
    ];
    answer::failure(&ApiError::not_acceptable(&known), &Accepted::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_given_to_who_names_group_version_and_kind() {
        for (accept, told) in [
            ("", Some(Form::Text)),
            ("text/plain", Some(Form::Text)),
            ("*/*", Some(Form::Text)),
            ("application/xml", None),
            ("application/json", None),
            ("application/json;v=v1beta1;g=config.k8s.io", None),
            (
                "application/json;v=v1beta1;g=config.k8s.io;as=Statusz",
                Some(Form::Version("v1beta1", Encoding::Json)),
            ),
            (
                "application/yaml;v=v1beta1;g=config.k8s.io;as=Statusz",
                Some(Form::Version("v1beta1", Encoding::Yaml)),
            ),
            ("application/yaml", None),
            ("application/json;v=v1beta1;g=config.k8s.io;as=Flagz", None),
            (
                "application/json;v=foo;g=config.k8s.io;as=Statusz,*/*",
                Some(Form::Text),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::ACCEPT, accept.parse().unwrap());
            assert_eq!(form(&headers, "Statusz"), told, "{accept}");
        }
    }

    #[test]
    fn flags_are_told_with_their_values() {
        let line = "kube-apiserver --etcd-servers=http://a,http://b --service-account-issuer=https://x --profiling=false --allow-privileged";
        let flags = flags(line.split(' ').map(str::to_owned));
        assert_eq!(flags["etcd-servers"], "[http://a,http://b]");
        assert_eq!(flags["profiling"], "false");
        assert_eq!(flags["allow-privileged"], "true");
        assert_eq!(flags["secure-port"], "6443");
        assert_eq!(flags["client-ca-file"], "");
    }
}
