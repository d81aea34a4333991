//! A lab of real hosts that is removed when the test ends, however it ends.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::command::{Finished, run};

pub const SAMPLE_IMAGE: &str = "hardway.local/busybox:sample";

/// A host's address in an inventory that the lab wrote.
pub fn address_in(inventory: &str, host: &str) -> String {
    let mut lines = inventory
        .lines()
        .skip_while(|line| *line != format!("name = {host:?}"));
    lines
        .find_map(|line| line.strip_prefix("address = "))
        .expect("each host has an address")
        .trim_matches('"')
        .to_owned()
}

/// A running lab and a folder for what the test writes.
pub struct TestLab {
    name: String,
    state: PathBuf,
    pub scratch: tempfile::TempDir,
    /// The host whose balancer kubectl asks; the address in the kubeconfig when it is not set.
    balancer: std::cell::OnceCell<String>,
}

impl TestLab {
    /// Makes hosts. `name` must differ between tests that run at once. `HARDWAY_USE_LAB` names a lab that is up
    /// already; it stays.
    pub fn up(name: &str, arguments: &[&str]) -> Self {
        let used = std::env::var("HARDWAY_USE_LAB").ok();
        let name = match &used {
            Some(used) => used.clone(),
            None => format!("{name}-{}", std::process::id()),
        };
        let state = PathBuf::from("/var/lib/hardway-lab").join(&name);
        let lab = Self {
            name,
            state,
            scratch: tempfile::tempdir().expect("temporary folder"),
            balancer: std::cell::OnceCell::new(),
        };
        if used.is_some() {
            return lab;
        }
        let binaries = crate::binaries();
        lab.tool()
            .arg("up")
            .arg("--binaries")
            .arg(&binaries)
            .args(arguments)
            .finish()
            .ok();
        lab
    }

    fn tool(&self) -> Command {
        let mut command = Command::new(crate::binaries().join("hardway-lab"));
        command.args(["--name", &self.name]);
        command
    }

    pub fn inventory(&self) -> PathBuf {
        self.state.join("hosts.toml")
    }

    /// A host's address, from the inventory.
    pub fn address(&self, host: &str) -> String {
        let inventory = std::fs::read_to_string(self.inventory()).expect("written by the lab");
        address_in(&inventory, host)
    }

    /// The address of this machine inside the lab's network: the first of the hosts' segment.
    pub fn machine_address(&self, host: &str) -> String {
        let address = self.address(host);
        let (network, _) = address.rsplit_once('.').expect("an IPv4 address");
        format!("{network}.1")
    }

