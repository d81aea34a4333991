//! Debian packages: collected on the operator's machine with all that they depend on, installed on hosts from there.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Entry, Kind, Manifest};
use crate::desired::sha256;
use crate::facts::Facts;
use crate::inventory::{Host, Inventory, Role};
use crate::preflight::tools_of;
use crate::shell::Shell;
use crate::state::private_folder;

const INSTALL: &str = include_str!("../../../templates/scripts/install-packages.sh");
const INDEX: &str = "Packages";
/// Whatever a role of a host can need.
const PACKAGES: &[&str] = &[
    "containerd",
    "runc",
    "containernetworking-plugins",
    "iptables",
    "nftables",
    "conntrack",
    "etcd-server",
    "etcd-client",
    "haproxy",
    "iproute2",
    "procps",
    "kmod",
    "mount",
    "zstd",
];

/// A package file.
#[derive(Clone, Debug)]
pub struct Package {
    pub entry: Entry,
    pub path: PathBuf,
}

/// Where packages come from.
pub enum Source {
    /// A folder with all of them.
    Folder(PathBuf),
    /// A suite of a Debian mirror, fetched with this machine's apt and its keys, without touching its own packages.
    Suite { suite: String, mirror: String },
}

impl Source {
    /// All packages that hosts can need, with everything that these depend on.
    pub fn collect(&self, scratch: &Path) -> anyhow::Result<Vec<Package>> {
        match self {
            Source::Folder(folder) => read_folder(folder),
            Source::Suite { suite, mirror } => {
                // Left over from a run that was cut off.
                let _ = std::fs::remove_dir_all(scratch);
                let archives = download(suite, mirror, scratch)?;
                read_folder(&archives)
            }
        }
    }
}

/// Fetches the closure of [`PACKAGES`] as apt would install it onto an empty machine.
fn download(suite: &str, mirror: &str, scratch: &Path) -> anyhow::Result<PathBuf> {
    for folder in ["lists/partial", "cache/archives/partial"] {
        private_folder(&scratch.join(folder))?;
    }
    let write = |name: &str, text: String| {
        std::fs::write(scratch.join(name), text).with_context(|| format!("cannot write {name} for apt"))
    };
    write("sources.list", format!("deb {mirror} {suite} main\n"))?;
    write("status", String::new())?;
    let at = |option: &str, name: &str| format!("{option}={}", scratch.join(name).display());
    let options = [
        at("Dir::Etc::sourcelist", "sources.list"),
        "Dir::Etc::sourceparts=-".to_owned(),
        at("Dir::State::Lists", "lists"),
        at("Dir::State::status", "status"),
        at("Dir::Cache", "cache"),
        "APT::Sandbox::User=root".to_owned(),
        "APT::Install-Recommends=false".to_owned(),
        "Debug::NoLocking=true".to_owned(),
    ];
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        command.env("LC_ALL", "C").args(["-q", "-y"]).args(arguments);
        run(&mut command)
    };
    apt(&["update"])?;
    apt(&[&["install", "--download-only"], PACKAGES].concat())
        .with_context(|| format!("suite {suite} does not have what hosts need"))?;
    Ok(scratch.join("cache/archives"))
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| {
        format!(
            "cannot run {name}; packages are collected on a Debian machine, or name a folder with --packages"
        )
    })?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = stderr.lines().rev().take(4).collect();
    anyhow::ensure!(output.status.success(), "{name} failed: {}", last.join(" | "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every `.deb` of a folder, sorted by name.
fn read_folder(folder: &Path) -> anyhow::Result<Vec<Package>> {
    let context = || format!("cannot read {}", folder.display());
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(read_package(&path)?);
        }
    }
    anyhow::ensure!(
        !packages.is_empty(),
        "{} holds no .deb file; fetch them there, or leave --packages out",
        folder.display()
    );
    packages.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    Ok(packages)
}

fn read_package(path: &Path) -> anyhow::Result<Package> {
    let control = run(Command::new("dpkg-deb").arg("-f").arg(path))?;
    let content = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let field = |name: &str| {
        field(&control, name).with_context(|| format!("{} is a package without {name}", path.display()))
    };
    // apt decodes percent signs in names, so an epoch's colon is not escaped as in its own cache.
    let version = field("Version")?;
    let name = format!("{}_{}_{}.deb", field("Package")?, version, field("Architecture")?).replace(':', "-");
    Ok(Package {
        entry: Entry {
            kind: Kind::Package,
            name,
            version: version.to_owned(),
            size: content.len() as u64,
            sha256: sha256(&content),
            about: control.trim_end().to_owned(),
        },
        path: path.to_owned(),
    })
}

fn field<'c>(control: &'c str, name: &str) -> Option<&'c str> {
    control
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}

/// The index of a flat repository, which apt on a host reads.
pub fn index(manifest: &Manifest) -> String {
    manifest
        .of(Kind::Package)
        .map(|entry| {
            format!(
                "{}\nFilename: ./{}\nSize: {}\nSHA256: {}\n\n",
                entry.about, entry.name, entry.size, entry.sha256
            )
        })
        .collect()
}

pub(super) fn write_index(manifest: &Manifest, folder: &Path) -> anyhow::Result<()> {
    crate::state::write_file(&folder.join(INDEX), index(manifest).as_bytes(), 0o644)
}

