//! Query parameters of operations: names, types and upstream's texts.
use crate::schema::embedded;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Options of requests.
#[derive(Clone, Copy)]
pub(super) struct Options {
    /// The kinds that have the fields, of which the first that tells something of a field is believed.
    pub kinds: &'static [&'static str],
    /// Names and types.
    pub fields: &'static [(&'static str, &'static str)],
}

pub(super) const NONE: Options = Options {
    kinds: &[],
    fields: &[],
};
pub(super) const GET: Options = Options {
    kinds: &["GetOptions"],
    fields: &[("resourceVersion", "string")],
};
pub(super) const LIST: Options = Options {
    kinds: &["ListOptions"],
    fields: &[
        ("allowWatchBookmarks", "boolean"),
        ("continue", "string"),
        ("fieldSelector", "string"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("shardSelector", "string"),
        ("timeoutSeconds", "integer"),
        ("watch", "boolean"),
    ],
};
pub(super) const WRITE: Options = Options {
    kinds: &["UpdateOptions"],
    fields: &[
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
    ],
};
pub(super) const PATCH: Options = Options {
    kinds: &["PatchOptions"],
    fields: &[
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
        ("force", "boolean"),
    ],
};
pub(super) const DELETE: Options = Options {
    kinds: &["DeleteOptions"],
    fields: &[
        ("dryRun", "string"),
        ("gracePeriodSeconds", "integer"),
        ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
    ],
};
pub(super) const DELETE_COLLECTION: Options = Options {
    kinds: &["DeleteOptions", "ListOptions"],
    fields: &[
        ("continue", "string"),
        ("dryRun", "string"),
        ("fieldSelector", "string"),
        ("gracePeriodSeconds", "integer"),
        ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
        ("labelSelector", "string"),
        ("limit", "integer"),
        ("orphanDependents", "boolean"),
        ("propagationPolicy", "string"),
        ("resourceVersion", "string"),
        ("resourceVersionMatch", "string"),
        ("sendInitialEvents", "boolean"),
        ("shardSelector", "string"),
        ("timeoutSeconds", "integer"),
    ],
};
pub(super) const LOG: Options = Options {
    kinds: &["PodLogOptions"],
    fields: &[
        ("container", "string"),
        ("follow", "boolean"),
        ("insecureSkipTLSVerifyBackend", "boolean"),
        ("limitBytes", "integer"),
        ("previous", "boolean"),
        ("sinceSeconds", "integer"),
        ("stream", "string"),
        ("tailLines", "integer"),
        ("timestamps", "boolean"),
    ],
};

/// By kinds of options and their fields, the latter in small letters.
type Texts = BTreeMap<String, BTreeMap<String, String>>;

static TEXTS: LazyLock<Texts> = LazyLock::new(|| embedded(include_bytes!("../gen/options.json.gz")));

fn text(kind: &str, field: &str) -> Option<&'static str> {
    let told = TEXTS.get(kind)?.get(&field.to_lowercase());
    // Newer than the messages that the other texts are of.
    told.map(String::as_str).or((kind, field)
        .eq(&("ListOptions", "shardSelector"))
        .then_some(SHARD_SELECTOR))
}

/// Parameters of the query.
pub(super) fn parameters(options: Options) -> Vec<Value> {
    let parameter = |(name, ty): &(&str, &str)| {
        let mut made = json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}});
        if let Some(text) = options.kinds.iter().find_map(|kind| text(kind, name)) {
            made["description"] = json!(text);
        }
        made
    };
    options.fields.iter().map(parameter).collect()
}

const SHARD_SELECTOR: &str = "shardSelector restricts the list of returned objects using a CEL-based shard selector expression. The format uses the shardRange() function combined with || (logical OR) to specify one or more hash ranges:\n\n  shardRange(object.metadata.uid, '0x0', '0x8000000000000000')\n  shardRange(object.metadata.uid, '0x0', '0x8000000000000000') || shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')\n\nField paths use CEL-style object-rooted syntax (e.g. \"object.metadata.uid\"), NOT the fieldSelector format (\"metadata.uid\"). Currently supported paths:\n  - object.metadata.uid\n  - object.metadata.namespace\n\nhexStart and hexEnd are single-quoted CEL string literals with a '0x' prefix, defining the inclusive lower and exclusive upper bounds over the 64-bit FNV-1a hash space. The full range is [0x0, 0x10000000000000000), where the exclusive upper bound equals 2^64.\n\nExamples:\n  2-shard split:\n    shard 0: shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000')\n    shard 1: shardRange(object.metadata.uid, '0x8000000000000000', '0x10000000000000000')\n  4-shard split:\n    shard 0: shardRange(object.metadata.uid, '0x0000000000000000', '0x4000000000000000')\n    shard 1: shardRange(object.metadata.uid, '0x4000000000000000', '0x8000000000000000')\n    shard 2: shardRange(object.metadata.uid, '0x8000000000000000', '0xc000000000000000')\n    shard 3: shardRange(object.metadata.uid, '0xc000000000000000', '0x10000000000000000')\n\nThis is an alpha field and requires enabling the ShardedListAndWatch feature gate.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_described() {
        for options in [GET, LIST, WRITE, PATCH, DELETE, DELETE_COLLECTION, LOG] {
            for parameter in parameters(options) {
                assert!(parameter["description"].is_string(), "{parameter}");
            }
        }
    }
}
