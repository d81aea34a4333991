use std::path::PathBuf;

use anyhow::Context as _;
use clap_complete::Shell;

use super::{Context, Outcome};
use crate::cli;
use crate::state::write_file;

/// Print the completions of a shell.
#[derive(clap::Args)]
pub struct Arguments {
    shell: Shell,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut cli::command(), "hardway", &mut text);
        let text = String::from_utf8_lossy(&text);
        context.answer(&serde_json::json!({ "completions": text }), &text);
        Ok(Outcome::Done)
    }
}

/// Write the manual pages into a folder: one for hardway, one for each command.
#[derive(clap::Args)]
pub struct ManArguments {
    /// For example /usr/local/share/man/man1.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl ManArguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let mut command = cli::command();
        command.build();
        let mut names = Vec::new();
        self.write(&command, "hardway", &mut names)?;
        let text = names
            .iter()
            .map(|name| format!("{}\n", self.out.join(name).display()))
            .collect::<String>();
        context.answer(&serde_json::json!({ "pages": names }), &text);
        Ok(Outcome::Done)
    }

    fn write(&self, command: &clap::Command, name: &str, names: &mut Vec<String>) -> anyhow::Result<()> {
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone())
            .title(name)
            .render(&mut page)
            .with_context(|| format!("cannot write the page of {name}"))?;
        let file = format!("{name}.1");
        write_file(&self.out.join(&file), &page, 0o644)?;
        names.push(file);
        for child in command
            .get_subcommands()
            .filter(|child| child.get_name() != "help")
        {
            self.write(child, &format!("{name}-{}", child.get_name()), names)?;
        }
        Ok(())
    }
}
