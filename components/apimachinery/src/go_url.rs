//! URLs as Go's `net/url` reads them.
use std::collections::BTreeMap;
use std::fmt;

/// A URL, with its parts as they are written except for the host.
#[derive(Clone, Debug, Default)]
pub struct Url {
    pub scheme: String,
    /// What follows the scheme where it is no path.
    opaque: String,
    user: Option<String>,
    /// With the port.
    pub host: String,
    path: String,
    /// Whether a path follows the scheme without an authority, not even an empty one.
    omits_host: bool,
    query: Option<String>,
    fragment: String,
}

/// Where a text stands, which says what has to be escaped in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Query,
    Host,
    Zone,
    Other,
}

type Parsed<T> = Result<T, String>;

impl Url {
    /// A request's URL: it has a scheme, or is an absolute path. Of a fragment nothing is known.
    pub fn check_request(text: &str) -> Parsed<()> {
        Self::read(text, true)
            .map(drop)
            .map_err(|why| described(text, &why))
    }

    /// A URL that may have a fragment and passes [`Self::check_request`].
    pub fn parse_request(text: &str) -> Parsed<Self> {
        Self::check_request(text)?;
        Self::parse(text)
    }

    /// A URL of any form. The error says what was read, and why it is none.
    pub fn parse(text: &str) -> Parsed<Self> {
        let (front, fragment) = text.split_once('#').unwrap_or((text, ""));
        // Without a fragment, which is read last, the text is another.
        let mut url = Self::read(front, false).map_err(|why| described(front, &why))?;
        unescape(fragment, Part::Other).map_err(|why| described(text, &why))?;
        fragment.clone_into(&mut url.fragment);
        Ok(url)
    }

    /// `user:password`, which may be there and empty.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The query as it is written; empty where there is none.
    pub fn raw_query(&self) -> &str {
        self.query.as_deref().unwrap_or_default()
    }

    /// What the fragment means.
    pub fn fragment(&self) -> String {
        let bytes = unescape(&self.fragment, Part::Other).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn read(text: &str, of_request: bool) -> Parsed<Self> {
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        if text.is_empty() && of_request {
            return Err("empty url".to_owned());
        }
        let mut url = Self::default();
        if text == "*" {
            "*".clone_into(&mut url.path);
            return Ok(url);
        }
        let (scheme, rest) = scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        url.query = query;
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                rest.clone_into(&mut url.opaque);
                return Ok(url);
            }
            if of_request {
                return Err("invalid URI for request".to_owned());
            }
            let mut segments = rest.split('/');
            if segments.next().is_some_and(|first| first.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let has_authority = !url.scheme.is_empty() || !of_request && !rest.starts_with("///");
        let path = match rest.strip_prefix("//").filter(|_| has_authority) {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                url.set_authority(authority)?;
                path
            }
            None => {
                url.omits_host = !url.scheme.is_empty();
                rest
            }
        };
        unescape(path, Part::Path)?;
        path.clone_into(&mut url.path);
        Ok(url)
    }

    fn set_authority(&mut self, authority: &str) -> Parsed<()> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = host_of(host)?;
        let Some(user) = user else { return Ok(()) };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
        if !user.chars().all(fits) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        unescape(user, Part::Other)?;
        self.user = Some(user.to_owned());
        Ok(())
    }

    /// Host and port, without the brackets of an address.
    fn split_host(&self) -> (&str, &str) {
        let (host, port) = match self.host.rfind(':') {
            Some(colon) if is_port(&self.host[colon..]) => (&self.host[..colon], &self.host[colon + 1..]),
            _ => (self.host.as_str(), ""),
        };
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        (inner.unwrap_or(host), port)
    }

    pub fn hostname(&self) -> &str {
        self.split_host().0
    }

    pub fn port(&self) -> &str {
        self.split_host().1
    }

    /// The path as it is written, unless it has to be escaped.
    pub fn escaped_path(&self) -> String {
        let fits = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || !must_escape(byte, Part::Path);
        if self.path == "*" || self.path.bytes().all(fits) {
            return self.path.clone();
        }
        escape(&unescape(&self.path, Part::Path).unwrap_or_default(), Part::Path)
    }

    /// The query's values by their names. What can't be read is left out.
    pub fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let pairs = self.query.as_deref().unwrap_or("").split('&');
        for pair in pairs.filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Ok(name), Ok(value)) = (unescape(name, Part::Query), unescape(value, Part::Query)) {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                values.entry(text(name)).or_default().push(text(value));
            }
        }
        values
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let has_host = !self.host.is_empty() || self.user.is_some();
            // An empty authority is written where it was.
            let has_authority = !self.scheme.is_empty() && !self.omits_host && !self.path.is_empty();
            if has_host || has_authority {
                f.write_str("//")?;
                if let Some(user) = &self.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&escape(self.host.as_bytes(), Part::Host))?;
            }
            f.write_str(&self.escaped_path())?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if let Some(query) = &self.query {
            write!(f, "?{query}")?;
        }
        if self.fragment.is_empty() {
            return Ok(());
        }
        write!(f, "#{}", self.fragment)
    }
}

fn described(text: &str, why: &str) -> String {
    format!("parse {}: {why}", crate::field::quote(text))
}

