//! What a request is about, read from its method, path and query.

use http::Method;
use percent_encoding::percent_decode_str;

/// Paths that are asked for, and answered, whatever state the server is in: health and metrics.
pub fn is_probe(path: &str) -> bool {
    ["/readyz", "/livez", "/healthz", "/metrics"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// The parts of a request that authorization and routing look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    pub is_resource: bool,
    /// Decoded path, as sent.
    pub path: String,
    /// Kubernetes verb for resources, lower-case method otherwise.
    pub verb: String,
    /// `api` or `apis`.
    pub prefix: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// Path after the resource's subresource, for proxies.
    pub rest: Vec<String>,
}

/// A path that looks like an API path but names nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unable to determine kind and namespace from url, {0}")]
pub struct BadPath(pub String);

impl RequestInfo {
    /// Reads a request line. `path` is the raw path, `query` the raw query.
    pub fn parse(method: &Method, path: &str, query: &Query) -> Result<Self, BadPath> {
        let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let mut info = Self {
            verb: method.as_str().to_ascii_lowercase(),
            ..Self::default()
        };
        let owned: Vec<String> = split_path(&decoded);
        info.path = decoded;
        let mut parts: &[String] = &owned;
        if parts.len() < 3 || !matches!(parts[0].as_str(), "api" | "apis") {
            return Ok(info);
        }
        let prefix = parts[0].clone();
        parts = &parts[1..];
        if prefix == "apis" {
            if parts.len() < 3 {
                return Ok(info);
            }
            info.group = parts[0].clone();
            parts = &parts[1..];
        }
        info.prefix = prefix;
        info.is_resource = true;
        info.version = parts[0].clone();
        parts = &parts[1..];
        info.verb = match *method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        }
        .to_owned();
        if parts[0] == "watch" || parts[0] == "proxy" {
            if parts.len() < 2 {
                return Err(BadPath(info.path));
            }
            info.verb = parts[0].clone();
            parts = &parts[1..];
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].clone();
            if parts.len() > 2 && !matches!(parts[2].as_str(), "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        info.resource = parts[0].clone();
        info.name = parts.get(1).cloned().unwrap_or_default();
        if info.verb != "proxy" {
            info.subresource = parts.get(2).cloned().unwrap_or_default();
        }
        info.rest = parts.get(3..).map(<[String]>::to_vec).unwrap_or_default();
        info.refine_collection_verb(query);
        Ok(info)
    }

    fn refine_collection_verb(&mut self, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if query.is_true("watch") { "watch" } else { "list" }.to_owned();
        } else if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if self.name.is_empty() && matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            // A selector for one name counts as that name, so that rules with resourceNames apply.
            if let Some(name) = query.get("fieldSelector").and_then(selected_name) {
                self.name = name;
            }
        }
    }

    /// Whether this request changes something and so must run to its end.
    pub fn is_mutating(&self) -> bool {
        matches!(
            self.verb.as_str(),
            "create" | "update" | "patch" | "delete" | "deletecollection"
        )
    }

    /// Whether the request may stay open for long and is exempt from timeouts and in-flight limits.
    pub fn is_long_running(&self) -> bool {
        self.verb == "watch"
            || self.verb == "proxy"
            || (self.is_resource
                && matches!(
                    self.subresource.as_str(),
                    "attach" | "exec" | "proxy" | "log" | "portforward"
                ))
    }

    /// `/api/v1` or `/apis/group/version`.
    pub fn group_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

fn split_path(path: &str) -> Vec<String> {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() {
        Vec::new()
    } else {
        trimmed.split('/').map(str::to_owned).collect()
    }
}

fn selected_name(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        let plain = !value.is_empty()
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
        plain.then(|| value.to_owned())
    })
}

/// Decoded query parameters, in order.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub fn parse(raw: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(raw.unwrap_or("").as_bytes())
            .into_owned()
            .collect();
        Self { pairs }
    }

    /// First value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Upstream's reading of a boolean parameter: present, and neither `0` nor `false`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(says_true)
    }

    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

