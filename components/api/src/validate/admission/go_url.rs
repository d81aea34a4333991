//! URLs as Go's net/url reads them, with its errors.
use apimachinery::field::quote;

/// The parts of a URL that are of interest here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct GoUrl {
    /// In lower case.
    pub(super) scheme: String,
    /// With the port.
    pub(super) host: String,
    /// `user:password`, which may be there and empty.
    pub(super) user: Option<String>,
    pub(super) query: String,
    pub(super) fragment: String,
}

/// Reads a URL; the error says what was read, and why it is none.
pub(super) fn parse(text: &str) -> Result<GoUrl, String> {
    let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = without_fragment(whole).map_err(|why| format!("parse {}: {why}", quote(whole)))?;
    url.fragment = unescape(fragment, |_| false).map_err(|why| format!("parse {}: {why}", quote(text)))?;
    Ok(url)
}

/// Whether the text is what a request may be for: an absolute URL or path (Go, url.ParseRequestURI).
pub(crate) fn is_request_uri(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return false;
    }
    let Ok((scheme, rest)) = scheme(text) else {
        return false;
    };
    let path = rest.split('?').next().unwrap_or("");
    if !path.starts_with('/') {
        // With a scheme it may be anything.
        return !scheme.is_empty();
    }
    let path = match path.strip_prefix("//") {
        Some(after) if !scheme.is_empty() => {
            let slash = after.find('/').unwrap_or(after.len());
            if authority(&after[..slash]).is_err() {
                return false;
            }
            &after[slash..]
        }
        _ => path,
    };
    unescape(path, |_| false).is_ok()
}

fn without_fragment(text: &str) -> Result<GoUrl, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = GoUrl {
        scheme: scheme.to_ascii_lowercase(),
        query: query.to_owned(),
        ..GoUrl::default()
    };
    if !rest.starts_with('/') {
        if !scheme.is_empty() {
            // Something else than a path, which means nothing to us.
            return Ok(url);
        }
        if rest
            .split('/')
            .next()
            .is_some_and(|segment| segment.contains(':'))
        {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let path = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !after.starts_with('/') => {
            let slash = after.find('/').unwrap_or(after.len());
            (url.user, url.host) = authority(&after[..slash])?;
            &after[slash..]
        }
        _ => rest,
    };
    unescape(path, |_| false)?;
    Ok(url)
}

fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn authority(text: &str) -> Result<(Option<String>, String), String> {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, text),
    };
    let host = self::host(host)?;
    let Some(user) = user else {
        return Ok((None, host));
    };
    let in_user = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(in_user) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    unescape(user, |_| false)?;
    Ok((Some(user.to_owned()), host))
}

fn host(text: &str) -> Result<String, String> {
    let port = if text.starts_with('[') {
        let end = text.rfind(']').ok_or("missing ']' in host")?;
        Some(&text[end + 1..])
    } else {
        text.rfind(':').map(|colon| &text[colon..])
    };
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    let zone = text.starts_with('[').then(|| text.find("%25")).flatten();
    // What a zone is made of is escaped as anything else may be.
    let (name, zone) = text.split_at(zone.unwrap_or(text.len()));
    Ok(unescape(name, |byte| !in_host(byte))? + &unescape(zone, |_| false)?)
}

/// Nothing, or a colon and digits.
fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"!$&'()*+,;=:[]<>\"-_.~%".contains(&byte)
}

/// Reads `%41` as `A`. Bytes that may not be in a host are refused, and so are escapes of ASCII there.
fn unescape(text: &str, refused: fn(u8) -> bool) -> Result<String, String> {
    let of_host = refused(b' ');
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte != b'%' {
            if refused(*byte) {
                let shown = quote(&(*byte as char).to_string());
                return Err(format!("invalid character {shown} in host name"));
            }
            out.push(*byte);
            at += 1;
            continue;
        }
        let escape = &bytes[at..bytes.len().min(at + 3)];
        let code = std::str::from_utf8(escape)
            .ok()
            .filter(|escape| escape.bytes().skip(1).all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|escape| u8::from_str_radix(escape.get(1..3)?, 16).ok());
        match code {
            Some(code) if !(of_host && code < 0x80 && code != b'%') => out.push(code),
            _ => {
                let shown = String::from_utf8_lossy(escape);
                return Err(format!("invalid URL escape {}", quote(&shown)));
            }
        }
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_told_apart() {
        let url = |scheme: &str, host: &str, user: Option<&str>, query: &str, fragment: &str| GoUrl {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            user: user.map(str::to_owned),
            query: query.to_owned(),
            fragment: fragment.to_owned(),
        };
        for (text, expected) in [
            ("HTTPS://a.b:80/c", url("https", "a.b:80", None, "", "")),
            (
                "https://u:p@a/?q#f%20g",
                url("https", "a", Some("u:p"), "q", "f g"),
            ),
            ("https://@a?", url("https", "a", Some(""), "", "")),
            ("https:a", url("https", "", None, "", "")),
            ("https://[::1]:80", url("https", "[::1]:80", None, "", "")),
            ("a/b", url("", "", None, "", "")),
            ("///a", url("", "", None, "", "")),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_as_go_tells_it() {
        for (text, wrong) in [
            (":a", "missing protocol scheme"),
            ("1:a", "first path segment in URL cannot contain colon"),
            ("https://a b", "invalid character \" \" in host name"),
            ("https://a:b", "invalid port \":b\" after host"),
            ("https://[::1", "missing ']' in host"),
            ("https://a/%zz", "invalid URL escape \"%zz\""),
            ("https://a%41", "invalid URL escape \"%41\""),
            ("https://a/%4", "invalid URL escape \"%4\""),
            ("https://a^@b", "net/url: invalid userinfo"),
            ("https://a\u{7f}", "net/url: invalid control character in URL"),
        ] {
            let expected = format!("parse {}: {wrong}", quote(text));
            assert_eq!(parse(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_is_read(text in "(https?:)?/{0,3}[a-z0-9%@:\\[\\]#?/é .-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