/// The scheme and what follows; without one everything follows.
fn scheme(text: &str) -> Parsed<(&str, &str)> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn host_of(text: &str) -> Parsed<String> {
    let port = if text.starts_with('[') {
        let end = text.rfind(']').ok_or("missing ']' in host")?;
        &text[end + 1..]
    } else {
        text.rfind(':').map_or("", |colon| &text[colon..])
    };
    if !is_port(port) {
        return Err(format!("invalid port {} after host", crate::field::quote(port)));
    }
    let bracket = text.rfind(']').filter(|_| text.starts_with('['));
    let zone = bracket.and_then(|end| text[..end].find("%25").map(|zone| (zone, end)));
    let bytes = match (bracket, zone) {
        (Some(_), Some((zone, end))) => {
            let mut host = unescape(&text[..zone], Part::Host)?;
            check_address(&text[1..zone])?;
            host.extend(unescape(&text[zone..end], Part::Zone)?);
            host.extend(unescape(&text[end..], Part::Host)?);
            host
        }
        (Some(end), None) => {
            check_address(&text[1..end])?;
            unescape(text, Part::Host)?
        }
        _ => unescape(text, Part::Host)?,
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Only addresses of version 6 stand in brackets.
fn check_address(text: &str) -> Parsed<()> {
    match text.parse::<std::net::Ipv6Addr>() {
        Ok(_) => Ok(()),
        Err(_) => Err("invalid IP-literal".to_owned()),
    }
}

/// A colon and digits, or nothing.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => text.is_empty(),
    }
}

fn must_escape(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
        return false;
    }
    match part {
        Part::Host | Part::Zone => !b"!$&'()*+,;=:[]<>\"".contains(&byte),
        Part::Path => !b"$&+,/:;=@".contains(&byte),
        Part::Query | Part::Other => true,
    }
}

fn escape(bytes: &[u8], part: Part) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if must_escape(*byte, part) {
            out.push_str(&format!("%{byte:02X}"));
        } else {
            out.push(char::from(*byte));
        }
    }
    out
}

fn unescape(text: &str, part: Part) -> Parsed<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let of_host = matches!(part, Part::Host | Part::Zone);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let code = &bytes[at..bytes.len().min(at + 3)];
                let wrong = || {
                    let code = String::from_utf8_lossy(code);
                    format!("invalid URL escape {}", crate::field::quote(&code))
                };
                let digit = |index: usize| char::from(*code.get(index)?).to_digit(16);
                let (Some(high), Some(low)) = (digit(1), digit(2)) else {
                    return Err(wrong());
                };
                let made = u8::try_from(high * 16 + low).unwrap_or_default();
                let fits = match part {
                    // Only characters that have no other form.
                    Part::Host => high >= 8 || code == b"%25",
                    Part::Zone => code == b"%25" || made == b' ' || !must_escape(made, Part::Host),
                    _ => true,
                };
                if !fits {
                    return Err(wrong());
                }
                out.push(made);
                at += 3;
                continue;
            }
            b'+' if part == Part::Query => out.push(b' '),
            byte if of_host && byte.is_ascii() && must_escape(*byte, part) => {
                let c = char::from(*byte).to_string();
                let c = crate::field::quote(&c);
                return Err(format!("invalid character {c} in host name"));
            }
            byte => out.push(*byte),
        }
        at += 1;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::quote;
    use proptest::prelude::*;

    #[test]
    fn parts_are_told_apart() {
        for (text, scheme, host, user, query, fragment) in [
            ("HTTPS://a.b:80/c", "https", "a.b:80", None, "", ""),
            ("https://u:p@a/?q#f%20g", "https", "a", Some("u:p"), "q", "f g"),
            ("https://@a?", "https", "a", Some(""), "", ""),
            ("https:a", "https", "", None, "", ""),
            ("https://[::1]:80", "https", "[::1]:80", None, "", ""),
            ("a/b", "", "", None, "", ""),
            ("///a", "", "", None, "", ""),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (
                    url.scheme.as_str(),
                    url.host.as_str(),
                    url.user(),
                    url.raw_query(),
                    url.fragment().as_str()
                ),
                (scheme, host, user, query, fragment),
                "{text}"
            );
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
            assert_eq!(Url::parse(text).map(drop), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_as_it_was() {
        for text in [
            "https://a/b?c#d",
            "http://u@a",
            "file:///a",
            "file:/a",
            "http:////a b",
            "mailto:a",
            "//a/b",
            "/a",
            "///a",
        ] {
            let written = Url::parse(text).unwrap().to_string();
            assert_eq!(written, text.replace(' ', "%20"));
        }
    }

    #[test]
    fn requests_are_for_absolute_urls_and_paths() {
        for (text, fits) in [
            ("*", true),
            ("/a?b", true),
            ("https://a/b", true),
            ("mailto:a", true),
            ("", false),
            ("a/b", false),
            ("https://a b/", false),
        ] {
            assert_eq!(Url::check_request(text).is_ok(), fits, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_it_is_is_read(text in "(https?:)?/{0,3}[a-z0-9%@:\\[\\]#?/é .-]{0,30}") {
            let _ = Url::parse(&text).map(|url| url.to_string());
            let _ = Url::check_request(&text);
        }
    }
}
