//! What probes and lifecycle hooks do: run a command, ask over HTTP, TCP or gRPC.

mod grpc;
mod http_get;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, Pod, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pod::members::PodView;
use crate::runtime::Runtime;

/// What an action found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success(String),
    Failure(String),
    /// It could not be done, so nothing is known of the container.
    Unknown(String),
}

/// How the kubelet names itself when it probes, and when it calls a hook.
const PROBE_AGENT: &str = "kube-probe/1.36";
pub const HOOK_AGENT: &str = "kube-lifecycle/1.36";

/// What an action is done to.
pub struct Target<'a> {
    pub runtime: &'a Runtime,
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub container_id: &'a str,
    pub pod_ip: &'a str,
}

impl Target<'_> {
    /// Does what a probe says.
    pub async fn probe(&self, probe: &Probe) -> Outcome {
        let timeout = Duration::from_secs(
            u64::try_from(probe.timeout_seconds.unwrap_or(1))
                .unwrap_or(1)
                .max(1),
        );
        if let Some(action) = &probe.exec {
            return self.exec(action, timeout).await;
        }
        let limited = async {
            if let Some(action) = &probe.http_get {
                return self.http_get(action, PROBE_AGENT).await;
            }
            if let Some(action) = &probe.tcp_socket {
                return self.tcp(action).await;
            }
            if let Some(action) = &probe.grpc {
                return grpc::check(
                    self.pod_ip,
                    action.port,
                    action.service.as_deref().unwrap_or_default(),
                )
                .await;
            }
            Outcome::Unknown(format!("missing probe handler for {}", self.describe()))
        };
        match tokio::time::timeout(timeout, limited).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failure(self.timeout_message(probe, timeout)),
        }
    }

    fn timeout_message(&self, probe: &Probe, timeout: Duration) -> String {
        match &probe.http_get {
            Some(action) => match self.url(action) {
                Ok(url) => format!(
                    "Get \"{url}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                ),
                Err(error) => error,
            },
            None => format!("timeout: no answer within {}s", timeout.as_secs()),
        }
    }

    /// Runs a command in the container; success is exit code 0.
    pub async fn exec(&self, action: &ExecAction, timeout: Duration) -> Outcome {
        let command = action.command.clone().unwrap_or_default();
        match self
            .runtime
            .exec_sync(self.container_id, command.clone(), timeout)
            .await
        {
            Ok(answer) => {
                let mut output = String::from_utf8_lossy(&answer.stdout).into_owned();
                output.push_str(&String::from_utf8_lossy(&answer.stderr));
                let output = shorten(output);
                if answer.exit_code == 0 {
                    Outcome::Success(output)
                } else {
                    Outcome::Failure(output)
                }
            }
            Err(error) if error.code == tonic::Code::DeadlineExceeded => Outcome::Failure(format!(
                "command timed out: \"{}\" timed out after {}s",
                command.join(" "),
                timeout.as_secs()
            )),
            // The runtime may just be restarting.
            Err(error) => Outcome::Unknown(error.to_string()),
        }
    }

    /// The exit code and output of a hook's command.
    pub async fn exec_hook(&self, action: &ExecAction) -> Result<(), String> {
        let command = action.command.clone().unwrap_or_default();
        let answer = self
            .runtime
            .exec_sync(self.container_id, command.clone(), Duration::ZERO)
            .await
            .map_err(|error| error.to_string())?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        let mut output = String::from_utf8_lossy(&answer.stdout).into_owned();
        output.push_str(&String::from_utf8_lossy(&answer.stderr));
        let output = shorten(output);
        Err(format!(
            "command '{}' exited with {}: {output}",
            command.join(" "),
            answer.exit_code
        ))
    }

    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        match port {
            IntOrString::Int(number) => u16::try_from(*number).map_err(|_| format!("invalid port {number}")),
            IntOrString::String(name) => {
                if let Ok(number) = name.parse() {
                    return Ok(number);
                }
                let found = self
                    .container
                    .ports
                    .iter()
                    .flatten()
                    .find(|port| port.name.as_deref() == Some(name));
                let port = found.ok_or_else(|| {
                    format!("couldn't find port: {name} in container {}", self.container.name)
                })?;
                u16::try_from(port.container_port)
                    .map_err(|_| format!("invalid port {}", port.container_port))
            }
        }
    }

    fn host(&self, host: Option<&String>) -> String {
        let host = host
            .filter(|host| !host.is_empty())
            .map_or(self.pod_ip, String::as_str);
        if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        }
    }

    fn url(&self, action: &HTTPGetAction) -> Result<String, String> {
        let scheme = action.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let path = action.path.as_deref().unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(format!(
            "{scheme}://{}:{}{slash}{path}",
            self.host(action.host.as_ref()),
            self.port(&action.port)?
        ))
    }

    /// Asks over HTTP; 200 to 399 is success.
    pub async fn http_get(&self, action: &HTTPGetAction, agent: &'static str) -> Outcome {
        match self.url(action) {
            Ok(url) => http_get::get(&url, action.http_headers.as_deref().unwrap_or_default(), agent).await,
            Err(error) => Outcome::Unknown(error),
        }
    }

    async fn tcp(&self, action: &TCPSocketAction) -> Outcome {
        let address = match self.port(&action.port) {
            Ok(port) => format!("{}:{port}", self.host(action.host.as_ref())),
            Err(error) => return Outcome::Unknown(error),
        };
        match tokio::net::TcpStream::connect(&address).await {
            Ok(_) => Outcome::Success(String::new()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Outcome::Failure(format!("dial tcp {address}: connect: connection refused"))
            }
            Err(error) => Outcome::Failure(format!("dial tcp {address}: connect: {error}")),
        }
    }

    /// The name and namespace of what this is about, for logs.
    pub fn describe(&self) -> String {
        format!("{} container {}", self.pod.full_name(), self.container.name)
    }
}

/// Output goes into events, which are short.
fn shorten(mut text: String) -> String {
    const LIMIT: usize = 10 << 10;
    if text.len() > LIMIT {
        let cut = (0..=LIMIT)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(cut);
    }
    text
}
