//! What the listener's flags say: certificates by name, headers for browsers, protocols, and what of the API is served.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use testkit::api_server::ApiServer;
use testkit::cluster_pki::ClusterPki;
use testkit::etcd::Etcd;

const BINARY: &str = env!("CARGO_BIN_EXE_kube-apiserver");

fn certificates(file: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(file)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// The certificate that a client is shown, and the protocol that it is given.
async fn handshake(
    server: &ApiServer,
    roots: &[&ClusterPki],
    address: &str,
    name: &str,
) -> (CertificateDer<'static>, String) {
    let mut store = rustls::RootCertStore::empty();
    for root in roots.iter().flat_map(|pki| certificates(&pki.file("ca.crt"))) {
        store.add(root).unwrap();
    }
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(store)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tcp = tokio::net::TcpStream::connect((address, server.port()))
        .await
        .unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
        .connect(name, tcp)
        .await
        .unwrap();
    let (_, connection) = stream.get_ref();
    let protocol = connection.alpn_protocol().unwrap_or_default().to_vec();
    (
        connection.peer_certificates().unwrap()[0].clone(),
        String::from_utf8(protocol).unwrap(),
    )
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_that_it_asks_for() {
    let etcd = Etcd::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let other = ClusterPki::write(folder.path()).unwrap();
    other
        .serving("public", &["api.example.com", "x.wild.example.com"])
        .unwrap();
    let file = |kind: &str| other.file(&format!("public.{kind}")).display().to_string();
    let names = "api.example.com,*.wild.example.com,127.0.0.2";
    let flags = [
        format!("--tls-sni-cert-key={},{}:{names}", file("crt"), file("key")),
        "--bind-address=0.0.0.0".to_owned(),
        "--disable-http2-serving".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let usual = certificates(&server.pki().file("apiserver.crt")).remove(0);
    let public = certificates(&other.file("public.crt")).remove(0);
    let roots = [server.pki(), &other];
    for (address, name, expected) in [
        ("127.0.0.1", "kubernetes.default.svc", &usual),
        ("127.0.0.1", "api.example.com", &public),
        ("127.0.0.1", "x.wild.example.com", &public),
        // Who asks for no name is known by the address alone.
        ("127.0.0.1", "127.0.0.1", &usual),
        ("127.0.0.2", "127.0.0.1", &public),
    ] {
        let (shown, protocol) = handshake(&server, &roots, address, name).await;
        assert!(shown == *expected, "{address} {name}");
        assert_eq!(protocol, "http/1.1", "{address} {name}");
    }
}

#[tokio::test]
async fn browsers_are_told_whose_scripts_may_use_the_api_and_to_stay_with_tls() {
    let etcd = Etcd::start().await.unwrap();
    let flags = [
        "--cors-allowed-origins=^https://example\\.com(:|$)",
        "--strict-transport-security-directives=max-age=31536000,includeSubDomains",
    ];
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let admin = server.admin().await.unwrap();
    for (method, origin, code, allowed) in [
        ("OPTIONS", Some("https://example.com"), 204, true),
        ("OPTIONS", Some("https://example.com.evil.org"), 405, false),
        ("GET", Some("https://example.com:8443"), 200, true),
        ("GET", Some("https://evil.org"), 200, false),
        ("GET", None, 200, false),
    ] {
        let mut request = http::Request::builder().method(method).uri("/version");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let request = request.body(kube::client::Body::empty()).unwrap();
        let answer = admin.send(request).await.unwrap();
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let expected = origin.filter(|_| allowed).map(str::to_owned);
        assert_eq!(
            header("access-control-allow-origin"),
            expected,
            "{method} {origin:?}"
        );
        assert_eq!(header("access-control-allow-credentials").is_some(), allowed);
        assert_eq!(
            header("strict-transport-security").as_deref(),
            Some("max-age=31536000; includeSubDomains")
        );
        assert_eq!(header("cache-control").as_deref(), Some("no-cache, private"));
        assert_eq!(answer.status().as_u16(), code, "{method} {origin:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_code() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    for (path, accept, code) in [
        ("/%zz", "*/*", 400),
        (&format!("{maps}?resourceVersion=9223372036854775808"), "*/*", 504),
        (
            &format!("{maps}?resourceVersion=18446744073709551616"),
            "*/*",
            400,
        ),
        (&format!("{maps}?limit=1&continue=e30="), "*/*", 400),
        (maps, "application/json", 200),
        (maps, "APPLICATION/JSON", 406),
        (&format!("{maps}?watch=1"), "application/yaml", 406),
    ] {
        let request = http::Request::get(path).header("accept", accept);
        let request = request.body(kube::client::Body::empty()).unwrap();
        let answer = admin.send(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path} {accept}");
    }
    let request = http::Request::patch(format!("{maps}/m?force="))
        .header("content-type", "application/merge-patch+json");
    let request = request.body(kube::client::Body::from(b"{}".to_vec())).unwrap();
    assert_eq!(admin.send(request).await.unwrap().status().as_u16(), 422);
}

#[tokio::test]
async fn what_runtime_config_turns_off_is_not_there() {
    let etcd = Etcd::start().await.unwrap();
    let flags = ["--runtime-config=batch/v1/cronjobs=false,node.k8s.io/v1=false"];
    let server = ApiServer::start(Path::new(BINARY), &etcd, &flags).await.unwrap();
    let admin = server.admin().await.unwrap();
    for (path, there) in [
        ("/apis/batch/v1/namespaces/default/jobs", true),
        ("/apis/batch/v1/namespaces/default/cronjobs", false),
        ("/apis/node.k8s.io/v1", false),
        ("/apis/node.k8s.io/v1/runtimeclasses", false),
        ("/openapi/v3/apis/node.k8s.io/v1", false),
    ] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let answer = admin.request_text(request).await;
        assert_eq!(answer.is_ok(), there, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_document_may_be_kept_under_its_hash_and_another_hash_leads_to_it() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let admin = server.admin().await.unwrap();
    let get = |path: &str| http::Request::get(path).body(Vec::new()).unwrap();
    let index: serde_json::Value = admin.request(get("/openapi/v3")).await.unwrap();
    let address = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap();
    for (path, code, cached) in [
        ("/openapi/v3/apis/apps/v1", 200, "no-cache, private"),
        (address, 200, "public, immutable"),
        ("/openapi/v3/apis/apps/v1?hash=00", 301, "no-cache, private"),
    ] {
        let request = http::Request::get(path)
            .body(kube::client::Body::empty())
            .unwrap();
        let answer = admin.send(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), code, "{path}");
        assert_eq!(answer.headers()["cache-control"], cached, "{path}");
        assert_eq!(
            answer.headers().contains_key("expires"),
            path == address,
            "{path}"
        );
        if code == 301 {
            assert_eq!(answer.headers()["location"], address);
        }
    }
    // The probes that waited for the server are counted.
    let text = admin.request_text(get("/metrics/slis")).await.unwrap();
    assert!(
        text.contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn another_process_listens_on_the_port_only_where_it_may_be_shared() {
    let etcd = Etcd::start().await.unwrap();
    for (flags, shared) in [
        (&[][..], false),
        (&["--permit-port-sharing"][..], true),
        // About addresses that are no longer in use, not about those that are.
        (&["--permit-address-sharing"], false),
    ] {
        let server = ApiServer::start(Path::new(BINARY), &etcd, flags).await.unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
        let address = format!("127.0.0.1:{}", server.port()).parse().unwrap();
        assert_eq!(socket.bind(address).is_ok(), shared, "{flags:?}");
    }
}

/// Whether a client that knows one group only is served.
async fn agrees(server: &ApiServer, group: rustls::NamedGroup) -> bool {
    let mut provider = daemon::tls::Agreement::default().provider().unwrap();
    provider.kx_groups.retain(|known| known.name() == group);
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates(&server.pki().file("ca.crt")) {
        roots.add(root).unwrap();
    }
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
        .await
        .unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    connector.connect(name, tcp).await.is_ok()
}

#[tokio::test]
async fn keys_are_exchanged_in_the_chosen_groups_only() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &["--tls-curve-preferences=29,23"])
        .await
        .unwrap();
    for (group, served) in [
        (rustls::NamedGroup::X25519, true),
        (rustls::NamedGroup::secp256r1, true),
        (rustls::NamedGroup::secp384r1, false),
        (rustls::NamedGroup::X25519MLKEM768, false),
    ] {
        assert_eq!(agrees(&server, group).await, served, "{group:?}");
    }
}

/// `openssl` in a folder with the authority's files.
async fn openssl(folder: &Path, arguments: &str) {
    let done = tokio::process::Command::new("openssl")
        .current_dir(folder)
        .args(arguments.split(' '))
        .output()
        .await
        .unwrap();
    assert!(
        done.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn clients_with_certificates_as_openssl_makes_them_are_known() {
    let etcd = Etcd::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // A key of P-521 on the server's side, for names of its own.
    for line in [
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out named.key",
        "req -x509 -new -key named.key -subj /CN=named -addext subjectAltName=DNS:p521.example -days 30 -out named.crt",
    ] {
        openssl(folder.path(), line).await;
    }
    let pair = format!(
        "--tls-sni-cert-key={},{}",
        at("named.crt").display(),
        at("named.key").display()
    );
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[&pair])
        .await
        .unwrap();
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(server.pki().file(file), at(file)).unwrap();
    }
    std::fs::write(at("any"), "extendedKeyUsage=anyExtendedKeyUsage\n").unwrap();
    std::fs::write(at("authority"), "basicConstraints=critical,CA:TRUE\n").unwrap();
    std::fs::write(at("server"), "extendedKeyUsage=serverAuth\n").unwrap();
    for (user, curve, more, known) in [
        ("version1", "P-256", "", true),
        ("any", "P-384", " -extfile any", true),
        ("authority", "P-256", " -extfile authority", true),
        ("p521", "P-521", "", true),
        ("server", "P-256", " -extfile server", false),
    ] {
        for line in [
            format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out {user}.key"),
            format!("req -new -key {user}.key -subj /CN={user} -out {user}.csr"),
            format!("x509 -req -in {user}.csr -CA ca.crt -CAkey ca.key -days 30 -out {user}.crt{more}"),
        ] {
            openssl(folder.path(), &line).await;
        }
        for (version, host, authority) in [
            ("--tlsv1.3", "localhost", "ca.crt"),
            ("--tls-max=1.2", "p521.example", "named.crt"),
        ] {
            let whoami = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
            let answer = tokio::process::Command::new("curl")
                // Over HTTP/2, curl drops an answer that comes before it has sent the whole body.
                .args(["-sS", "--http1.1", "--cacert"])
                .arg(at(authority))
                .arg("--cert")
                .arg(at(&format!("{user}.crt")))
                .arg("--key")
                .arg(at(&format!("{user}.key")))
                .args(["--resolve", &format!("{host}:{}:127.0.0.1", server.port())])
                .args(version.replace('=', " ").split(' '))
                .args(["-H", "Content-Type: application/json", "-d", whoami])
                .arg(format!(
                    "https://{host}:{}/apis/authentication.k8s.io/v1/selfsubjectreviews",
                    server.port()
                ))
                .output()
                .await
                .unwrap();
            let said = String::from_utf8(answer.stdout).unwrap();
            let failed = String::from_utf8(answer.stderr).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
            if known {
                assert_eq!(
                    answer["status"]["userInfo"]["username"], user,
                    "{host}: {said}{failed}"
                );
            } else {
                assert_eq!(answer["code"], 401, "{host}: {said}{failed}");
            }
        }
    }
}

/// Over HTTP/2 the body of the answer was sent too, which clients take for a broken protocol.
#[tokio::test]
async fn who_asks_for_headers_gets_no_body() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    server.kubeconfig("admin", &["system:masters"]).unwrap();
    let at = |file: &str| server.pki().file(file);
    for version in ["--http1.1", "--http2"] {
        for (path, code, length) in [
            ("/healthz", "200", Some("2")),
            ("/openapi/v3", "200", None),
            ("/metrics", "200", None),
            ("/metrics/", "404", None),
            ("/version", "405", None),
            ("/apis/apps/v1", "405", None),
            ("/api/v1/namespaces/default", "405", None),
        ] {
            let answer = tokio::process::Command::new("curl")
                .args(["-sS", "--head", version, "--cacert"])
                .arg(at("ca.crt"))
                .arg("--cert")
                .arg(at("admin.crt"))
                .arg("--key")
                .arg(at("admin.key"))
                .arg(format!("https://localhost:{}{path}", server.port()))
                .output()
                .await
                .unwrap();
            let (said, failed) = (
                String::from_utf8(answer.stdout).unwrap(),
                String::from_utf8(answer.stderr).unwrap(),
            );
            assert!(answer.status.success(), "{version} {path}: {said}{failed}");
            assert_eq!(said.split(' ').nth(1), Some(code), "{version} {path}: {said}");
            let lengths: Vec<&str> = said
                .lines()
                .filter_map(|line| line.strip_prefix("content-length: "))
                .collect();
            assert_eq!(lengths.len(), 1, "{version} {path}: {said}");
            assert!(
                length.is_none_or(|length| lengths == [length]),
                "{version} {path}: {said}"
            );
            assert!(lengths[0] != "0", "{version} {path}: {said}");
        }
    }
}

/// Takes down by whom a client's certificate should be signed.
#[derive(Debug, Default)]
struct Asked(std::sync::Mutex<Vec<Vec<u8>>>);

impl rustls::client::ResolvesClientCert for Asked {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        *self.0.lock().unwrap() = authorities.iter().map(|name| name.to_vec()).collect();
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Browsers and others with several certificates choose by it.
#[tokio::test]
async fn clients_are_told_by_whom_their_certificates_should_be_signed() {
    let etcd = Etcd::start().await.unwrap();
    let server = ApiServer::start(Path::new(BINARY), &etcd, &[]).await.unwrap();
    let mut store = rustls::RootCertStore::empty();
    let authorities = certificates(&server.pki().file("ca.crt"));
    for root in &authorities {
        store.add(root.clone()).unwrap();
    }
    let subject = subject_of(&authorities[0]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let asked = Arc::new(Asked::default());
        let tls = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(store.clone())
            .with_client_cert_resolver(Arc::clone(&asked) as _);
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(tls))
            .connect(name, tcp)
            .await
            .unwrap();
        assert!(asked.0.lock().unwrap().contains(&subject), "{version:?}");
    }
}

fn subject_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
    certificate.subject().as_raw().to_vec()
}
