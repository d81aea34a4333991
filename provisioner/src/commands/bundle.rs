use std::path::PathBuf;

use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::artifacts;
use crate::bundle::{self, Kind, Manifest, Prepared, PublicKey, SigningKey, Source};
use crate::inventory::Inventory;
use crate::state::State;
use crate::state::vault::{ask_passphrase, read_passphrase};

/// Pack programs, images and Debian packages into one signed file, for hosts without a network.
///
/// Packages are fetched with this machine's apt, with everything that they depend on.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    make: Make,
}

#[derive(clap::Args)]
struct Make {
    /// The file to write.
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
    /// The key to sign with, from hardway bundle keygen or minisign.
    #[arg(long, value_name = "FILE", required = true)]
    key: Option<PathBuf>,
    /// The folder with the programs; release.binaries of the inventory, or beside hardway, when not given.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The Debian suite of the hosts.
    #[arg(long, default_value = "trixie")]
    suite: String,
    /// The Debian mirror [default: the one in this machine's apt sources].
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// A folder with all .deb files, instead of a mirror.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["suite", "mirror"])]
    packages: Option<PathBuf>,
    /// No packages: hosts have theirs.
    #[arg(long, conflicts_with_all = ["suite", "mirror", "packages"])]
    no_packages: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Check a bundle's signature and every part of it.
    Verify {
        bundle: PathBuf,
        #[command(flatten)]
        key: Pinned,
    },
    /// Check a bundle and unpack it; DIR/bin is a folder for release.binaries or hardway upgrade --to.
    Unpack {
        bundle: PathBuf,
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        key: Pinned,
    },
    /// Make a key to sign bundles with: FILE, and FILE.pub to check them with.
    Keygen {
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Protect it with a passphrase: from --passphrase-file, or asked for.
        #[arg(long)]
        passphrase: bool,
    },
}

/// Whose bundles are taken.
#[derive(clap::Args)]
pub struct Pinned {
    /// The public key that must have signed the bundle, or a file with it [default: release.bundle_key of the inventory].
    #[arg(long, value_name = "KEY")]
    bundle_key: Option<String>,
}

/// Where what hosts lack comes from.
#[derive(clap::Args)]
pub struct Bundled {
    /// Take what hosts lack from a bundle; nothing else is needed.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    #[command(flatten)]
    key: Pinned,
}

impl Bundled {
    /// The bundle, checked and unpacked; None when none is named.
    pub fn prepare(
        &self,
        context: &Context,
        inventory: &Inventory,
        state: &State,
    ) -> anyhow::Result<Option<Prepared>> {
        let Some(path) = &self.bundle else { return Ok(None) };
        let key = self.key.key(Some(inventory))?;
        context.ui.note("checking the bundle");
        bundle::prepare(path, &key, &state.cache()).map(Some)
    }
}

impl Pinned {
    pub fn key(&self, inventory: Option<&Inventory>) -> anyhow::Result<PublicKey> {
        if let Some(named) = &self.bundle_key {
            return PublicKey::load(named);
        }
        inventory
            .and_then(|inventory| inventory.release.bundle_key.clone())
            .ok_or_else(|| {
                crate::state::BadState::new(
                    inventory.map_or(std::path::Path::new("hosts.toml"), |inventory| &inventory.path),
                    "names no release.bundle_key; write the signer's public key there, or give it with --bundle-key",
                )
                .into()
            })
    }
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match &self.command {
            None => self.make.run(context),
            Some(Command::Verify { bundle, key }) => {
                let key = key.key(inventory(context)?.as_ref())?;
                let manifest = bundle::verify(bundle, &key)?;
                answer(
                    context,
                    &manifest,
                    &format!("{} is whole and signed by {}", bundle.display(), key.to_base64()),
                );
                Ok(Outcome::Done)
            }
            Some(Command::Unpack { bundle, out, key }) => {
                anyhow::ensure!(
                    !out.exists(),
                    "{} is there already; name a new folder",
                    out.display()
                );
                let key = key.key(inventory(context)?.as_ref())?;
                let manifest = bundle::unpack(bundle, &key, out)?;
                answer(context, &manifest, &format!("unpacked into {}", out.display()));
                Ok(Outcome::Done)
            }
            Some(Command::Keygen { out, passphrase }) => {
                let passphrase = match passphrase {
                    false => None,
                    true => Some(ask(context, "new passphrase: ")?),
                };
                let public = bundle::make_key(out, passphrase)?;
                context.answer(
                    &json!({ "key": out, "public": public.to_base64() }),
                    &format!(
                        "{}: keep it; to pin its bundles, write into the inventory\n\n[release]\nbundle_key = \"{}\"\n",
                        out.display(),
                        public.to_base64()
                    ),
                );
                Ok(Outcome::Done)
            }
        }
    }
}

