//! Sending a request on to the server of its group, in the name of its user.

use super::backend::{Backend, Unreachable, uri};
use super::routes::Remote;
use crate::answer;
use crate::audit::Record;
use crate::connect::relay;
use crate::connect::rewrite::Rewriting;
use crate::identity::User;
use crate::metrics::requests::labels::AGGREGATOR;
use crate::request::{Arrived, host_of};
use crate::serving::body::{Body, Response};
use futures::{TryStreamExt, stream};
use http::header::{ACCEPT_ENCODING, HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for the discovery document of another server.
const DISCOVERY: Duration = Duration::from_secs(5);
const TOO_LATE: &str = "context deadline exceeded";
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Answers with what the other server answers. `redirecting` says whether that may send the client elsewhere.
pub async fn forward(
    remote: &Remote,
    arrived: Arrived,
    user: &User,
    record: &mut Record,
    redirecting: bool,
) -> Response {
    let mut ended = |code: StatusCode, text: &str| {
        record.terminated = Some(AGGREGATOR);
        failure(code, text)
    };
    if !remote.available {
        return ended(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    }
    let backend = match &remote.backend {
        Ok(backend) => backend,
        Err(reason) => return ended(StatusCode::INTERNAL_SERVER_ERROR, reason),
    };
    let authority = match backend.authority() {
        Ok(authority) => authority,
        Err(error) => {
            tracing::warn!(name = remote.name, %error, "the service of an APIService leads nowhere");
            return ended(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
        }
    };
    let host = host_of(&arrived.parts);
    match exchange(backend, &authority, arrived, user).await {
        Ok(response) if redirects(&response) && redirecting => led_back(response, authority, host),
        Ok(response) if redirects(&response) => {
            tracing::warn!(name = remote.name, "a server tried to send a client elsewhere");
            answer::text(StatusCode::BAD_GATEWAY, REDIRECTED.to_owned())
        }
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(name = remote.name, %error, "a request could not be sent on");
            let text = format!("error trying to reach service: {error}");
            failure(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

const REDIRECTED: &str = "the backend attempted to redirect this request, which is not permitted";

/// Whether the client is sent elsewhere: it would follow with the credentials that it has for this server (CVE-2022-3172).
fn redirects(response: &Response) -> bool {
    let location = response.headers().get(LOCATION);
    response.status().is_redirection() && location.is_some_and(|location| !location.is_empty())
}

/// A place at the other server, to which the client may have no way, is one here.
fn led_back(mut response: Response, authority: String, host: Option<String>) -> Response {
    let links = Rewriting {
        prefix: String::new(),
        authority,
        host,
    };
    let headers = response.headers_mut();
    if let Some(location) = headers.get(LOCATION).and_then(|value| value.to_str().ok())
        && let Ok(location) = HeaderValue::from_str(&links.link(location))
    {
        headers.insert(LOCATION, location);
    }
    response
}

/// Sends the request and gives the answer.
pub async fn exchange(
    backend: &Backend,
    authority: &str,
    arrived: Arrived,
    user: &User,
) -> Result<Response, Unreachable> {
    if !is_discovery(arrived.parts.uri.path()) {
        return sent(backend, authority, arrived, user).await;
    }
    // Clients read the discovery of all groups one after the other: one sick server must not keep them.
    let deadline = Instant::now() + DISCOVERY;
    let mut response = timeout_at(deadline, sent(backend, authority, arrived, user))
        .await
        .map_err(|_| Unreachable(TOO_LATE.to_owned()))??;
    let body = std::mem::replace(response.body_mut(), Body::empty());
    *response.body_mut() = until(deadline, body);
    Ok(response)
}

/// `/apis/GROUP/VERSION`
fn is_discovery(path: &str) -> bool {
    path.trim_matches('/').split('/').count() == 3
}

/// A body that breaks off when it isn't complete by the deadline.
fn until(deadline: Instant, body: Body) -> Body {
    match body {
        Body::Stream(stream) => Body::stream(stream::try_unfold(stream, move |mut stream| async move {
            match timeout_at(deadline, stream.try_next()).await {
                Ok(next) => Ok(next?.map(|bytes| (bytes, stream))),
                Err(_) => Err(std::io::Error::other(TOO_LATE)),
            }
        })),
        whole => whole,
    }
}

async fn sent(
    backend: &Backend,
    authority: &str,
    arrived: Arrived,
    user: &User,
) -> Result<Response, Unreachable> {
    let Arrived {
        audit_id,
        parts,
        body: incoming,
        upgrade,
        peer,
        ..
    } = arrived;
    let upgrading = upgrade.is_some() && relay::is_upgrade(&parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = relay::forwarded(&parts.headers, upgrading);
    identify(&mut headers, user, backend.hides_uids())?;
    if let Some(encoding) = parts.headers.get(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, encoding.clone());
    }
    relay::forwarded_for(&mut headers, &peer.address.ip().to_string());
    // The events of both servers tell of the same request.
    if let Ok(id) = HeaderValue::from_str(&audit_id) {
        headers.insert(AUDIT_ID, id);
    }
    if !upgrading {
        tell_origin(&mut headers, parts.uri.path(), authority);
    }
    let body = if upgrading {
        relay::empty()
    } else {
        relay::passed_on(incoming)
    };
    let mut request = http::Request::new(body);
    *request.method_mut() = parts.method;
    *request.headers_mut() = headers;
    if upgrading {
        *request.uri_mut() = path
            .parse()
            .map_err(|_| Unreachable("the path can't be sent on".to_owned()))?;
        if let Ok(host) = HeaderValue::from_str(authority) {
            request.headers_mut().insert(HOST, host);
        }
        let connection = backend.dial(authority).await?;
        return relay::over(connection, request, upgrade, 0)
            .await
            .map_err(|error| Unreachable(error.to_string()));
    }
    *request.uri_mut() = uri(authority, path)?;
    // The pool chooses the version that the connection speaks.
    *request.version_mut() = Version::HTTP_11;
    let mut response = relay::answer_of(backend.send(request).await?, ());
    answer::keep_private(response.headers_mut());
    Ok(response)
}

/// What proxies tell of what was asked of them.
fn tell_origin(headers: &mut HeaderMap, path: &str, authority: &str) {
    for (name, value) in [
        ("x-forwarded-uri", path),
        ("x-forwarded-host", authority),
        ("x-forwarded-proto", "https"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// The headers that tell the other server whose request this is. Whatever the client sent of them is gone.
pub fn identify(headers: &mut HeaderMap, user: &User, without_uid: bool) -> Result<(), Unreachable> {
    let mut add = |name: &str, value: &str| {
        let refused = |what: &str| Unreachable(format!("net/http: invalid header field {what}"));
        // Left out, the request would be made in the name of this server.
        let key = HeaderName::try_from(name).map_err(|_| refused(&format!("name {name:?}")))?;
        let value =
            HeaderValue::from_str(value).map_err(|_| refused(&format!("value for {:?}", canonical(name))))?;
        headers.append(key, value);
        Ok(())
    };
    add("x-remote-user", &user.name)?;
    if !user.uid.is_empty() && !without_uid {
        add("x-remote-uid", &user.uid)?;
    }
    for group in &user.groups {
        add("x-remote-group", group)?;
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escape(key));
        values.iter().try_for_each(|value| add(&name, value))?;
    }
    Ok(())
}

/// The name of a header as Go writes it: each of its words with a capital.
fn canonical(name: &str) -> String {
    let mut beginning = true;
    let capitals = name.chars().map(|c| {
        let capital = std::mem::replace(&mut beginning, c == '-');
        if capital { c.to_ascii_uppercase() } else { c }
    });
    capitals.collect()
}

/// A key as part of a header's name: what may not stand in one is percent-encoded.
fn escape(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        if plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name
}

fn failure(code: StatusCode, text: &str) -> Response {
    answer::text(code, format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::StreamExt;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (code, location, expected) in [
            (302, Some("https://example.com/"), true),
            (307, Some("/other"), true),
            (304, None, false),
            (302, Some(""), false),
            (201, Some("/made"), false),
        ] {
            let mut response = answer::text(StatusCode::from_u16(code).unwrap(), String::new());
            if let Some(location) = location {
                let location = HeaderValue::from_static(location);
                response.headers_mut().insert(LOCATION, location);
            }
            assert_eq!(redirects(&response), expected, "{code} {location:?}");
        }
    }

    #[test]
    fn places_at_the_other_server_are_here() {
        for (location, want) in [
            ("https://10.0.0.1:443/apis/g/v1/x?y", "/apis/g/v1/x?y"),
            ("https://api.example.com/apis/g", "https://api.example.com/apis/g"),
            ("https://elsewhere.example.com/", "https://elsewhere.example.com/"),
            ("/apis/g", "/apis/g"),
            ("x", "x"),
        ] {
            let mut response = answer::text(StatusCode::FOUND, String::new());
            let location = HeaderValue::from_static(location);
            response.headers_mut().insert(LOCATION, location);
            let host = Some("api.example.com".to_owned());
            let response = led_back(response, "10.0.0.1:443".to_owned(), host);
            assert_eq!(response.headers()[LOCATION], want);
        }
    }

    #[test]
    fn paths_of_three_parts_are_discovery() {
        for (path, expected) in [
            ("/apis/g/v1", true),
            ("/apis/g/v1/", true),
            ("/apis/g", false),
            ("/apis/g/v1/pods", false),
        ] {
            assert_eq!(is_discovery(path), expected, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_breaks_off() {
        let stalled = stream::iter([Ok(Bytes::from_static(b"{"))]).chain(stream::pending());
        let deadline = Instant::now() + DISCOVERY;
        let Body::Stream(mut stream) = until(deadline, Body::stream(stalled)) else {
            panic!("not a stream");
        };
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "{");
        assert_eq!(stream.try_next().await.unwrap_err().to_string(), TOO_LATE);
        assert_eq!(Instant::now(), deadline);
    }

    #[test]
    fn who_cannot_be_named_is_not_left_out() {
        let named = |name: &str| User {
            name: name.into(),
            groups: vec!["a".into()],
            ..User::default()
        };
        let mut headers = HeaderMap::new();
        identify(&mut headers, &named("j\u{f6}rg"), false).unwrap();
        assert_eq!(headers["x-remote-user"].as_bytes(), "j\u{f6}rg".as_bytes());
        let refusal = identify(&mut HeaderMap::new(), &named("a\nb"), false).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "net/http: invalid header field value for \"X-Remote-User\""
        );
    }

    #[test]
    fn the_user_travels_in_headers() {
        let user = User {
            name: "jane".into(),
            uid: "42".into(),
            groups: vec!["a".into(), "b".into()],
            extra: [(
                "example.org/Scope%".to_owned(),
                vec!["x".to_owned(), "y".to_owned()],
            )]
            .into(),
        };
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user, false).unwrap();
        let all = |name: &str| -> Vec<&str> {
            let values = headers.get_all(name).iter();
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-uid"), ["42"]);
        assert_eq!(all("x-remote-group"), ["a", "b"]);
        assert_eq!(all("x-remote-extra-example.org%2fscope%25"), ["x", "y"]);
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user, true).unwrap();
        assert!(headers.contains_key("x-remote-user") && !headers.contains_key("x-remote-uid"));
    }
}
