//! The administrator's side of the Kubernetes API: readiness, objects, nodes.

mod apply;
mod endpoint;
mod node;
mod refused;
mod streams;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use pki::Issued;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

pub use apply::{Applied, documents};
pub use node::{is_ready, label_patch};
pub use refused::{Refused, is_status};

use crate::ssh::{Forward, Target};
use refused::is_busy;

/// A server that is up accepts at once; one that is out of reach is reached through SSH.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A server that is busy for longer is told of.
const BUSY: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);

/// One API server, reached with the break-glass certificate: RBAC may not be there yet.
pub struct Api {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    endpoint: String,
    forward: Option<Forward>,
}

impl Api {
    /// The API server on a host, directly or, where that is not possible, through SSH.
    pub fn connect(target: &Target, port: u16, authority: &str, identity: &Issued) -> anyhow::Result<Api> {
        let direct = target
            .host
            .parse::<IpAddr>()
            .ok()
            .map(|address| SocketAddr::new(address, port));
        let reachable = direct.filter(|address| {
            target.settings.bastion.is_none() && TcpStream::connect_timeout(address, DIRECT_TIMEOUT).is_ok()
        });
        match reachable {
            Some(address) => Api::at(address, authority, identity, None),
            None => {
                let forward = Forward::open(target.clone(), port)?;
                Api::at(forward.address, authority, identity, Some(forward))
            }
        }
    }

    /// The server at an address.
    pub fn direct(address: SocketAddr, authority: &str, identity: &Issued) -> anyhow::Result<Api> {
        Api::at(address, authority, identity, None)
    }

