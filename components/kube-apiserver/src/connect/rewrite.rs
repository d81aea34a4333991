//! What is changed in the answers of nodes, pods and services: their links would lead to this server's own paths.

use super::html::Page;
use crate::serving::body::{Body, Response};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue};
use std::io;

/// Who may see an answer of this server is not for others to say.
const CROSS_ORIGIN: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// How links are led back through the proxy.
#[derive(Clone, Debug)]
pub struct Rewriting {
    /// Path of the proxy, without a slash at its end.
    pub prefix: String,
    /// Of the other server.
    pub authority: String,
    /// As the client calls this server.
    pub host: Option<String>,
}

impl Rewriting {
    /// The link as the client has to follow it. What leads elsewhere, or from the page itself, stays.
    pub fn link(&self, link: &str) -> String {
        let scheme_end = link.find(':').filter(|end| is_scheme(&link[..*end]));
        let after_scheme = scheme_end.map_or(link, |end| &link[end + 1..]);
        let (host, path) = match after_scheme.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())),
            None => ("", after_scheme),
        };
        let is_own = Some(host) == self.host.as_deref();
        if !path.starts_with('/') || !(host.is_empty() || is_own || host == self.authority) {
            return link.to_owned();
        }
        let front = if is_own {
            &link[..link.len() - path.len()]
        } else {
            ""
        };
        if path.starts_with(&self.prefix) {
            return format!("{front}{path}");
        }
        format!("{front}{}{path}", self.prefix)
    }

    /// The answer with its links changed.
    pub fn apply(self, mut response: Response) -> Response {
        let headers = response.headers_mut();
        for name in CROSS_ORIGIN {
            headers.remove(name);
        }
        if let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok())
            && let Ok(location) = HeaderValue::from_str(&self.link(location))
        {
            headers.insert(LOCATION, location);
        }
        if !is_page(headers) {
            return response;
        }
        headers.remove(CONTENT_LENGTH);
        response.map(|body| match body {
            Body::Stream(pieces) => Body::stream(rewritten(pieces, self)),
            whole => whole,
        })
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Compressed pages are not asked for.
fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html"))
        && !headers.contains_key(http::header::CONTENT_ENCODING)
}

type Pieces = BoxStream<'static, io::Result<Bytes>>;

fn rewritten(pieces: Pieces, rewriting: Rewriting) -> impl futures::Stream<Item = io::Result<Bytes>> + Send {
    let state = Some((pieces, Page::default(), rewriting));
    stream::unfold(state, |state| async move {
        let (mut pieces, mut page, rewriting) = state?;
        match pieces.next().await {
            Some(Ok(bytes)) => {
                let out = page.push(&bytes, &|link| rewriting.link(link));
                Some((
                    Ok::<Bytes, io::Error>(out.into()),
                    Some((pieces, page, rewriting)),
                ))
            }
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Ok(page.finish().into()), None)),
        }
    })
    // A piece may have to wait for the next one.
    .filter(|piece| std::future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_the_other_server_lead_through_the_proxy() {
        let rewriting = Rewriting {
            prefix: "/api/v1/namespaces/n/services/s/proxy".into(),
            authority: "10.0.0.1:80".into(),
            host: Some("cluster:6443".into()),
        };
        for (link, expected) in [
            ("/x/?a=b#c", "/api/v1/namespaces/n/services/s/proxy/x/?a=b#c"),
            ("http://10.0.0.1:80/x", "/api/v1/namespaces/n/services/s/proxy/x"),
            (
                "https://cluster:6443/x",
                "https://cluster:6443/api/v1/namespaces/n/services/s/proxy/x",
            ),
            (
                "/api/v1/namespaces/n/services/s/proxy/x",
                "/api/v1/namespaces/n/services/s/proxy/x",
            ),
            ("x/y", "x/y"),
            ("../x", "../x"),
            ("?a=/b", "?a=/b"),
            ("#/x", "#/x"),
            ("http://example.com/x", "http://example.com/x"),
            ("//example.com/x", "//example.com/x"),
            ("mailto:a@example.com", "mailto:a@example.com"),
            ("", ""),
        ] {
            assert_eq!(rewriting.link(link), expected, "{link}");
        }
    }
}
