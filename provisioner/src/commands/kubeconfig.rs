use std::path::PathBuf;
use std::time::SystemTime;

use super::{Context, Outcome};
use crate::state::write_file;
use crate::{identities, kubeconfig};

/// Print the administrator's kubeconfig.
#[derive(clap::Args)]
pub struct Arguments {
    /// Write it to a file (mode 0600) instead.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// The certificate in system:masters, for when RBAC is broken.
    #[arg(long)]
    break_glass: bool,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.peek();
        let pki = state.folder().join("pki");
        anyhow::ensure!(
            pki.is_dir(),
            "{} does not exist; run hardway bootstrap first",
            pki.display()
        );
        let secrets = identities::prepare(&inventory, &state, SystemTime::now(), true)?;
        let text = kubeconfig::render(&inventory, &secrets, self.break_glass)?;
        match &self.output {
            Some(path) => {
                write_file(path, text.as_bytes(), 0o600)?;
                context.answer(&serde_json::json!({ "path": path }), "");
            }
            None => context.answer(&serde_json::json!({ "kubeconfig": text }), &text),
        }
        Ok(Outcome::Done)
    }
}