    /// Any HTTPS server whose certificate one of `authority` (PEM) has signed.
    fn at(
        address: SocketAddr,
        authority: &str,
        identity: &Issued,
        forward: Option<Forward>,
    ) -> anyhow::Result<Api> {
        let named = forward.as_ref().map(|forward| forward.to.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let authorities = ders(authority).context("the authorities' certificates cannot be read")?;
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let uri = format!("https://{address}")
            .parse()
            .context("the API server's address is not a URL")?;
        let mut config = kube::Config::new(uri);
        config.root_cert = Some(authorities);
        config.connect_timeout = Some(Duration::from_secs(3));
        config.read_timeout = Some(Duration::from_secs(30));
        // The client would ask again for half a minute also when the answer is that a disruption budget says no.
        config.default_retry = false;
        config.auth_info.client_certificate_data = Some(base64(&identity.certificate));
        config.auth_info.client_key_data = Some(base64(identity.key.pem()).into());
        let client = {
            let _entered = runtime.enter();
            kube::Client::try_from(config).context("cannot set up the API client")?
        };
        Ok(Api {
            runtime,
            client,
            endpoint: named.unwrap_or_else(|| address.to_string()),
            forward,
        })
    }

    /// Asks again while the server is too busy to say anything.
    fn send(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let deadline = Instant::now() + BUSY;
        loop {
            let answer = self.send_once(method.clone(), path, content_type, body.clone());
            match &answer {
                Err(error) if is_busy(error) && Instant::now() < deadline => std::thread::sleep(PAUSE),
                _ => return answer,
            }
        }
    }

    fn send_once(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Vec<u8>> {
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("content-type", content_type)
            .header("accept", "application/json")
            .body(kube::client::Body::from(body))
            .context("cannot build the request")?;
        self.runtime.block_on(async {
            let exchange = async {
                let response = self
                    .client
                    .send(request)
                    .await
                    .map_err(|error| self.unanswered(error, &format!("{method} {path}")))?;
                let status = response.status();
                let body = response
                    .into_body()
                    .collect_bytes()
                    .await
                    .with_context(|| format!("{method} https://{}{path} broke off", self.endpoint))?
                    .to_vec();
                if status.is_success() {
                    return Ok(body);
                }
                Err(Refused::read(method.clone(), path, status, &body).into())
            };
            tokio::time::timeout(Duration::from_secs(30), exchange)
                .await
                .unwrap_or_else(|_| {
                    Err(anyhow::anyhow!(
                        "{method} https://{}{path} took too long",
                        self.endpoint
                    ))
                })
        })
    }

    /// Says which way did not work: through SSH it is mostly SSH that failed.
    fn unanswered(&self, error: kube::Error, request: &str) -> anyhow::Error {
        match self.forward.as_ref().and_then(Forward::failure) {
            Some(reason) => anyhow::anyhow!("{}: {request} through SSH: {reason}", self.endpoint),
            None => anyhow::Error::new(error).context(format!("{}: {request} failed", self.endpoint)),
        }
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let body = self.send(Method::GET, path, "application/json", Vec::new())?;
        serde_json::from_slice(&body).with_context(|| format!("GET {path} was not answered with JSON"))
    }

    /// An answer that need not be JSON.
    pub fn raw(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.send(Method::GET, path, "application/json", Vec::new())
    }

    /// Creates, or calls an action; what the server answers, null when it is not JSON.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.send(Method::POST, path, "application/json", serde_json::to_vec(body)?)?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    /// Posts, and gives each part of a long answer to `sink` as it comes; silence of a minute is an error.
    pub fn stream(
        &self,
        path: &str,
        body: &Value,
        sink: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "application/json")
            .body(kube::client::Body::from(serde_json::to_vec(body)?))
            .context("cannot build the request")?;
        let failed = || format!("POST https://{}{path} failed", self.endpoint);
        self.runtime.block_on(async {
            let silence = Duration::from_secs(60);
            let response = tokio::time::timeout(silence, self.client.send(request))
                .await
                .with_context(failed)?
                .with_context(failed)?;
            anyhow::ensure!(
                response.status().is_success(),
                "{}: {}",
                failed(),
                response.status()
            );
            let mut body = response.into_body();
            while let Some(frame) = tokio::time::timeout(silence, body.frame())
                .await
                .with_context(failed)?
            {
                if let Some(data) = frame.with_context(failed)?.data_ref() {
                    sink(data)?;
                }
            }
            Ok(())
        })
    }

    pub fn put(&self, path: &str, object: &Value) -> anyhow::Result<()> {
        self.send(Method::PUT, path, "application/json", serde_json::to_vec(object)?)?;
        Ok(())
    }

    /// Deletes an object; one that is gone already is no error.
    pub fn delete(&self, path: &str) -> anyhow::Result<()> {
        match self.send(Method::DELETE, path, "application/json", Vec::new()) {
            Err(error) if !is_status(&error, StatusCode::NOT_FOUND) => Err(error),
            _ => Ok(()),
        }
    }

    /// Waits until the server calls itself ready.
    pub fn wait_ready(&self, deadline: Instant) -> anyhow::Result<()> {
        self.wait("the API server is ready", deadline, || {
            self.send(Method::GET, "/readyz", "application/json", Vec::new())
                .map(|_| Some(()))
        })
    }

    /// See [`wait`].
    pub fn wait<T>(
        &self,
        what: &str,
        deadline: Instant,
        ask: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        wait(what, deadline, ask)
    }

    pub fn patch(&self, path: &str, patch: &Value) -> anyhow::Result<()> {
        self.send(
            Method::PATCH,
            path,
            "application/merge-patch+json",
            serde_json::to_vec(patch)?,
        )?;
        Ok(())
    }
}

/// Asks until there is an answer; the last error is told when the deadline passes.
pub fn wait<T>(
    what: &str,
    deadline: Instant,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    loop {
        let last = match ask() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let error = last.unwrap_or_else(|| anyhow::anyhow!("not so far"));
            return Err(error.context(format!("waiting until {what} took too long")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// All certificates of a PEM text.
fn ders(pem: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|der| der.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()?;
    anyhow::ensure!(!found.is_empty(), "there is none");
    Ok(found)
}
