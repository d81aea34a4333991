//! Reading documents from an issuer.

use crate::connect::egress::{Egress, Proxy, Way};
use crate::connect::proxies::Proxies;
use crate::webhook::{Callee, Connector, Credentials, Dialer, TrustError, client_config, root_cause};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, HOST, LOCATION};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use url::Url;

/// Longest document that is taken.
const LONGEST: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(60);
/// As Go's client.
const MOST_REDIRECTS: usize = 10;

type Pool = Client<Connector, Empty<Bytes>>;

/// A client that believes certain authorities.
pub struct Fetcher {
    usual: Pool,
    /// By the environment's proxy for https; the way of an egress selection goes before it.
    proxied: Option<Pool>,
    proxies: Proxies,
    way: Way,
}

fn pool(tls: &Arc<ClientConfig>, way: Way) -> Pool {
    let dialer = Dialer {
        tls: Some(Arc::clone(tls)),
        resolver: None,
        server_name: None,
        service: None,
        egress: Egress {
            control_plane: way,
            ..Egress::default()
        },
        callee: Callee::Other,
    };
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(Connector {
            dialer: Arc::new(dialer),
            services: false,
        })
}

impl Fetcher {
    /// `bundle` is PEM; the system's authorities if empty.
    pub fn new(bundle: &[u8], way: Way) -> Result<Self, TrustError> {
        let proxies = match way {
            Way::Direct => Proxies::from_environment(),
            Way::Proxy(_) => Proxies::default(),
        };
        Self::by(bundle, way, proxies)
    }

    fn by(bundle: &[u8], way: Way, proxies: Proxies) -> Result<Self, TrustError> {
        let tls = Arc::new(client_config(bundle, &Credentials::default())?);
        let proxied = proxies
            .https()
            .map(|proxy| pool(&tls, Way::Proxy(Arc::clone(proxy))));
        Ok(Self {
            usual: pool(&tls, way.clone()),
            proxied,
            proxies,
            way,
        })
    }

    /// A document, and how long it may be kept.
    pub async fn get(&self, url: &str) -> Result<(Bytes, Option<Duration>), String> {
        self.get_with(url, None).await
    }

    /// The same for somebody who has a token.
    pub async fn get_with(
        &self,
        url: &str,
        token: Option<&str>,
    ) -> Result<(Bytes, Option<Duration>), String> {
        let failed = |why: String| format!("Get {url:?}: {why}");
        let exchange = async {
            let response = self.follow(url, token).await.map_err(failed)?;
            let status = response.status();
            if !status.is_success() {
                return Err(failed(format!("{status}")));
            }
            let good_for = response
                .headers()
                .get(CACHE_CONTROL)
                .and_then(|value| value.to_str().ok())
                .and_then(max_age);
            let body = Limited::new(response.into_body(), LONGEST)
                .collect()
                .await
                .map_err(|error| failed(error.to_string()))?;
            Ok((body.to_bytes(), good_for))
        };
        tokio::time::timeout(TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(failed("context deadline exceeded".to_owned())))
    }

    /// The answer at the end of all redirects.
    async fn follow(&self, url: &str, token: Option<&str>) -> Result<Response<Incoming>, String> {
        let first = Url::parse(url).map_err(|error| error.to_string())?;
        let mut at = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let token = token.filter(|_| is_shown_tokens(&first, &at));
            let response = self.send(&at, token).await?;
            let target = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
                .then(|| response.headers().get(LOCATION));
            let Some(target) = target.flatten() else {
                return Ok(response);
            };
            let target = target.to_str().map_err(|error| error.to_string())?;
            at = at
                .join(target)
                .map_err(|error| format!("failed to parse Location header {target:?}: {error}"))?;
        }
        Err(format!("stopped after {MOST_REDIRECTS} redirects"))
    }

    async fn send(&self, url: &Url, token: Option<&str>) -> Result<Response<Incoming>, String> {
        let request = |target: &str| {
            let mut request = Request::get(target).header(ACCEPT, "application/json");
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            request
        };
        let proxy = self.proxies.to(url);
        match url.scheme() {
            "https" => {
                let pool = proxy.and(self.proxied.as_ref()).unwrap_or(&self.usual);
                let request = request(url.as_str()).body(Empty::new());
                let request = request.map_err(|error| error.to_string())?;
                pool.request(request).await.map_err(|error| root_cause(&error))
            }
            "http" => {
                tracing::warn!(%url, "an issuer's document is read without TLS");
                let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
                let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
                let request = request(target).header(HOST, authority).body(Empty::new());
                let request = request.map_err(|error| error.to_string())?;
                self.send_plainly(url, proxy, request).await
            }
            other => Err(format!("unsupported protocol scheme {other:?}")),
        }
    }

    async fn send_plainly(
        &self,
        url: &Url,
        proxy: Option<&Arc<Proxy>>,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let host = url.host_str().ok_or("no Host in request URL")?;
        let port = url.port_or_known_default().unwrap_or(80);
        let address = format!("{host}:{port}");
        let proxy = match &self.way {
            Way::Proxy(proxy) => Some(proxy),
            Way::Direct => proxy,
        };
        let stream = match proxy {
            Some(proxy) => proxy.dial(&address).await,
            None => TcpStream::connect(&address).await.map(|tcp| Box::new(tcp) as _),
        };
        let stream =
            stream.map_err(|error| format!("dial tcp {address}: {}", crate::webhook::go_text(&error)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| root_cause(&error))?;
        // Ends with the answer, or when this is given up and both ends are dropped.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| root_cause(&error))
    }
}

