//! The cluster's directory: encrypt it, take it elsewhere.

mod archive;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::x25519::Recipient;
use anyhow::Context as _;
use serde_json::json;

use super::{Context, Outcome};
use crate::state::vault::{Lockers, ask_passphrase, read_passphrase};
use crate::state::{BadState, State, read_file};

/// Encrypt, decrypt, export or import the cluster's directory.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Show who holds the directory, what was left unfinished and whether keys are encrypted.
    Show,
    /// Encrypt all keys, or give keys that are encrypted to somebody else.
    Encrypt(To),
    /// Write all keys in clear again (mode 0600).
    Decrypt,
    /// Write the directory, without snapshots, into one file, encrypted when the directory is or somebody to encrypt it to is named.
    Export {
        file: PathBuf,
        #[command(flatten)]
        to: To,
    },
    /// Make the directory from a file that export wrote.
    Import {
        file: PathBuf,
        /// Put the directory that is there aside.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(clap::Args)]
struct To {
    /// An age recipient (age1…); may be repeated.
    #[arg(long, value_name = "AGE1", conflicts_with = "passphrase")]
    recipient: Vec<String>,
    /// A passphrase: from --passphrase-file, or asked for.
    #[arg(long)]
    passphrase: bool,
}

impl To {
    /// None when nobody is named.
    fn lockers(&self, context: &Context) -> anyhow::Result<Option<Lockers>> {
        if self.passphrase {
            let file = context.options.unlock.passphrase_file.as_deref();
            let passphrase = match file {
                Some(file) => read_passphrase(file)?,
                None => ask_passphrase("new passphrase: ")?,
            };
            return Ok(Some(Lockers::Passphrase(passphrase)));
        }
        let recipients = self
            .recipient
            .iter()
            .map(|text| {
                Recipient::from_str(text).map_err(|reason| {
                    BadState::new(Path::new(text), format!("is not an age recipient: {reason}"))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok((!recipients.is_empty()).then_some(Lockers::Recipients(recipients)))
    }
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        match &self.command {
            Command::Show => show(context),
            Command::Encrypt(to) => {
                let lockers = to
                    .lockers(context)?
                    .context("name somebody to encrypt to, with --recipient or --passphrase")?;
                encrypt(context, &lockers)
            }
            Command::Decrypt => decrypt(context),
            Command::Export { file, to } => {
                let state = context.open("state export")?;
                let lockers = to.lockers(context)?;
                let sealed = lockers.is_some();
                archive::export(&state, file, lockers.as_ref())?;
                if !sealed && !state.vault().is_encrypted() {
                    context
                        .ui
                        .note("the file holds all keys in clear; --recipient or --passphrase encrypts it");
                }
                let path = file.display().to_string();
                context.answer(&json!({ "exported": path }), &format!("exported to {path}\n"));
                Ok(Outcome::Done)
            }
            Command::Import { file, replace } => {
                let folder = archive::import(&context.inventory_path, &context.options, file, *replace)?;
                let path = folder.display().to_string();
                context.answer(&json!({ "imported": path }), &format!("imported into {path}\n"));
                Ok(Outcome::Done)
            }
        }
    }
}

fn show(context: &Context) -> anyhow::Result<Outcome> {
    let state = context.peek();
    anyhow::ensure!(
        state.folder().is_dir(),
        "{} does not exist; hardway bootstrap makes it",
        state.folder().display()
    );
    let holder = read_file(&state.folder().join("lock"))?
        .and_then(|text| crate::state::lock::Holder::parse(&text))
        .map(|holder| holder.to_string());
    let record = state.record()?;
    let unfinished = state.unfinished()?;
    let interrupted = state.interrupted()?;
    let encrypted = state.vault().is_encrypted();
    let none = || "nobody".to_owned();
    let mut text = format!(
        "directory  {}\nheld by    {}\nkeys       {}\n",
        state.folder().display(),
        holder.clone().unwrap_or_else(none),
        if encrypted {
            "encrypted"
        } else {
            "in clear, mode 0600"
        }
    );
    for (host, generation) in &record.generations {
        text.push_str(&format!("generation {host} {generation}\n"));
    }
    if let Some(open) = &unfinished {
        text.push_str(&format!(
            "unfinished hardway {}, begun {:.0}\n",
            open.command, open.begun
        ));
    } else if let Some(phase) = &interrupted {
        text.push_str(&format!("unfinished stopped in phase {phase}\n"));
    }
    context.answer(
        &json!({
            "folder": state.folder().display().to_string(),
            "holder": holder,
            "encrypted": encrypted,
            "record": record,
            "unfinished": unfinished.map(|open| json!({ "command": open.command, "done": open.done })),
            "interrupted": interrupted,
        }),
        &text,
    );
    Ok(Outcome::Done)
}

fn encrypt(context: &Context, lockers: &Lockers) -> anyhow::Result<Outcome> {
    let state = context.open("state encrypt")?;
    if state.vault().is_encrypted() {
        state.vault().change(lockers)?;
    } else {
        state.vault().create(lockers)?;
    }
    // Also after a run that was cut off: what is encrypted already stays readable and is written anew.
    let count = rewrite(&state)?;
    context.answer(
        &json!({ "encrypted": count }),
        &format!("{count} secrets are encrypted\n"),
    );
    Ok(Outcome::Done)
}

fn decrypt(context: &Context) -> anyhow::Result<Outcome> {
    let state = context.open("state decrypt")?;
    let mut count = 0;
    for path in secrets(state.folder())? {
        if let Some(content) = state.read_secret(&path)? {
            crate::state::write_file(&path, content.as_bytes(), 0o600)?;
            count += 1;
        }
    }
    state.vault().remove()?;
    context.answer(
        &json!({ "decrypted": count }),
        &format!("{count} secrets are in clear\n"),
    );
    Ok(Outcome::Done)
}

fn rewrite(state: &State) -> anyhow::Result<usize> {
    let mut count = 0;
    for path in secrets(state.folder())? {
        if let Some(content) = state.read_secret(&path)? {
            state.write_secret(&path, &content)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Every file that holds a secret.
fn secrets(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in archive::files(folder)? {
        let relative = path.strip_prefix(folder).unwrap_or(&path);
        let below = |name: &str| relative.starts_with(name);
        let key = path.extension().is_some_and(|extension| extension == "key");
        if below("secrets") || (below("pki") && key) {
            found.push(path);
        }
    }
    Ok(found)
}
