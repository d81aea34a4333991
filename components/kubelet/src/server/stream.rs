//! exec, attach and port-forward.
//!
//! The runtime has a streaming server that speaks SPDY. A client that speaks SPDY too (upstream's API server)
//! is connected to it byte by byte; one that speaks WebSocket is translated: its channels to SPDY streams, or, for
//! port-forward as kubectl does it, its messages to the bytes of the tunnelled connection.

mod channels;
mod ports;
mod secure;
mod tunnel;
mod upstream;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use k8s_cri::v1 as cri;
use streams::remote_command::Wanted;
use streams::websocket::{self, Handshake, Socket};

pub use secure::StreamAuthority;

use super::{ServerState, refuse};
use crate::pod::members::PodView;
use crate::runtime::{Observed, ObservedContainer, RunState};

/// Reads the query; names as the API server sends them (`input`) and as clients do (`stdin`).
fn wanted(query: &str) -> (Wanted, Vec<String>, Vec<i32>) {
    let mut wanted = Wanted::default();
    let mut command = Vec::new();
    let mut ports = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode(value);
        let on = matches!(value.as_str(), "1" | "true" | "True" | "t");
        match name {
            "command" => command.push(value),
            "input" | "stdin" => wanted.stdin = on,
            "output" | "stdout" => wanted.stdout = on,
            "error" | "stderr" => wanted.stderr = on,
            "tty" => wanted.tty = on,
            "port" | "ports" => ports.extend(value.split(',').filter_map(|port| port.parse::<i32>().ok())),
            _ => {}
        }
    }
    // A terminal has one output.
    if wanted.tty {
        wanted.stderr = false;
    }
    (wanted, command, ports)
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn running_container(
    state: &ServerState,
    namespace: &str,
    name: &str,
    container: &str,
) -> Result<ObservedContainer, Response> {
    let Some(pod) = state.table.find(namespace, name) else {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            format!("pod does not exist: pods \"{name}\" not found"),
        ));
    };
    let observed = state
        .context
        .runtime
        .observe(pod.uid(), &Observed::default())
        .await
        .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    match observed.container(container) {
        Some(found) if found.state == RunState::Running => Ok(found.clone()),
        Some(_) => Err(refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("container not running ({container})"),
        )),
        None => Err(refuse(
            StatusCode::NOT_FOUND,
            format!("container not found (\"{container}\")"),
        )),
    }
}

type Three = Path<(String, String, String)>;
type Four = Path<(String, String, String, String)>;

