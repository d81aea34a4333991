//! `/debug`: flow control's state, verbosity of the log, and what there is in place of Go's profiles.

use super::paths::not_found;
use crate::answer;
use crate::flow_control;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use http::{HeaderValue, Method, StatusCode};
use std::os::unix::ffi::OsStrExt;

pub fn handle(server: &Server, request: &ApiRequest, rest: &[&str]) -> Response {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let profiling = server.flags.observing.profiling;
    match rest {
        ["api_priority_and_fairness", which] if reads => {
            let details = request
                .query
                .get("includeRequestDetails")
                .is_some_and(|text| !text.is_empty());
            let control = server.flow_control.as_ref();
            let dump =
                control.and_then(|control| flow_control::debug::dump(&control.current(), which, details));
            dump.map_or_else(not_found, |text| answer::text(StatusCode::OK, text))
        }
        _ if profiling => of_process(&request.method, rest, &request.body, &request.user.name),
        _ => not_found(),
    }
}

/// What is about the process and not about the cluster. `user` asks for it.
pub fn of_process(method: &Method, rest: &[&str], body: &[u8], user: &str) -> Response {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match rest {
        ["flags"] if reads => page("/debug/flags/", "flags", &["v"]),
        ["flags", "v"] => verbosity(method, body, user),
        ["pprof"] if reads => page("/debug/pprof/", "profiles", &["cmdline"]),
        ["pprof", "cmdline"] if reads => {
            let words: Vec<Vec<u8>> = std::env::args_os().map(|word| word.as_bytes().to_vec()).collect();
            answer::bytes_of(StatusCode::OK, "text/plain; charset=utf-8", words.join(&0))
        }
        ["pprof", _] => answer::text(
            StatusCode::NOT_IMPLEMENTED,
            "This server is not a Go program and has no Go profiles. Record one of its process with perf(1).\n",
        ),
        _ => not_found(),
    }
}

/// A list of links.
fn page(path: &str, what: &str, names: &[&str]) -> Response {
    let links: String = names
        .iter()
        .map(|name| format!("<a href=\"{path}{name}\">{name}</a><br>\n"))
        .collect();
    let text = format!(
        "<html>\n<head>\n<title>{path}</title>\n</head>\n<body>\n{path}<br>\n<br>\n{what}:<br>\n{links}</body>\n</html>\n"
    );
    let mut response = answer::bytes_of(StatusCode::OK, "text/html; charset=utf-8", text);
    response.headers_mut().insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The body of a PUT is the new verbosity of the log.
fn verbosity(method: &Method, body: &[u8], user: &str) -> Response {
    if method != Method::PUT {
        return answer::text(StatusCode::NOT_ACCEPTABLE, "unsupported http method");
    }
    let given = String::from_utf8_lossy(body);
    match given.trim().parse() {
        Ok(verbosity) => {
            daemon::logging::set_verbosity(verbosity);
            tracing::info!(verbosity, user, "the verbosity of the log was changed");
            answer::text(
                StatusCode::OK,
                format!("successfully set klog.logging.verbosity to {given}"),
            )
        }
        Err(error) => answer::text(
            StatusCode::BAD_REQUEST,
            format!("failed set klog.logging.verbosity {given}: {error}"),
        ),
    }
}
