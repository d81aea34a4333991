//! What operations say of themselves.

/// The text of an operation on a kind or on a subresource of it. `verb` is that of the operation's ID.
pub(super) fn operation(verb: &str, kind: &str, subresource: Option<&str>, watched: bool) -> String {
    let part = subresource.map_or_else(String::new, |name| format!("{name} of "));
    match verb {
        "list" if watched => format!("list or watch objects of kind {kind}"),
        "list" => format!("list objects of kind {kind}"),
        "deletecollection" => format!("delete collection of {kind}"),
        "patch" => format!("partially update {part}the specified {kind}"),
        "create" | "delete" => format!("{verb} {part}{}{kind}", article(kind)),
        _ => format!("{verb} {part}the specified {kind}"),
    }
}

/// The text of a connection that is opened with this method.
pub(super) fn connection(method: &str, kind: &str, subresource: &str) -> String {
    format!(
        "connect {} requests to {subresource} of {kind}",
        method.to_uppercase()
    )
}

/// The text of an older path of watches.
pub(super) fn watch(action: &str, kind: &str) -> String {
    let instead = "use the 'watch' parameter with a list operation instead";
    if action == "watchlist" {
        return format!("watch individual changes to a list of {kind}. deprecated: {instead}.");
    }
    format!(
        "watch changes to an object of kind {kind}. deprecated: {instead}, filtered to a single item with the 'fieldSelector' parameter."
    )
}

/// With the space that follows it; what is a plural has none.
fn article(kind: &str) -> &'static str {
    if kind.ends_with('s') && !kind.ends_with("ss") {
        return "";
    }
    match kind.chars().next().map(|first| first.to_ascii_lowercase()) {
        Some('a' | 'e' | 'i' | 'o' | 'u') => "an ",
        _ => "a ",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_upstreams() {
        for (verb, kind, subresource, expected) in [
            ("list", "Pod", None, "list or watch objects of kind Pod"),
            ("create", "Ingress", None, "create an Ingress"),
            ("create", "Endpoints", None, "create Endpoints"),
            (
                "create",
                "Eviction",
                Some("eviction"),
                "create eviction of an Eviction",
            ),
            ("delete", "Pod", None, "delete a Pod"),
            ("deletecollection", "Pod", None, "delete collection of Pod"),
            (
                "read",
                "Scale",
                Some("scale"),
                "read scale of the specified Scale",
            ),
            ("replace", "Pod", None, "replace the specified Pod"),
            (
                "patch",
                "Pod",
                Some("status"),
                "partially update status of the specified Pod",
            ),
        ] {
            assert_eq!(operation(verb, kind, subresource, true), expected);
        }
        assert_eq!(
            connection("get", "PodExecOptions", "exec"),
            "connect GET requests to exec of PodExecOptions"
        );
    }
}
