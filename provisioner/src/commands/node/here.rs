use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::commands::bundle::Pinned;
use crate::enroll::{self, Here, Token};

/// Take the host on which this runs into a cluster as a worker, with a token from hardway node token create.
///
/// The cluster's authority is checked against its hash before anything is believed or changed. Repeated with a new
/// token, it renews what the host holds.
#[derive(clap::Args)]
pub struct Arguments {
    /// Where the API is, HOST:PORT.
    #[arg(long)]
    endpoint: String,
    /// A file with the token; - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// sha256:… of the authority's public key; all of them while two are trusted.
    #[arg(long = "discovery-ca-hash", value_name = "HASH", required = true, value_parser = hash)]
    hashes: Vec<String>,
    /// The folder with the programs; beside hardway when not given.
    #[arg(long, value_name = "DIR", conflicts_with = "bundle")]
    binaries: Option<PathBuf>,
    /// Take programs and the Debian packages that the host lacks from a bundle.
    #[arg(long, value_name = "FILE", requires = "bundle_key")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    key: Pinned,
}

fn hash(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then(|| text.to_lowercase())
        .ok_or_else(|| "write sha256: and 64 hexadecimal digits".to_owned())
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        anyhow::ensure!(
            nix::unistd::geteuid().is_root(),
            "this changes the host: run it as root"
        );
        let here = Here {
            endpoint: &self.endpoint,
            token: Token::parse(&self.read_token()?)?,
            hashes: &self.hashes,
            binaries: self.binaries.as_deref(),
            bundle: match &self.bundle {
                Some(path) => Some((path.as_path(), self.key.key(None)?)),
                None => None,
            },
            ui: &context.ui,
        };
        let (name, changes) = enroll::join(&here)?;
        let text = match changes {
            0 => format!("{name} is in the cluster; nothing to change\n"),
            _ => format!("{name} has joined\n"),
        };
        context.answer(&json!({ "name": name, "changed": changes > 0 }), &text);
        Ok(Outcome::Done)
    }

    fn read_token(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        if self.token_file == Path::new("-") {
            // More than a token is none.
            std::io::stdin()
                .take(1024)
                .read_to_string(&mut text)
                .context("cannot read the token")?;
        } else {
            text = std::fs::read_to_string(&self.token_file)
                .with_context(|| format!("cannot read the token from {}", self.token_file.display()))?;
        }
        Ok(text)
    }
}
