//! The older paths of watches, which built-in kinds still have.
use super::items::{Shared, item};
use super::operations::{META, STREAMS, content, group_of_ids, tag};
use super::options::{LIST, parameters};
use super::phrases;
use crate::Resource;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Adds the watches of a kind below `base` (`/apis/apps/v1`).
pub(super) fn paths(row: &Resource, base: &str, out: &mut BTreeMap<String, Value>) {
    if !row.has_verb("watch") {
        return;
    }
    let (kind, plural) = (&row.gvk.kind, &row.plural);
    let mut add = |path: String, namespaced: bool, action: &str, id: String| {
        let version = row.gvk.group_version();
        let operation = json!({
            "tags": [tag(&version)],
            "description": phrases::watch(action, kind),
            "operationId": format!("watch{}{id}", group_of_ids(&version)),
            "parameters": parameters(LIST),
            "responses": {
                "200": {"description": "OK", "content": content(&STREAMS, &format!("{META}.WatchEvent"))},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": row.gvk.group, "version": row.gvk.version, "kind": kind},
        });
        let shared = Shared {
            named: (action == "watch").then_some(kind.as_str()),
            namespaced,
            below: false,
            pretty: true,
        };
        out.insert(
            path,
            item(Map::from_iter([("get".to_owned(), operation)]), shared),
        );
    };
    if row.namespaced {
        let all = format!("{base}/watch/{plural}");
        add(all, false, "watchlist", format!("{kind}ListForAllNamespaces"));
        let list = format!("{base}/watch/namespaces/{{namespace}}/{plural}");
        let one = format!("{list}/{{name}}");
        add(list, true, "watchlist", format!("Namespaced{kind}List"));
        add(one, true, "watch", format!("Namespaced{kind}"));
    } else {
        let list = format!("{base}/watch/{plural}");
        let one = format!("{list}/{{name}}");
        add(list, false, "watchlist", format!("{kind}List"));
        add(one, false, "watch", kind.clone());
    }
}
