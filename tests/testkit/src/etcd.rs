//! Real etcd on free ports: one member or several, plain or with mutual TLS, killed on drop.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::etcd_pki::EtcdPki;

/// A member must answer within this time after it was started.
const START: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct EtcdSpec {
    pub members: usize,
    pub tls: bool,
}

impl Default for EtcdSpec {
    fn default() -> Self {
        EtcdSpec {
            members: 1,
            tls: false,
        }
    }
}

struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

/// A running etcd cluster in a directory of its own.
pub struct Etcd {
    directory: tempfile::TempDir,
    members: Vec<Member>,
    pki: Option<EtcdPki>,
}

impl Etcd {
    /// One member without TLS.
    pub async fn start() -> Result<Etcd> {
        Etcd::start_with(EtcdSpec::default()).await
    }

    /// Starts and waits until every member answers a linearizable read.
    pub async fn start_with(spec: EtcdSpec) -> Result<Etcd> {
        let mut directory = tempfile::tempdir().context("directory for etcd")?;
        let mut pki = match spec.tls {
            true => Some(EtcdPki::write(directory.path())?),
            false => None,
        };
        // A port found free may be taken before etcd binds it, so a failed start is tried again on other ports.
        let mut last = None;
        for _ in 0..5 {
            let mut ports = free_ports(2 * spec.members)?.into_iter();
            let members = (0..spec.members)
                .map_while(|number| {
                    let (client_port, peer_port) = (ports.next()?, ports.next()?);
                    Some(Member {
                        name: format!("m{number}"),
                        client_port,
                        peer_port,
                        process: None,
                    })
                })
                .collect();
            let mut etcd = Etcd {
                directory,
                members,
                pki,
            };
            let started = etcd.start_all().await;
            match started {
                Ok(()) => return Ok(etcd),
                Err(error) => last = Some(error),
            }
            etcd.kill_all();
            for member in &etcd.members {
                let data = etcd.directory.path().join(&member.name);
                if data.exists() {
                    std::fs::remove_dir_all(&data).context("data of a failed start")?;
                }
            }
            (directory, pki) = etcd.into_parts()?;
        }
        Err(last.context("no attempt to start etcd")?)
    }

    fn into_parts(mut self) -> Result<(tempfile::TempDir, Option<EtcdPki>)> {
        let empty = tempfile::tempdir().context("directory for etcd")?;
        Ok((std::mem::replace(&mut self.directory, empty), self.pki.take()))
    }

    async fn start_all(&mut self) -> Result<()> {
        for index in 0..self.members.len() {
            self.spawn(index)?;
        }
        for index in 0..self.members.len() {
            self.wait_ready(index).await?;
        }
        Ok(())
    }

    /// Client URLs of all members.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len())
            .map(|index| self.endpoint(index))
            .collect()
    }

    /// Client URL of one member.
    pub fn endpoint(&self, index: usize) -> String {
        format!(
            "{}://127.0.0.1:{}",
            self.scheme(),
            self.members[index].client_port
        )
    }

    /// The certificates, when started with TLS.
    pub fn pki(&self) -> Option<&EtcdPki> {
        self.pki.as_ref()
    }

    fn scheme(&self) -> &'static str {
        if self.pki.is_some() { "https" } else { "http" }
    }

    /// kill -9 of one member.
    pub fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            // It may have ended by itself; either way it is gone after the wait.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// SIGSTOP (true) or SIGCONT of one member: a host that hangs, its connections open.
    pub fn freeze(&self, index: usize, frozen: bool) -> Result<()> {
        let process = self.members[index]
            .process
            .as_ref()
            .context("the member isn't running")?;
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill")
            .arg(signal)
            .arg(process.id().to_string())
            .status()
            .context("kill")?;
        if !status.success() {
            bail!("kill {signal} of an etcd member failed");
        }
        Ok(())
    }

    /// Starts a killed member again on its ports and data.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.kill(index);
        self.spawn(index)?;
        self.wait_ready(index).await
    }

    fn kill_all(&mut self) {
        for index in 0..self.members.len() {
            self.kill(index);
        }
    }

    fn spawn(&mut self, index: usize) -> Result<()> {
        let scheme = self.scheme();
        let cluster: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://127.0.0.1:{}", member.name, member.peer_port))
            .collect();
        let member = &self.members[index];
        let directory = self.directory.path();
        let log =
            std::fs::File::create(directory.join(format!("{}.log", member.name))).context("log of etcd")?;
        let client = format!("{scheme}://127.0.0.1:{}", member.client_port);
        let peer = format!("http://127.0.0.1:{}", member.peer_port);
        let mut command = etcd_command();
        command
            .args(["--name", &member.name])
            .arg("--data-dir")
            .arg(directory.join(&member.name))
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args([
                "--initial-cluster",
                &cluster.join(","),
                "--initial-cluster-state",
                "new",
            ])
            .args([
                "--heartbeat-interval",
                "50",
                "--election-timeout",
                "500",
                "--log-level",
                "warn",
            ])
            .arg("--unsafe-no-fsync");
        if let Some(pki) = &self.pki {
            pki.add_arguments(&mut command);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("etcd can't be started; set ETCD to its path or put it in PATH")?;
        self.members[index].process = Some(process);
        Ok(())
    }

    async fn wait_ready(&mut self, index: usize) -> Result<()> {
        let deadline = Instant::now() + START;
        let options = self
            .pki
            .as_ref()
            .map(|pki| etcd_client::ConnectOptions::new().with_tls(pki.client_tls()));
        let mut last = String::from("nothing");
        while Instant::now() < deadline {
            if let Some(process) = &mut self.members[index].process
                && let Some(status) = process.try_wait().context("state of etcd")?
            {
                bail!("etcd ended with {status}: {}", self.log(index));
            }
            let endpoint = self.endpoint(index);
            let ask = async {
                etcd_client::Client::connect([endpoint], options.clone())
                    .await?
                    .get("ready", None)
                    .await
            };
            match tokio::time::timeout(Duration::from_secs(1), ask).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = "no answer".to_owned(),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!(
            "etcd isn't ready after {START:?}, last: {last}; its log: {}",
            self.log(index)
        )
    }

    fn log(&self, index: usize) -> String {
        let path = self
            .directory
            .path()
            .join(format!("{}.log", self.members[index].name));
        std::fs::read_to_string(path).unwrap_or_default()
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// etcd from $ETCD or PATH; where setpriv exists it dies with the test even when that is killed.
fn etcd_command() -> Command {
    let etcd = std::env::var_os("ETCD").unwrap_or_else(|| "etcd".into());
    let setpriv = Path::new("/usr/bin/setpriv");
    if setpriv.exists() {
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(etcd);
        return command;
    }
    Command::new(etcd)
}

/// Ports that were free a moment ago, all different.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<Vec<_>>>()
        .context("a free port")?;
    listeners
        .iter()
        .map(|listener| Ok(listener.local_addr().context("a free port")?.port()))
        .collect()
}
