//! An API server on a free port over a real etcd, killed on drop.

use crate::cluster_pki::ClusterPki;
use crate::etcd::Etcd;
use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const START: Duration = Duration::from_secs(60);

/// A running API server with its certificates.
pub struct ApiServer {
    directory: Arc<tempfile::TempDir>,
    pki: Arc<ClusterPki>,
    /// The name of the host that it takes itself to be on; this one's unless given.
    host: Option<String>,
    port: u16,
    process: Option<Child>,
    ready_after: Option<Duration>,
}

/// Where an API server keeps its objects.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    Etcd(&'a Etcd),
    /// Its own files in a directory.
    Directory(&'a Path),
}

impl<'a> From<&'a Etcd> for Store<'a> {
    fn from(etcd: &'a Etcd) -> Self {
        Self::Etcd(etcd)
    }
}

impl Store<'_> {
    fn arguments(&self) -> Vec<String> {
        let etcd = match self {
            Self::Directory(directory) => {
                return vec![format!("--storage-directory={}", directory.display())];
            }
            Self::Etcd(etcd) => etcd,
        };
        let mut arguments = vec![format!("--etcd-servers={}", etcd.endpoints().join(","))];
        if let Some(pki) = etcd.pki() {
            for (flag, file) in [
                ("cafile", "ca.crt"),
                ("certfile", "client.crt"),
                ("keyfile", "client.key"),
            ] {
                arguments.push(format!("--etcd-{flag}={}", pki.file(file).display()));
            }
        }
        arguments
    }
}

