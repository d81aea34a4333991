//! Sending a request on to the server of its group, in the name of its user.

use super::backend::{Backend, Unreachable};
use super::routes::Remote;
use crate::answer;
use crate::connect::relay;
use crate::identity::User;
use crate::request::Arrived;
use crate::serving::body::Response;
use http::header::{ACCEPT_ENCODING, HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// Answers with what the other server answers.
pub async fn forward(remote: &Remote, arrived: Arrived, user: &User) -> Response {
    if !remote.available {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "service unavailable");
    }
    let backend = match &remote.backend {
        Ok(backend) => backend,
        Err(reason) => return failure(StatusCode::INTERNAL_SERVER_ERROR, reason),
    };
    match exchange(backend, arrived, user).await {
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

/// Sends the request and gives the answer.
pub async fn exchange(backend: &Backend, arrived: Arrived, user: &User) -> Result<Response, Unreachable> {
    let Arrived {
        parts,
        body: incoming,
        upgrade,
        peer,
        ..
    } = arrived;
    let upgrading = upgrade.is_some() && relay::is_upgrade(&parts.headers);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut headers = relay::forwarded(&parts.headers, upgrading);
    identify(&mut headers, user, backend.hides_uids());
    if let Some(encoding) = parts.headers.get(ACCEPT_ENCODING) {
        headers.insert(ACCEPT_ENCODING, encoding.clone());
    }
    relay::forwarded_for(&mut headers, &peer.address.ip().to_string());
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
        let authority = backend.origin().trim_start_matches("https://");
        if let Ok(host) = HeaderValue::from_str(authority) {
            request.headers_mut().insert(HOST, host);
        }
        let connection = backend.dial().await?;
        return relay::over(connection, request, upgrade, 0)
            .await
            .map_err(|error| Unreachable(error.to_string()));
    }
    *request.uri_mut() = backend.uri(path)?;
    // The pool chooses the version that the connection speaks.
    *request.version_mut() = Version::HTTP_11;
    Ok(relay::answer_of(backend.send(request).await?, ()))
}

/// The headers that tell the other server whose request this is. Whatever the client sent of them is gone.
pub fn identify(headers: &mut HeaderMap, user: &User, without_uid: bool) {
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() && !without_uid {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", escape(key));
        values.iter().for_each(|value| add(&name, value));
    }
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
        identify(&mut headers, &user, false);
        let all = |name: &str| -> Vec<&str> {
            let values = headers.get_all(name).iter();
            values.map(|value| value.to_str().unwrap()).collect()
        };
        assert_eq!(all("x-remote-user"), ["jane"]);
        assert_eq!(all("x-remote-uid"), ["42"]);
        assert_eq!(all("x-remote-group"), ["a", "b"]);
        assert_eq!(all("x-remote-extra-example.org%2fscope%25"), ["x", "y"]);
        let mut headers = HeaderMap::new();
        identify(&mut headers, &user, true);
        assert!(headers.contains_key("x-remote-user") && !headers.contains_key("x-remote-uid"));
    }
}