/// Packages that a host lacks for its roles, by the programs that are not there.
pub fn wanted(inventory: &Inventory, host: &Host, facts: &Facts) -> Vec<&'static str> {
    let mut packages: Vec<&str> = tools_of(inventory, host, facts)
        .into_iter()
        .filter(|(tool, _)| facts.tool(tool).is_none())
        .map(|(_, package)| package)
        .collect();
    if host.is_node() {
        for (tool, package) in [
            ("conntrack", "conntrack"),
            ("iptables", "iptables"),
            ("nft", "nftables"),
        ] {
            packages.extend(facts.tool(tool).is_none().then_some(package));
        }
        packages.extend(facts.cni_bin.is_none().then_some("containernetworking-plugins"));
    }
    if packages.contains(&"etcd-server") {
        packages.push("etcd-client");
    }
    packages.extend(facts.tool("zstd").is_none().then_some("zstd"));
    // haproxy's host needs nothing else; a host that lacks tar or systemd is not mended by packages.
    packages.retain(|package| {
        PACKAGES.contains(package) && (*package != "haproxy" || host.has(Role::LoadBalancer))
    });
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Installs packages on a host from the files of `folder` alone, whatever its own apt sources are. Services of the
/// packages are not started. Returns how many bytes travelled.
pub fn install(
    shell: &dyn Shell,
    manifest: &Manifest,
    folder: &Path,
    packages: &[&str],
) -> anyhow::Result<u64> {
    let installed = shell.script(
        "listing the packages",
        "command -v apt-get >/dev/null || { echo 'this host has no apt-get: a bundle brings packages to Debian only; \
         install what it lacks in its own way' >&2; exit 1; }; \
         dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n'",
    )?;
    let installed: BTreeMap<&str, &str> = installed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let is_missing = |entry: &&Entry| {
        let control = |name| field(&entry.about, name).unwrap_or_default();
        let own = format!("{} {}", entry.version, control("Architecture"));
        installed.get(control("Package")) != Some(&own.as_str())
    };
    let missing: Vec<&Entry> = manifest.of(Kind::Package).filter(is_missing).collect();
    let script = INSTALL.replace("@PACKAGES@", &packages.join(" "));
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    let size = missing.iter().map(|entry| entry.size).sum();
    std::thread::scope(|scope| {
        let packer = scope.spawn(|| pack(writer, folder, &missing));
        let mut input: Box<dyn Read> = Box::new(reader);
        let installed = shell.check("installing packages", &script, &mut input, &|_| {});
        drop(input);
        let packed = packer
            .join()
            .map_err(|_| anyhow::anyhow!("the thread that reads the packages panicked"))?;
        // A script that ended early says more than the pipe that it closed.
        installed?;
        packed
    })?;
    Ok(size)
}

fn pack(out: impl std::io::Write, folder: &Path, entries: &[&Entry]) -> anyhow::Result<()> {
    let mut archive = tar::Builder::new(out);
    let sums: String = entries
        .iter()
        .map(|entry| format!("{}  {}\n", entry.sha256, entry.name))
        .collect();
    let mut header = tar::Header::new_gnu();
    header.set_size(sums.len() as u64);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "SHA256SUMS", sums.as_bytes())
        .context("cannot send the packages")?;
    for name in entries.iter().map(|entry| entry.name.as_str()).chain([INDEX]) {
        archive
            .append_path_with_name(folder.join(name), name)
            .with_context(|| format!("cannot send {name}"))?;
    }
    archive.finish().context("cannot send the packages")
}

/// The Debian mirror of this machine: `HARDWAY_DEBIAN_MIRROR`, else the first one of its own apt sources.
pub fn debian_mirror() -> anyhow::Result<String> {
    if let Ok(mirror) = std::env::var("HARDWAY_DEBIAN_MIRROR") {
        return Ok(mirror);
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = std::fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.extend(more);
    }
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|text| mirror_of(&text))
        .context("no Debian mirror in this machine's apt sources; set HARDWAY_DEBIAN_MIRROR")
}

/// The first URL that ends in `/debian`, in either format of apt's sources.
fn mirror_of(sources: &str) -> Option<String> {
    sources
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.contains("://") && word.trim_end_matches('/').ends_with("/debian"))
        .map(|word| word.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_found_in_both_formats() {
        let old = "# deb http://x/debian a b\ndeb [arch=amd64] http://mirror.test/debian/ bookworm main\n";
        assert_eq!(mirror_of(old).as_deref(), Some("http://mirror.test/debian"));
        let new = "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\n";
        assert_eq!(mirror_of(new).as_deref(), Some("http://mirror.test/debian"));
        assert_eq!(mirror_of("deb http://mirror.test/debian-security x main\n"), None);
    }

    #[test]
    fn hosts_get_what_their_roles_lack() {
        let text = "[cluster]\nname = \"lab\"\n\
                    [[hosts]]\nname = \"cp-1\"\naddress = \"10.77.0.11\"\nroles = [\"control-plane\"]\n\
                    [[hosts]]\nname = \"lb-1\"\naddress = \"10.77.0.12\"\nroles = [\"load-balancer\"]\n";
        let inventory = Inventory::parse(Path::new("lab.toml"), text).unwrap();
        let facts = |tools: &[&str]| Facts {
            tools: tools
                .iter()
                .map(|tool| ((*tool).to_owned(), "/x".to_owned()))
                .collect(),
            ..Facts::default()
        };
        let bare = facts(&["ip", "ss", "mount", "sysctl", "modprobe"]);
        let control_plane = wanted(&inventory, &inventory.hosts[0], &bare);
        assert_eq!(
            control_plane,
            [
                "conntrack",
                "containerd",
                "containernetworking-plugins",
                "etcd-client",
                "etcd-server",
                "iptables",
                "nftables",
                "runc",
                "zstd"
            ]
        );
        assert_eq!(
            wanted(&inventory, &inventory.hosts[1], &bare),
            ["haproxy", "zstd"]
        );
        let whole = facts(&["ip", "ss", "haproxy", "zstd"]);
        assert!(wanted(&inventory, &inventory.hosts[1], &whole).is_empty());
    }
}
