use std::collections::BTreeMap;

use serde::Serialize;

use crate::fleet::Fleet;
use crate::plan::{Change, FileChange, HostPlan};
use crate::ssh::{Connection, quote};
use crate::survey::Survey;

/// Old and new content of one file.
#[derive(Clone, Debug, Serialize)]
pub struct FileDiff {
    pub path: String,
    pub old: String,
    pub new: String,
}

/// Every file that changes and may be shown, by host.
pub fn collect(fleet: &Fleet<'_>, survey: &Survey) -> anyhow::Result<BTreeMap<String, Vec<FileDiff>>> {
    let old = fleet.each(
        "reading changed files",
        |host| {
            survey
                .plans
                .get(&host.name)
                .is_some_and(|plan| plan.files.iter().any(is_on_host))
        },
        |host, connection| read_old(connection, &survey.plans[&host.name]),
    )?;
    let empty = BTreeMap::new();
    let diffs = survey.plans.values().map(|plan| {
        let old = old.get(&plan.host).unwrap_or(&empty);
        (plan.host.clone(), of_host(survey, plan, old))
    });
    Ok(diffs.collect())
}

/// Never what is secret; certificates are shown by subject.
fn shows(file: &FileChange) -> bool {
    !file.secret
        && ![".crt", ".pub", ".key"]
            .iter()
            .any(|suffix| file.path.ends_with(suffix))
}

fn is_on_host(file: &FileChange) -> bool {
    shows(file) && file.change != Change::Add
}

/// The present content of the files that change; never of secret ones.
fn read_old(connection: &Connection, plan: &HostPlan) -> anyhow::Result<BTreeMap<String, String>> {
    let paths: Vec<String> = plan
        .files
        .iter()
        .filter(|file| is_on_host(file))
        .map(|file| quote(&file.path))
        .collect();
    let script = format!(
        "cd /etc/hardway/current && for path in {}; do [ -f \"$path\" ] && \
         printf '%s %s\\n' \"$(wc -c <\"$path\")\" \"$path\" && cat \"$path\"; done; true",
        paths.join(" ")
    );
    let text = connection.script("reading changed files", &script)?;
    Ok(split(&text))
}

/// `LENGTH PATH`, a newline, then that many bytes; repeated.
fn split(mut text: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    while let Some((head, rest)) = text.split_once('\n') {
        let Some((length, path)) = head.trim_start().split_once(' ') else {
            break;
        };
        let Some(content) = length.parse().ok().and_then(|length: usize| rest.get(..length)) else {
            break;
        };
        files.insert(path.to_owned(), content.to_owned());
        text = &rest[content.len()..];
    }
    files
}

fn of_host(survey: &Survey, plan: &HostPlan, old: &BTreeMap<String, String>) -> Vec<FileDiff> {
    let desired = &survey.desired[&plan.host];
    let mut diffs = Vec::new();
    for file in plan.files.iter().filter(|file| shows(file)) {
        diffs.push(FileDiff {
            path: file.path.clone(),
            old: old.get(&file.path).cloned().unwrap_or_default(),
            new: desired.text(&file.path).into_owned(),
        });
    }
    diffs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_split_by_length() {
        let files = split("4 a/b\nx\ny\n0 empty\n3 last\nend");
        assert_eq!(files["a/b"], "x\ny\n");
        assert_eq!((files["empty"].as_str(), files["last"].as_str()), ("", "end"));
        assert!(split("99 cut\nx").is_empty());
    }
}