pub(super) async fn exec(
    State(state): State<ServerState>,
    Path((namespace, pod, container)): Three,
    request: Request,
) -> Response {
    let (wanted, command, _) = wanted(request.uri().query().unwrap_or_default());
    if command.is_empty() {
        return refuse(
            StatusCode::BAD_REQUEST,
            "you must specify at least 1 command for the container",
        );
    }
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "you must specify at least 1 of stdin, stdout, stderr",
        );
    }
    let found = match running_container(&state, &namespace, &pod, &container).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let message = cri::ExecRequest {
        container_id: found.id,
        cmd: command,
        tty: wanted.tty,
        stdin: wanted.stdin,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    match state.context.runtime.exec(message).await {
        Ok(url) => remote_command(&url, &state.streams, wanted, request).await,
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

pub(super) async fn exec_uid(
    state: State<ServerState>,
    Path((namespace, pod, _, container)): Four,
    request: Request,
) -> Response {
    exec(state, Path((namespace, pod, container)), request).await
}

pub(super) async fn attach(
    State(state): State<ServerState>,
    Path((namespace, pod, container)): Three,
    request: Request,
) -> Response {
    let (mut wanted, _, _) = wanted(request.uri().query().unwrap_or_default());
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return refuse(
            StatusCode::BAD_REQUEST,
            "you must specify at least 1 of stdin, stdout, stderr",
        );
    }
    let found = match running_container(&state, &namespace, &pod, &container).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    // Whether there is a terminal is the container's affair, not the client's.
    let member = state
        .table
        .find(&namespace, &pod)
        .and_then(|pod| pod.member(&container));
    wanted.tty = member.is_some_and(|(_, container)| container.tty == Some(true));
    if wanted.tty {
        wanted.stderr = false;
    }
    let message = cri::AttachRequest {
        container_id: found.id,
        stdin: wanted.stdin,
        tty: wanted.tty,
        stdout: wanted.stdout,
        stderr: wanted.stderr,
    };
    match state.context.runtime.attach(message).await {
        Ok(url) => remote_command(&url, &state.streams, wanted, request).await,
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

pub(super) async fn attach_uid(
    state: State<ServerState>,
    Path((namespace, pod, _, container)): Four,
    request: Request,
) -> Response {
    attach(state, Path((namespace, pod, container)), request).await
}

/// Runs a command and answers with its output.
pub(super) async fn run(
    State(state): State<ServerState>,
    Path((namespace, pod, container)): Three,
    request: Request,
) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let command = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("cmd="))
        .map(percent_decode)
        .unwrap_or_default();
    let found = match running_container(&state, &namespace, &pod, &container).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    let words = command.split_whitespace().map(str::to_owned).collect();
    match state
        .context
        .runtime
        .exec_sync(&found.id, words, std::time::Duration::ZERO)
        .await
    {
        Ok(answer) => {
            let output = [answer.stdout, answer.stderr].concat();
            if answer.exit_code == 0 {
                output.into_response()
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, output).into_response()
            }
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

pub(super) async fn port_forward(
    State(state): State<ServerState>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (_, _, ports) = wanted(request.uri().query().unwrap_or_default());
    let channels = protocol(request.headers()) == Protocol::WebSocket && ports::is_wanted(request.headers());
    let checked = match ports::checked(&ports) {
        Err(reason) if channels => return refuse(StatusCode::BAD_REQUEST, reason),
        checked => checked.unwrap_or_default(),
    };
    let Some(pod) = state.table.find(&namespace, &name) else {
        return refuse(
            StatusCode::NOT_FOUND,
            format!("pod does not exist: pods \"{name}\" not found"),
        );
    };
    let observed = match state
        .context
        .runtime
        .observe(pod.uid(), &Observed::default())
        .await
    {
        Ok(observed) => observed,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let Some(sandbox) = observed.sandbox().filter(|sandbox| sandbox.ready) else {
        return refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("pod {name} has no running sandbox"),
        );
    };
    let url = match state.context.runtime.port_forward(&sandbox.id, ports).await {
        Ok(url) => url,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    match protocol(request.headers()) {
        Protocol::Spdy => upstream::pass_through(&url, &state.streams, request).await,
        Protocol::WebSocket if channels => ports::serve(&url, &state.streams, checked, request).await,
        Protocol::WebSocket => tunnel::serve(&url, &state.streams, request).await,
        Protocol::Other => refuse(
            StatusCode::BAD_REQUEST,
            "unable to upgrade: missing upgrade headers in request",
        ),
    }
}

pub(super) async fn port_forward_uid(
    state: State<ServerState>,
    Path((namespace, pod, _)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    port_forward(state, Path((namespace, pod)), request).await
}

async fn remote_command(url: &str, trusted: &StreamAuthority, wanted: Wanted, request: Request) -> Response {
    match protocol(request.headers()) {
        Protocol::Spdy => upstream::pass_through(url, trusted, request).await,
        Protocol::WebSocket => channels::serve(url, trusted, wanted, request).await,
        Protocol::Other => refuse(
            StatusCode::BAD_REQUEST,
            "unable to upgrade: missing upgrade headers in request",
        ),
    }
}

/// A request that may have a WebSocket, and its connection.
struct WebSocketRequest {
    handshake: Handshake,
    upgrade: OnUpgrade,
}

impl WebSocketRequest {
    fn of(mut request: Request) -> Result<Self, Response> {
        let handshake = Handshake::check(request.method(), request.headers())
            .map_err(|refused| refuse(refused.status(), refused))?;
        let upgrade = hyper::upgrade::on(&mut request);
        Ok(Self { handshake, upgrade })
    }

    /// The answer that makes the connection a WebSocket, which `work` then has.
    fn accept<F>(self, protocol: Option<&str>, work: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let upgrade = self.upgrade;
        // Lives as long as the client's connection does.
        tokio::spawn(async move {
            match websocket::open(upgrade).await {
                Ok(socket) => work(socket).await,
                Err(error) => tracing::debug!(%error, "upgrade failed"),
            }
        });
        (StatusCode::SWITCHING_PROTOCOLS, self.handshake.answer(protocol)).into_response()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Spdy,
    WebSocket,
    Other,
}

fn protocol(headers: &HeaderMap) -> Protocol {
    let upgrade = headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match upgrade.as_str() {
        "spdy/3.1" => Protocol::Spdy,
        "websocket" => Protocol::WebSocket,
        _ => Protocol::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_in_both_spellings() {
        let (streams, command, _) =
            wanted("command=sh&command=-c&command=echo%20a%2Bb+c&input=1&output=1&error=1&tty=1");
        assert_eq!(command, ["sh", "-c", "echo a+b c"]);
        assert_eq!(
            streams,
            Wanted {
                stdin: true,
                stdout: true,
                stderr: false,
                tty: true
            }
        );
        let (streams, _, ports) = wanted("stdout=true&stderr=true&stdin=false&ports=80,81");
        assert_eq!(
            streams,
            Wanted {
                stdin: false,
                stdout: true,
                stderr: true,
                tty: false
            }
        );
        assert_eq!(ports, [80, 81]);
        assert_eq!(percent_decode("%zz%4"), "%zz%4");
    }
}