/// Whether who is redirected to a URL is trusted with the token for the first.
fn is_shown_tokens(first: &Url, at: &Url) -> bool {
    let downgraded = first.scheme() == "https" && at.scheme() != "https";
    first.host_str() == at.host_str() && !downgraded
}

/// `max-age` of a Cache-Control header.
fn max_age(header: &str) -> Option<Duration> {
    header
        .split(',')
        .find_map(|part| part.trim().strip_prefix("max-age="))
        .and_then(|seconds| seconds.parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::cluster_pki::ClusterPki;
    use testkit::webhook::{Answer, WebhookServer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn how_long_a_document_is_good_for() {
        for (header, expected) in [
            ("public, max-age=300", Some(300)),
            ("no-store", None),
            ("max-age=x", None),
        ] {
            assert_eq!(max_age(header).map(|age| age.as_secs()), expected, "{header}");
        }
    }

    #[test]
    fn tokens_stay_with_whom_they_are_for() {
        for (first, at, expected) in [
            ("https://a/x", "https://a/y", true),
            ("https://a/x", "https://b/x", false),
            ("https://a/x", "http://a/x", false),
            ("http://a/x", "https://a/x", true),
        ] {
            let found = is_shown_tokens(&Url::parse(first).unwrap(), &Url::parse(at).unwrap());
            assert_eq!(found, expected, "{first} {at}");
        }
    }

    /// A server that answers `/a/N` with a redirect to N - 1, and `/a/0` with its path.
    async fn server() -> (tempfile::TempDir, WebhookServer, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let pki = ClusterPki::write(folder.path()).unwrap();
        let server = WebhookServer::start(&pki, &["issuer.example.com"], |seen| {
            let left: usize = seen.path.strip_prefix("/a/").unwrap().parse().unwrap();
            match left.checked_sub(1) {
                None => Answer::ok(seen.authorization.clone().into()),
                Some(next) => Answer {
                    code: 302,
                    location: Some(format!("/a/{next}")),
                    ..Answer::ok(serde_json::Value::Null)
                },
            }
        })
        .await
        .unwrap();
        let bundle = std::fs::read(pki.file("ca.crt")).unwrap();
        (folder, server, bundle)
    }

    #[tokio::test]
    async fn redirects_are_followed() {
        let (_folder, server, bundle) = server().await;
        let fetcher = Fetcher::by(&bundle, Way::Direct, Proxies::default()).unwrap();
        for (path, expected) in [
            ("/a/0", Ok("\"Bearer t\"")),
            ("/a/10", Ok("\"Bearer t\"")),
            ("/a/11", Err("stopped after 10 redirects")),
        ] {
            let outcome = fetcher.get_with(&server.url(path), Some("t")).await;
            match (outcome, expected) {
                (Ok((body, _)), Ok(text)) => assert_eq!(body, text),
                (Err(why), Err(part)) => assert!(why.ends_with(part), "{why}"),
                (outcome, _) => panic!("{path}: {outcome:?}"),
            }
        }
    }

    #[tokio::test]
    async fn the_environments_proxy_leads_to_issuers() {
        let (_folder, server, bundle) = server().await;
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let variable = format!("http://joe:pass%20word@{}", proxy.local_addr().unwrap());
        let port = server.port();
        let relay = tokio::spawn(async move {
            let (mut near, _) = proxy.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(near.read_u8().await.unwrap());
            }
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let carried =
                tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
            (String::from_utf8(head).unwrap(), carried)
        });
        let proxies = Proxies::of(|name| (name == "HTTPS_PROXY").then(|| variable.clone()));
        let fetcher = Fetcher::by(&bundle, Way::Direct, proxies).unwrap();
        fetcher.get("https://issuer.example.com/a/1").await.unwrap();
        let (head, carried) = relay.await.unwrap();
        assert!(
            head.starts_with("CONNECT issuer.example.com:443 HTTP/1.1\r\n"),
            "{head}"
        );
        // joe:pass word
        assert!(
            head.contains("\r\nProxy-Authorization: Basic am9lOnBhc3Mgd29yZA==\r\n"),
            "{head}"
        );
        carried.abort();
    }

    #[tokio::test]
    async fn documents_may_lie_at_plain_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let text = "HTTP/1.1 200 OK\r\nCache-Control: max-age=7\r\nContent-Length: 2\r\n\r\n{}";
            stream.write_all(text.as_bytes()).await.unwrap();
            String::from_utf8(head).unwrap()
        });
        let fetcher = Fetcher::by(b"", Way::Direct, Proxies::default()).unwrap();
        let (body, good_for) = fetcher.get(&format!("http://{address}/keys?a=b")).await.unwrap();
        assert_eq!((&body[..], good_for), (&b"{}"[..], Some(Duration::from_secs(7))));
        let head = answer.await.unwrap().to_lowercase();
        assert!(head.starts_with("get /keys?a=b http/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
        let told = fetcher.get("file:///etc/passwd").await.unwrap_err();
        assert!(told.ends_with("unsupported protocol scheme \"file\""), "{told}");
    }
}
