use serde_json::json;

use super::render::render_all;
use super::{Context, Outcome};
use crate::explain::{Explanation, explain, find};
use crate::plan::Scope;

/// Say why a file on a host exists, who reads it and what its change means.
#[derive(clap::Args)]
pub struct Arguments {
    /// A path on a host, a link to it, a path below a rendered folder, or the path in the generation.
    file: String,
}

impl Arguments {
    pub fn run(&self, context: &Context) -> anyhow::Result<Outcome> {
        let inventory = context.inventory()?;
        let state = context.peek();
        let rendered = render_all(context, &inventory, &state, &Scope::default(), true)?;
        let mut found: Option<Explanation> = None;
        let mut hosts = Vec::new();
        for (host, desired) in &rendered.hosts {
            if let Some(one) = find(&explain(desired), &self.file) {
                hosts.push(host.clone());
                found.get_or_insert_with(|| one.clone());
            }
        }
        let Some(one) = found else {
            anyhow::bail!(
                "{} is not managed by hardway; hardway render --out DIR writes everything that is",
                self.file
            );
        };
        let list = |names: &[String]| {
            if names.is_empty() {
                "nobody".to_owned()
            } else {
                names.join(", ")
            }
        };
        let mut text = format!(
            "{}\n  why       {}\n  hosts     {}\n  mode      {} {}{}\n  read by   {}\n  restarts  {}\n",
            one.path,
            one.reason,
            hosts.join(", "),
            one.mode,
            one.owner,
            if one.secret { ", secret" } else { "" },
            list(&one.readers),
            list(&one.restarts)
        );
        for link in &one.links {
            text.push_str(&format!("  link      {link}\n"));
        }
        context.answer(&json!({ "file": one, "hosts": hosts }), &text);
        Ok(Outcome::Done)
    }
}