    /// Where `hardway` keeps the cluster's keys and journal for this lab's inventory.
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    /// A command on this machine inside the lab's network.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &format!("hwlab-{}", self.name)])
            .arg(program);
        command
    }

    /// A command on this machine inside one host's network.
    pub fn command_on(&self, host: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &format!("hwlab-{}-{host}", self.name)])
            .arg(program);
        command
    }

    pub fn hardway(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(crate::binaries().join("hardway"));
        command.args(arguments).arg("--inventory").arg(self.inventory());
        run(&mut command, None)
    }

    /// Writes the administrator's kubeconfig for [`TestLab::kubectl`].
    pub fn fetch_kubeconfig(&self) {
        // Moved into its place, so that a prober never reads half of it.
        let text = self.hardway(&["kubeconfig"]).ok();
        let new = self.kubeconfig().with_extension("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.kubeconfig()).expect("moved");
    }

    /// From now on kubectl runs in that host's network and asks its local balancer.
    pub fn ask_through(&self, host: &str) {
        self.balancer.set(host.to_owned()).expect("set once");
    }

    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.balancer.get() {
            Some(host) => {
                let mut command = self.command_on(host, "kubectl");
                command.args(["--server", "https://127.0.0.1:7443", "--request-timeout", "10s"]);
                command
            }
            None => self.command("kubectl"),
        };
        command
            .env("KUBECONFIG", self.kubeconfig())
            .env("HOME", self.scratch.path())
            .args(arguments);
        command
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Finished {
        run(&mut self.kubectl_command(arguments), None)
    }

    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Finished {
        run(&mut self.kubectl_command(arguments), Some(input.as_bytes()))
    }

    pub fn get(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.kubectl(&all).ok()).expect("kubectl prints JSON")
    }

    pub fn exec(&self, host: &str, command: &[&str]) -> Finished {
        run(self.tool().args(["exec", host]).args(command), None)
    }

    pub fn exec_with_input(&self, host: &str, command: &[&str], input: &[u8]) -> Finished {
        run(self.tool().args(["exec", host]).args(command), Some(input))
    }

    pub fn kill(&self, host: &str) {
        self.tool().args(["kill", host]).finish().ok();
    }

    /// From now on nobody reaches the host, nor it anybody, until [`TestLab::heal`].
    pub fn partition(&self, host: &str) {
        self.tool().args(["partition", host]).finish().ok();
    }

    pub fn heal(&self) {
        self.tool().arg("heal").finish().ok();
    }

    /// The generation that a host is on.
    pub fn generation(&self, host: &str) -> Result<u64, String> {
        let link = self.exec(host, &["readlink", "/etc/hardway/current"]).result()?;
        let number = link
            .trim()
            .rsplit('/')
            .next()
            .and_then(|number| number.parse().ok());
        number.ok_or(link)
    }

    /// The name of the network namespace that the operator is in.
    pub fn outer_namespace(&self) -> String {
        format!("hwlab-{}", self.name)
    }

    /// Names the process that a host's first process is a child of.
    pub(crate) fn process_file(&self, host: &str) -> PathBuf {
        self.state.join("hosts").join(host).join("pid")
    }

    /// A hollow host's root as this machine sees it; none when the host is off.
    pub fn root(&self, host: &str) -> Option<PathBuf> {
        root_of(&self.process_file(host))
    }

    /// What a host has printed.
    pub fn console(&self, host: &str) -> String {
        let path = self.state.join("hosts").join(host).join("console.log");
        let text = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The name of a host's network namespace.
    pub fn namespace(&self, host: &str) -> String {
        format!("hwlab-{}-{host}", self.name)
    }

    /// A prober that asks through a host's balancer, with the kubeconfig that [`TestLab::fetch_kubeconfig`] writes.
    pub fn prober(&self, host: &str) -> crate::Prober {
        self.prober_of(host, crate::prober::BALANCER)
    }

    /// A prober in a host's network that asks another balancer, by its URL.
    pub fn prober_of(&self, host: &str, server: &str) -> crate::Prober {
        crate::Prober::start(&self.namespace(host), self.kubeconfig(), server)
    }

    /// Keeps the kubeconfig fresh until it is dropped.
    pub fn refresher(&self) -> crate::Refresher {
        let mut command = self.command(crate::binaries().join("hardway"));
        command
            .args(["kubeconfig", "--output"])
            .arg(self.kubeconfig())
            .arg("--inventory")
            .arg(self.inventory());
        crate::Refresher::start(command)
    }

    /// Gives a host an empty disk, as if another machine stood in its place.
    pub fn fresh(&self, host: &str) {
        self.tool().args(["fresh", host]).finish().ok();
    }

    /// Starts `hardway` without waiting for it; events as JSON lines on its standard output.
    pub fn hardway_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(crate::binaries().join("hardway"));
        command
            .args(arguments)
            .arg("--inventory")
            .arg(self.inventory())
            .arg("--json");
        command
    }

    pub fn start(&self, host: &str) {
        self.tool().args(["start", host]).finish().ok();
    }

    /// Puts the sample image onto the hosts; all of them when none is named.
    pub fn load_sample_image(&self, hosts: &[&str]) {
        self.load_image(&[&["--image", SAMPLE_IMAGE, "--program", "/bin/busybox"], hosts].concat());
    }

    /// Puts an image onto hosts; see `hardway-lab load-image --help`.
    pub fn load_image(&self, arguments: &[&str]) {
        self.tool().arg("load-image").args(arguments).finish().ok();
    }
}

pub(crate) fn root_of(process_file: &std::path::Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(process_file).ok()?;
    let launcher = text.split(' ').next()?;
    let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).ok()?;
    let init = children.split_whitespace().next()?;
    Some(PathBuf::from(format!("/proc/{init}/root")))
}

trait Finish {
    fn finish(&mut self) -> Finished;
}

impl Finish for Command {
    fn finish(&mut self) -> Finished {
        run(self, None)
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        if std::env::var_os("HARDWAY_USE_LAB").is_some() {
            return;
        }
        if std::env::var_os("HARDWAY_KEEP_LAB").is_some() {
            eprintln!(
                "kept the lab {}; remove it with: hardway-lab --name {} down",
                self.name, self.name
            );
            return;
        }
        let finished = run(self.tool().arg("down"), None);
        if finished.code != 0 {
            eprintln!("the lab {} is still there: {}", self.name, finished.stderr);
        }
    }
}