/// Whether two hexadecimal digits stand behind each percent sign. Go's server looks at this before anybody sees the request.
pub fn is_escaped_well(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether a parameter's text is true, as upstream reads it: everything but `0` and `false`, which Python writes `False`.
pub fn says_true(text: &str) -> bool {
    text != "0" && !text.eq_ignore_ascii_case("false")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, url: &str) -> RequestInfo {
        let (path, query) = url
            .split_once('?')
            .map_or((url, None), |(path, query)| (path, Some(query)));
        RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query)).unwrap()
    }

    #[test]
    fn percent_signs_are_followed_by_digits() {
        for (path, well) in [
            ("/", true),
            ("/a%2Fb%c3", true),
            ("/%zz", false),
            ("/a%", false),
            ("/%4", false),
            ("/%%41", false),
        ] {
            assert_eq!(is_escaped_well(path), well, "{path}");
        }
    }

    #[test]
    fn resource_requests() {
        // method, url, verb, group, version, namespace, resource, subresource, name
        let table = [
            (
                "GET",
                "/api/v1/namespaces",
                "list",
                "",
                "v1",
                "",
                "namespaces",
                "",
                "",
            ),
            (
                "GET",
                "/api/v1/namespaces/other",
                "get",
                "",
                "v1",
                "other",
                "namespaces",
                "",
                "other",
            ),
            (
                "PUT",
                "/api/v1/namespaces/other/finalize",
                "update",
                "",
                "v1",
                "other",
                "namespaces",
                "finalize",
                "other",
            ),
            (
                "PUT",
                "/api/v1/namespaces/other/status",
                "update",
                "",
                "v1",
                "other",
                "namespaces",
                "status",
                "other",
            ),
            (
                "GET",
                "/api/v1/namespaces/other/pods",
                "list",
                "",
                "v1",
                "other",
                "pods",
                "",
                "",
            ),
            (
                "GET",
                "/api/v1/namespaces/other/pods?watch=1",
                "watch",
                "",
                "v1",
                "other",
                "pods",
                "",
                "",
            ),
            (
                "GET",
                "/api/v1/namespaces/other/pods?watch=false",
                "list",
                "",
                "v1",
                "other",
                "pods",
                "",
                "",
            ),
            (
                "HEAD",
                "/api/v1/namespaces/other/pods/foo",
                "get",
                "",
                "v1",
                "other",
                "pods",
                "",
                "foo",
            ),
            ("GET", "/api/v1/pods", "list", "", "v1", "", "pods", "", ""),
            (
                "POST",
                "/api/v1/namespaces/o/pods/foo/exec",
                "create",
                "",
                "v1",
                "o",
                "pods",
                "exec",
                "foo",
            ),
            (
                "GET",
                "/api/v1/watch/nodes",
                "watch",
                "",
                "v1",
                "",
                "nodes",
                "",
                "",
            ),
            (
                "DELETE",
                "/api/v1/nodes",
                "deletecollection",
                "",
                "v1",
                "",
                "nodes",
                "",
                "",
            ),
            (
                "DELETE",
                "/api/v1/nodes/n",
                "delete",
                "",
                "v1",
                "",
                "nodes",
                "",
                "n",
            ),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/n/deployments/d/scale",
                "patch",
                "apps",
                "v1",
                "n",
                "deployments",
                "scale",
                "d",
            ),
            (
                "GET",
                "/apis/apps/v1/deployments",
                "list",
                "apps",
                "v1",
                "",
                "deployments",
                "",
                "",
            ),
            (
                "GET",
                "/api/v1/nodes?fieldSelector=metadata.name%3Dn1&watch=true",
                "watch",
                "",
                "v1",
                "",
                "nodes",
                "",
                "n1",
            ),
        ];
        for (method, url, verb, group, version, namespace, resource, subresource, name) in table {
            let info = parse(method, url);
            assert!(info.is_resource, "{url}");
            let seen = (
                info.verb.as_str(),
                info.group.as_str(),
                info.version.as_str(),
                info.namespace.as_str(),
                info.resource.as_str(),
                info.subresource.as_str(),
                info.name.as_str(),
            );
            assert_eq!(
                seen,
                (verb, group, version, namespace, resource, subresource, name),
                "{method} {url}"
            );
        }
    }

    #[test]
    fn other_requests() {
        for url in [
            "/",
            "/api",
            "/apis",
            "/api/v1",
            "/apis/apps",
            "/apis/apps/v1",
            "/healthz",
            "/openapi/v3/apis/apps/v1",
        ] {
            let info = parse("GET", url);
            assert!(!info.is_resource, "{url}");
            assert_eq!(info.verb, "get");
            assert_eq!(info.path, url);
        }
        assert!(RequestInfo::parse(&Method::GET, "/api/v1/watch", &Query::default()).is_err());
    }
}
