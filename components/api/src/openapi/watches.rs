//! The older paths of watches, which built-in kinds still have.
use super::operations::{LIST, META, Place, STREAMS, content, group_of_ids, shared_parameters, tag};
use crate::Resource;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Adds the watches of a kind below `base` (`/apis/apps/v1`).
pub(super) fn paths(row: &Resource, base: &str, out: &mut BTreeMap<String, Value>) {
    if !row.has_verb("watch") {
        return;
    }
    let (kind, plural) = (&row.gvk.kind, &row.plural);
    let mut add = |path: String, place: Place, action: &str, id: String| {
        let version = row.gvk.group_version();
        let operation = json!({
            "tags": [tag(&version)],
            "operationId": format!("watch{}{id}", group_of_ids(&version)),
            "responses": {
                "200": {"description": "OK", "content": content(&STREAMS, &format!("{META}.WatchEvent"))},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": row.gvk.group, "version": row.gvk.version, "kind": kind},
        });
        let shared = shared_parameters(row, place, LIST);
        out.insert(path, json!({"get": operation, "parameters": shared}));
    };
    if row.namespaced {
        let all = format!("{base}/watch/{plural}");
        add(
            all,
            Place::Everywhere,
            "watchlist",
            format!("{kind}ListForAllNamespaces"),
        );
        let list = format!("{base}/watch/namespaces/{{namespace}}/{plural}");
        let one = format!("{list}/{{name}}");
        add(
            list,
            Place::Namespace,
            "watchlist",
            format!("Namespaced{kind}List"),
        );
        add(one, Place::Named, "watch", format!("Namespaced{kind}"));
    } else {
        let list = format!("{base}/watch/{plural}");
        let one = format!("{list}/{{name}}");
        add(list, Place::Everywhere, "watchlist", format!("{kind}List"));
        add(one, Place::Named, "watch", kind.clone());
    }
}