fn ask(context: &Context, prompt: &str) -> anyhow::Result<String> {
    let passphrase = match &context.options.unlock.passphrase_file {
        Some(file) => read_passphrase(file)?,
        None => ask_passphrase(prompt)?,
    };
    Ok(passphrase.expose_secret().to_owned())
}

/// A bundle needs no inventory, but what stands in one counts.
fn inventory(context: &Context) -> anyhow::Result<Option<Inventory>> {
    if context.inventory_path.exists() {
        context.inventory().map(Some)
    } else {
        Ok(None)
    }
}

impl Make {
    fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let (out, key) = (self.out.as_ref(), self.key.as_ref());
        let (out, key) = (out.context("--out is missing")?, key.context("--key is missing")?);
        let key = SigningKey::load(key, || ask(context, "passphrase of the key: "))?;
        let inventory = inventory(context)?;
        let state = context.peek();
        let pinned = inventory
            .as_ref()
            .and_then(|inventory| inventory.release.bundle_key.as_ref());
        if let Some(pinned) = pinned.filter(|pinned| key.public().ok().as_ref() != Some(pinned)) {
            context.ui.note(&format!(
                "the inventory pins another key ({}): it will refuse this bundle",
                pinned.to_base64()
            ));
        }
        let written = inventory
            .as_ref()
            .and_then(|inventory| inventory.release.binaries.clone());
        let binaries = self.binaries.as_deref().or(written.as_deref());
        let mut release = artifacts::collect(binaries, &state)?;
        let programs = artifacts::programs_of_images(binaries, &state)?;
        release.artifacts.extend(programs);
        // apt takes relative folders to be below others of its own.
        let scratch = std::path::absolute(state.cache().join(format!("apt-{}", std::process::id())))
            .context("cannot find the current folder")?;
        let packages = match self.source()? {
            Some(source) => {
                context.ui.note("collecting packages and what they depend on");
                source.collect(&scratch)?
            }
            None => Vec::new(),
        };
        let written = bundle::write(out, &release, &packages, &key);
        let _ = std::fs::remove_dir_all(&scratch);
        let manifest = written?;
        answer(
            context,
            &manifest,
            &format!("{} is signed by {}", out.display(), key.public()?.to_base64()),
        );
        Ok(Outcome::Done)
    }

    fn source(&self) -> anyhow::Result<Option<Source>> {
        if self.no_packages {
            return Ok(None);
        }
        if let Some(folder) = &self.packages {
            return Ok(Some(Source::Folder(folder.clone())));
        }
        let mirror = match &self.mirror {
            Some(mirror) => mirror.clone(),
            None => bundle::debian_mirror()?,
        };
        Ok(Some(Source::Suite {
            suite: self.suite.clone(),
            mirror,
        }))
    }
}

fn answer(context: &Context, manifest: &Manifest, text: &str) {
    let count = |kind| manifest.of(kind).count();
    let text = format!(
        "{text}\n{} programs, {} images, {} packages for {}, {} MiB unpacked, made {:.0} by hardway {}\n",
        count(Kind::Program),
        count(Kind::Image),
        count(Kind::Package),
        manifest.architecture,
        manifest.size() >> 20,
        manifest.created,
        manifest.hardway
    );
    context.answer(&json!({ "manifest": manifest }), &text);
}