impl ApiServer {
    /// Starts `binary` with upstream's flags and `extra` ones, and waits until it is ready.
    ///
    /// Tests of the crate kube-apiserver pass `env!("CARGO_BIN_EXE_kube-apiserver")`, others [`binary`].
    pub async fn start<'a>(binary: &Path, store: impl Into<Store<'a>>, extra: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir().context("directory for the API server")?;
        let pki = ClusterPki::write(directory.path())?;
        Self::start_in(
            Arc::new(directory),
            Arc::new(pki),
            None,
            binary,
            store.into(),
            extra,
        )
        .await
    }

    /// Starts one more server of the same cluster, with the same certificates, on a host of that name. Needs root.
    pub async fn start_on<'a>(
        &self,
        host: &str,
        binary: &Path,
        store: impl Into<Store<'a>>,
        extra: &[&str],
    ) -> Result<Self> {
        let (directory, pki) = (Arc::clone(&self.directory), Arc::clone(&self.pki));
        Self::start_in(directory, pki, Some(host), binary, store.into(), extra).await
    }

    async fn start_in(
        directory: Arc<tempfile::TempDir>,
        pki: Arc<ClusterPki>,
        host: Option<&str>,
        binary: &Path,
        store: Store<'_>,
        extra: &[&str],
    ) -> Result<Self> {
        crypto();
        let mut last = None;
        // A port found free may be taken before it is bound.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .and_then(|listener| listener.local_addr())
                .context("free port")?
                .port();
            let mut server = Self {
                directory: Arc::clone(&directory),
                pki: Arc::clone(&pki),
                host: host.map(str::to_owned),
                port,
                process: None,
                ready_after: None,
            };
            let started = Instant::now();
            server.spawn(binary, store, extra)?;
            match server.wait_ready().await {
                Ok(()) => {
                    server.ready_after = Some(started.elapsed());
                    return Ok(server);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no attempt to start the API server")?)
    }

    fn spawn(&mut self, binary: &Path, store: Store<'_>, extra: &[&str]) -> Result<()> {
        let log = std::fs::File::create(self.log_file()).context("log of the API server")?;
        let file = |name: &str| self.pki.file(name).display().to_string();
        let mut command = match &self.host {
            None => Command::new(binary),
            Some(host) => {
                let mut command = Command::new("unshare");
                // The shell becomes the server, so that the process id is the server's.
                let script = "echo \"$0\" > /proc/sys/kernel/hostname && exec \"$@\"";
                command.args(["--uts", "sh", "-c", script, host]).arg(binary);
                command
            }
        };
        command
            .args(store.arguments())
            .args(["--bind-address=127.0.0.1", "--advertise-address=192.0.2.2"])
            .arg(format!("--secure-port={}", self.port))
            .arg(format!("--client-ca-file={}", file("ca.crt")))
            .arg(format!("--tls-cert-file={}", file("apiserver.crt")))
            .arg(format!("--tls-private-key-file={}", file("apiserver.key")))
            .arg(format!(
                "--kubelet-client-certificate={}",
                file("kubelet-client.crt")
            ))
            .arg(format!("--kubelet-client-key={}", file("kubelet-client.key")))
            .args(["--service-account-issuer=https://kubernetes.default.svc"])
            .args([
                "--enable-admission-plugins=NodeRestriction",
                "--allow-privileged=true",
                "--enable-bootstrap-token-auth",
            ])
            .arg(format!("--proxy-client-cert-file={}", file("front-proxy.crt")))
            .arg(format!("--proxy-client-key-file={}", file("front-proxy.key")))
            .arg(format!("--requestheader-client-ca-file={}", file("ca.crt")))
            .args([
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
            ])
            .args([
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            ]);
        let range = "--service-cluster-ip-range";
        if !extra.iter().any(|flag| flag.starts_with(range)) {
            command.arg(format!("{range}=10.32.0.0/24"));
        }
        // Keys in files and a service that has them exclude each other.
        if !extra
            .iter()
            .any(|flag| flag.starts_with("--service-account-signing-endpoint"))
        {
            command
                .arg(format!("--service-account-key-file={}", file("sa.pub")))
                .arg(format!("--service-account-signing-key-file={}", file("sa.key")));
        }
        // A chain from a file and one from flags exclude each other.
        if !extra
            .iter()
            .any(|flag| flag.starts_with("--authorization-config"))
        {
            command.arg("--authorization-mode=Node,RBAC");
        }
        let errors = log.try_clone().context("log of the API server")?;
        let process = command
            .args(extra)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        self.process = Some(process.with_context(|| format!("starting {}", binary.display()))?);
        Ok(())
    }

    async fn wait_ready(&mut self) -> Result<()> {
        let client = self.admin().await?;
        let deadline = Instant::now() + START;
        let mut last = String::from("nothing");
        while Instant::now() < deadline {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait().context("state of the API server")?
            {
                bail!("the API server ended with {status}: {}", self.log());
            }
            let request = http_get("/readyz")?;
            match tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await {
                Ok(Ok(text)) if text == "ok" => return Ok(()),
                Ok(Ok(text)) => last = text,
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!(
            "the API server was not ready in time; last: {last}; log: {}",
            self.log()
        )
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its certificates and keys.
    pub fn pki(&self) -> &ClusterPki {
        &self.pki
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// From the start of the process until it said that it is ready.
    pub fn ready_after(&self) -> Option<Duration> {
        self.ready_after
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join(format!("apiserver-{}.log", self.port))
    }

    /// A kubeconfig of a user in groups; its file lives as long as the server.
    pub fn kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let name: String = user
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        // Servers of one cluster share a folder.
        let name = match &self.host {
            None => name,
            Some(host) => format!("{name}-{host}"),
        };
        self.pki.leaf(&name, user, groups)?;
        let file = self.pki.file(&format!("{name}.kubeconfig"));
        let document = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": { "server": self.url(), "certificate-authority": self.pki.file("ca.crt") } }],
            "users": [{ "name": "user", "user": {
                "client-certificate": self.pki.file(&format!("{name}.crt")),
                "client-key": self.pki.file(&format!("{name}.key")),
            }}],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "user" } }],
            "current-context": "test",
        });
        std::fs::write(&file, document.to_string()).context("write kubeconfig")?;
        Ok(file)
    }

    /// A client that may do everything.
    pub async fn admin(&self) -> Result<kube::Client> {
        self.client("admin", &["system:masters"]).await
    }

    /// A client with a certificate of that user and groups; it shows failures instead of trying again.
    pub async fn client(&self, user: &str, groups: &[&str]) -> Result<kube::Client> {
        crypto();
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig(user, groups)?).context("kubeconfig")?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("kubeconfig")?;
        config.default_retry = false;
        kube::Client::try_from(config).context("client")
    }

    /// A client of the administrator that connects to another port, such as that of a relay.
    pub async fn admin_at(&self, port: u16) -> Result<kube::Client> {
        crypto();
        let kubeconfig =
            Kubeconfig::read_from(self.kubeconfig("admin", &["system:masters"])?).context("kubeconfig")?;
        let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("kubeconfig")?;
        config.default_retry = false;
        config.cluster_url = format!("https://127.0.0.1:{port}").parse().context("url")?;
        kube::Client::try_from(config).context("client")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself; either way it is gone after the wait.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again on its port, as [`ApiServer::start`] did, and waits until it is ready.
    pub async fn restart<'a>(
        &mut self,
        binary: &Path,
        store: impl Into<Store<'a>>,
        extra: &[&str],
    ) -> Result<()> {
        self.kill();
        self.spawn(binary, store.into(), extra)?;
        self.wait_ready().await
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self, within: Duration) -> Result<()> {
        let Some(mut process) = self.process.take() else {
            return Ok(());
        };
        Command::new("kill")
            .arg(process.id().to_string())
            .status()
            .context("kill")?;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if process.try_wait().context("state of the API server")?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
        bail!("the API server did not end within {within:?}: {}", self.log())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The API server that tests of other crates use: `KUBE_APISERVER`, or the one built beside the test.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("KUBE_APISERVER") {
        return Ok(path.into());
    }
    let test = std::env::current_exe().context("path of the test")?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("folder of the test")?;
    let built = folder.join("kube-apiserver");
    if !built.exists() {
        bail!(
            "{} is missing; build kube-apiserver first, or set KUBE_APISERVER",
            built.display()
        );
    }
    Ok(built)
}

/// The crypto library of this process; a second call finds it set.
fn crypto() {
    let _ = client_crypto();
}

/// In all groups that a server may be told to keep to.
fn client_crypto() -> Result<(), ()> {
    let provider = daemon::tls::Agreement::default().provider().map_err(|_| ())?;
    provider.install_default().map_err(|_| ())
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).context("request")
}
