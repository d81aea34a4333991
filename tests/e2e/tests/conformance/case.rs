//! A case: a title and steps.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The conformance tests' codenames without group and labels; a name of our own where the suite has no case.
    pub test: String,
    pub steps: Vec<Step>,
}

/// `$NAME` in any text stands for what an earlier step has saved; `$namespace` for the case's namespace. Paths are
/// below the namespace's core resources unless they begin with a slash.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Step {
    /// Creates an object, see `object.rs` for what may be left out.
    Create(Value),
    /// Creates an object and expects to be refused.
    Refused {
        create: Value,
        says: String,
    },
    /// A merge patch; another kind of patch by its content type.
    Patch {
        at: String,
        body: Value,
        #[serde(default)]
        content_type: Option<String>,
        /// What it is refused with.
        #[serde(default)]
        refused: Option<String>,
    },
    Delete(String),
    /// Waits until an object looks like this, then saves parts of it by their JSON pointers.
    Until {
        get: String,
        #[serde(default)]
        matches: Value,
        #[serde(default)]
        save: BTreeMap<String, String>,
    },
    /// Waits until the kubelet has probed a pod so often.
    Probed {
        pod: String,
        kind: String,
        times: u64,
    },
    /// Waits until a pod is ready, which may not be sooner than this after its container began to run.
    ReadyAfter {
        pod: String,
        seconds: i64,
    },
    /// Waits until an object is gone.
    Gone(String),
    /// Waits until a pod's log has these lines; `of` may have a query.
    Log {
        of: String,
        #[serde(default)]
        says: Vec<String>,
        #[serde(default)]
        lacks: Vec<String>,
    },
    /// Runs a shell script in a pod until it says this.
    Exec {
        pod: String,
        #[serde(default)]
        container: Option<String>,
        run: String,
        #[serde(default)]
        says: Vec<String>,
        #[serde(default)]
        lacks: Vec<String>,
        /// It is to end with another code than 0.
        #[serde(default)]
        fails: bool,
    },
    /// Sends a request until the answer's text has this and its status is the one expected.
    Ask {
        #[serde(default)]
        method: Option<String>,
        path: String,
        #[serde(default)]
        status: Option<u16>,
        #[serde(default)]
        says: Vec<String>,
    },
    /// The steps again, once for each of the values.
    Each {
        name: String,
        of: Vec<String>,
        steps: Vec<Step>,
    },
}

#[derive(Deserialize)]
struct Suite {
    cases: Vec<Case>,
}

/// All cases of a folder whose title has what `HARDWAY_CASES` says.
pub(crate) fn all(folder: &Path) -> Vec<Case> {
    let wanted = std::env::var("HARDWAY_CASES").unwrap_or_default();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        // Through JSON, so that a step is `name: content` and not a YAML tag.
        let value: Value =
            serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let suite: Suite =
            serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        cases.extend(suite.cases);
    }
    cases.retain(|case| case.test.contains(&wanted));
    cases
}
