//! The command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::image::Flavour;
use crate::state::{HostSpec, Lab};
use crate::{hollow, host, image, inventory, launch, network};

#[derive(Debug, Parser)]
#[command(
    name = "hardway-lab",
    version,
    about = "Real hosts on one Linux machine (run as root)"
)]
pub struct Arguments {
    /// Name of the lab; labs of different names do not see each other.
    #[arg(long, global = true, default_value = "lab")]
    name: String,
    /// Where labs keep their state.
    #[arg(long, global = true, default_value = "/var/lib/hardway-lab")]
    directory: PathBuf,
    /// Where the Debian image is kept for the next lab.
    #[arg(long, global = true, default_value = "/var/cache/hardway-lab")]
    cache: PathBuf,
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the image without starting a host.
    Image,
    /// Make and start hosts, and write an inventory with their pinned host keys.
    Up {
        #[arg(long, default_value_t = 3)]
        control_planes: u8,
        #[arg(long, default_value_t = 2)]
        workers: u8,
        /// Further hosts as NAME=ROLE[+ROLE…].
        #[arg(long = "host", value_name = "NAME=ROLES")]
        hosts: Vec<String>,
        /// Hollow workers beside them: real to the provisioner, but nothing runs on them.
        #[arg(long, default_value_t = 0)]
        hollow: u8,
        /// The folder with the binaries to push, for the inventory.
        #[arg(long)]
        binaries: Option<PathBuf>,
        /// Hosts that have Debian and sshd and nothing that a node needs, nor a source of packages.
        #[arg(long)]
        bare: bool,
    },
    /// Stop all hosts and remove everything but the image.
    Down,
    /// Show the hosts.
    Status,
    /// Run a command inside a host.
    Exec {
        host: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Run a command on this machine, inside the network that the hosts are on.
    Run {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Cut a host's power: nothing is flushed, closed or said good-bye to.
    Kill { host: String },
    /// Boot a host again after `kill` or a shutdown.
    Start { host: String },
    /// Put an empty disk into a host and boot it: another machine id and another SSH host key, which is pinned in the
    /// inventory.
    Fresh { host: String },
    /// Cut hosts off from all others; among themselves they stay connected.
    Partition {
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// End all partitions.
    Heal,
    /// Print the inventory's path.
    Inventory,
    /// Put a static program as a container image onto hosts that run containerd.
    LoadImage {
        /// Full name with a tag, for example hardway.local/busybox:sample.
        #[arg(long)]
        image: String,
        /// The program; it becomes the image's only file, at --path, and its entry point.
        #[arg(long)]
        program: PathBuf,
        #[arg(long, default_value = "/bin/busybox")]
        path: String,
        /// Another program of the image: PATH=PROGRAM.
        #[arg(long)]
        also: Vec<String>,
        /// What the entry point is called with when a container names no arguments.
        #[arg(long = "argument")]
        arguments: Vec<String>,
        /// The hosts; all when none is named.
        hosts: Vec<String>,
    },
    /// Write a static program as a container image archive to standard output.
    ImageArchive {
        /// Full name with a tag, for example hardway.local/busybox:sample.
        #[arg(long)]
        image: String,
        /// The program; it becomes the image's only file, at --path, and its entry point.
        #[arg(long)]
        program: PathBuf,
        #[arg(long, default_value = "/bin/busybox")]
        path: String,
    },
    #[command(name = "internal-launch", hide = true)]
    Launch { host: String },
}

impl Arguments {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Self {
            name,
            directory,
            cache,
            command,
        } = self;
        if !nix::unistd::geteuid().is_root() {
            anyhow::bail!("must run as root: it makes namespaces and mounts");
        }
        match command {
            What::Image => println!("{}", image::ensure(&cache, Flavour::Plain)?.display()),
            What::Up {
                control_planes,
                workers,
                hosts,
                hollow,
                binaries,
                bare,
            } => {
                let mut specs = Vec::new();
                for index in 1..=control_planes {
                    specs.push(HostSpec::new(&format!("cp-{index}"), &["control-plane"]));
                }
                for index in 1..=workers {
                    specs.push(HostSpec::new(&format!("worker-{index}"), &["worker"]));
                }
                for text in &hosts {
                    specs.push(text.parse()?);
                }
                specs.extend((1..=hollow).map(|index| HostSpec::hollow(&format!("hollow-{index}"))));
                let flavour = if bare { Flavour::Bare } else { Flavour::Plain };
                let base = image::ensure(&cache, flavour)?;
                let lab = Lab::create(&directory, &name, &base, specs, binaries)?;
                // A half-made lab is worth nothing and would be in the way of the next one.
                if let Err(error) = up(&lab) {
                    let undone = down(&lab);
                    return Err(match undone {
                        Ok(()) => error,
                        Err(also) => error.context(format!("and cleaning up failed: {also:#}")),
                    });
                }
                println!("{}", lab.inventory().display());
            }
            What::Down => match Lab::find(&directory, &name)? {
                Some(lab) => down(&lab)?,
                None => println!("there is no lab {name:?}"),
            },
            What::Status => {
                let lab = Lab::open(&directory, &name)?;
                for spec in &lab.hosts {
                    let state = if host::leader(&lab, spec).is_some() {
                        "running"
                    } else {
                        "stopped"
                    };
                    println!(
                        "{:<12} {:<14} {:<8} {}",
                        spec.name,
                        spec.address,
                        state,
                        spec.roles.join(",")
                    );
                }
            }
            What::Exec { host, command } => {
                let lab = Lab::open(&directory, &name)?;
                return host::exec(&lab, lab.host(&host)?, &command);
            }
            What::Run { command } => {
                let lab = Lab::open(&directory, &name)?;
                let status = Command::new("ip")
                    .args(["netns", "exec", &lab.outer_namespace()])
                    .args(&command)
                    .status()
                    .context("cannot run ip")?;
                return Ok(exit_code(status));
            }
            What::Kill { host } => {
                let lab = Lab::open(&directory, &name)?;
                host::kill(&lab, lab.host(&host)?)?;
            }
            What::Start { host } => {
                let lab = Lab::open(&directory, &name)?;
                host::start(&lab, lab.host(&host)?)?;
                host::wait_for_ssh(&lab, lab.host(&host)?)?;
            }
            What::Fresh { host } => {
                let lab = Lab::open(&directory, &name)?;
                let spec = lab.host(&host)?;
                let before = host::public_key(&lab, spec)?;
                host::kill(&lab, spec)?;
                host::wipe(&lab, spec)?;
                host::create(&lab, spec)?;
                inventory::repin(&lab, &before, &host::public_key(&lab, spec)?)?;
                if spec.hollow {
                    hollow::write_ports(&lab)?;
                }
                host::start(&lab, spec)?;
                host::wait_for_ssh(&lab, spec)?;
            }
            What::Partition { hosts } => {
                let lab = Lab::open(&directory, &name)?;
                for host in &hosts {
                    network::partition(&lab, lab.host(host)?)?;
                }
            }
            What::Heal => network::heal(&Lab::open(&directory, &name)?)?,
            What::Inventory => println!("{}", Lab::open(&directory, &name)?.inventory().display()),
            What::LoadImage {
                image,
                program,
                path,
                also,
                arguments,
                hosts,
            } => {
                let lab = Lab::open(&directory, &name)?;
                let mut image = image_of(&image, &program, &path)?;
                image.arguments = arguments;
                for text in &also {
                    let (path, program) = text.split_once('=').context("--also is PATH=PROGRAM")?;
                    image.files.extend(image_of("", program.as_ref(), path)?.files);
                }
                let archive = image.archive()?;
                for spec in &lab.hosts {
                    if hosts.is_empty() || hosts.contains(&spec.name) {
                        host::load_image(&lab, spec, &archive)?;
                    }
                }
            }
            What::ImageArchive { image, program, path } => std::io::stdout()
                .write_all(&image_of(&image, &program, &path)?.archive()?)
                .context("cannot write the archive")?,
            What::Launch { host } => {
                let lab = Lab::open(&directory, &name)?;
                launch::run(&lab, lab.host(&host)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn image_of(image: &str, program: &Path, path: &str) -> anyhow::Result<provisioner::image::Image> {
    let content = std::fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    Ok(provisioner::image::Image::of_binary(image, path, content, ""))
}

fn up(lab: &Lab) -> anyhow::Result<()> {
    network::create(lab)?;
    for spec in &lab.hosts {
        host::create(lab, spec)?;
    }
    inventory::write(lab)?;
    if lab.hosts.iter().any(|spec| spec.hollow) {
        hollow::prepare(lab)?;
        hollow::write_ports(lab)?;
    }
    for spec in &lab.hosts {
        host::start(lab, spec)?;
    }
    for spec in &lab.hosts {
        host::wait_for_ssh(lab, spec)?;
    }
    Ok(())
}

fn down(lab: &Lab) -> anyhow::Result<()> {
    for spec in &lab.hosts {
        host::kill(lab, spec)?;
    }
    network::remove(lab)?;
    lab.remove()
}

/// The exit code of a child as ours; 128 plus the signal when it was killed.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
