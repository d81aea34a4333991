//! Names of drivers, pools, devices and of what these have.
use crate::validate::shared::texts;
use crate::value::{list, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Bytes of a driver's name, and of the domain in the name of an attribute.
const MAX_DOMAIN: usize = 63;

/// Bytes of an attribute's name without its domain.
const MAX_IDENTIFIER: usize = 32;

/// Bytes of a pool's name.
const MAX_POOL: usize = 253;

/// The name of an attribute or a capacity as a key in a path, with at most the bytes that a valid one has.
const MAX_KEY: usize = MAX_DOMAIN + 1 + MAX_IDENTIFIER;

pub(super) fn name_of(item: &Value) -> &str {
    text(item, &["name"])
}

/// A DNS label.
pub(super) fn label(name: &str, path: &Path) -> ErrorList {
    texts(path, name, names::dns1123_label(name))
}

/// A DNS subdomain that must be given.
pub(super) fn subdomain(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    texts(path, name, names::dns1123_subdomain(name))
}

/// The name of a driver: a domain, in whatever case.
pub(super) fn driver(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if name.len() > MAX_DOMAIN {
        errors.push(Error::too_long(path, MAX_DOMAIN));
    }
    errors.extend(texts(path, name, names::dns1123_subdomain(&name.to_lowercase())));
    errors
}

/// The name of a pool: domains with slashes between them.
pub(super) fn pool(name: &str, path: &Path) -> ErrorList {
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut errors = ErrorList::new();
    if name.len() > MAX_POOL {
        errors.push(Error::too_long(path, MAX_POOL));
    }
    errors.extend(
        name.split('/')
            .flat_map(|part| texts(path, part, names::dns1123_subdomain(part))),
    );
    errors
}

/// A label's key, as taints and conditions have it.
pub(super) fn label_key(key: &str, path: &Path) -> ErrorList {
    texts(path, key, names::qualified_name(key))
}

/// The name of an attribute or a capacity: a C identifier, with or without a domain before it. Like upstream, this
/// has nothing against names with several slashes.
pub(super) fn qualified(name: &str, path: &Path) -> ErrorList {
    let parts: Vec<&str> = name.split('/').collect();
    match parts[..] {
        [name] => identifier(name, path),
        [domain, name] => {
            let mut errors = if domain.is_empty() {
                vec![Error::invalid(path, "", "the domain must not be empty")]
            } else {
                driver(domain, path)
            };
            if name.is_empty() {
                errors.push(Error::invalid(path, "", "the name must not be empty"));
            } else {
                errors.extend(identifier(name, path));
            }
            errors
        }
        _ => ErrorList::new(),
    }
}

/// The same with a domain, which claims need as they know no driver.
pub(super) fn fully_qualified(name: &str, path: &Path) -> ErrorList {
    let mut errors = qualified(name, path);
    if !name.contains('/') {
        errors.push(Error::invalid(
            path,
            name,
            "a fully qualified name must be a domain and a name separated by a slash",
        ));
    }
    errors
}

fn identifier(name: &str, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if name.len() > MAX_IDENTIFIER {
        errors.push(Error::too_long(path, MAX_IDENTIFIER));
    }
    let fits = !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.is_empty() || !fits {
        let message = names::regex_message(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
            "[A-Za-z_][A-Za-z0-9_]*",
            &["my_name", "MY_NAME", "MyName"],
        );
        errors.push(Error::invalid(path, name, message));
    }
    errors
}

/// A name as a key in a path: the middle of one that is too long is left out.
pub(super) fn key(path: &Path, name: &str) -> Path {
    if name.len() <= MAX_KEY {
        return path.key(name);
    }
    const LEFT_OUT: &str = "...";
    let kept = MAX_KEY - LEFT_OUT.len();
    let start = name.floor_char_boundary(kept.div_ceil(2));
    let end = name.ceil_char_boundary(name.len() - kept / 2);
    path.key(&format!("{}{LEFT_OUT}{}", &name[..start], &name[end..]))
}

/// A UUID in its usual form.
pub(super) fn uuid(text: &str, path: &Path) -> Option<Error> {
    let why = match not_a_uuid(text) {
        Some(why) => format!("error validating uid: {why}"),
        None if text.len() != 36 || text.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters".to_owned()
        }
        None => return None,
    };
    Some(Error::invalid(path, text, why))
}

/// Why a text is no UUID in any of its forms: bare, without hyphens, in braces, or as a URN.
fn not_a_uuid(text: &str) -> Option<String> {
    const URN: &str = "urn:uuid:";
    const WRONG: &str = "invalid UUID format";
    let bytes = text.as_bytes();
    let bare = match bytes.len() {
        36 => bytes,
        45 if bytes[..9].eq_ignore_ascii_case(URN.as_bytes()) => &bytes[9..],
        45 => {
            let prefix = apimachinery::field::quote(&String::from_utf8_lossy(&bytes[..9]));
            return Some(format!("invalid urn prefix: {prefix}"));
        }
        38 if bytes.starts_with(b"{") && bytes.ends_with(b"}") => &bytes[1..37],
        38 => return Some("invalid bracketed UUID format".to_owned()),
        32 => {
            let fits = bytes.iter().all(u8::is_ascii_hexdigit);
            return (!fits).then(|| WRONG.to_owned());
        }
        other => return Some(format!("invalid UUID length: {other}")),
    };
    let fits = bare.iter().enumerate().all(|(position, byte)| match position {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (!fits).then(|| WRONG.to_owned())
}

/// The requests of a claim, and the alternatives of each.
pub(super) struct Requests<'a>(HashMap<&'a str, HashSet<&'a str>>);

impl<'a> Requests<'a> {
    /// Those of a claim's `spec.devices`.
    pub(super) fn of(devices: &'a Value) -> Self {
        let alternatives = |request| list(request, &["firstAvailable"]).iter().map(name_of).collect();
        Self(
            list(devices, &["requests"])
                .iter()
                .map(|request| (name_of(request), alternatives(request)))
                .collect(),
        )
    }

    fn has(&self, request: &str, alternative: Option<&str>) -> bool {
        self.0
            .get(request)
            .is_some_and(|known| alternative.is_none_or(|name| known.contains(name)))
    }

    /// A name of a request, or of a request and one of its alternatives: `gpu`, `gpu/small`.
    pub(super) fn reference(&self, name: &str, path: &Path) -> ErrorList {
        const UNKNOWN: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
        let mut parts = name.split('/');
        let (request, alternative, more) = (parts.next().unwrap_or(""), parts.next(), parts.next());
        if more.is_some() {
            return vec![Error::invalid(path, name, UNKNOWN)];
        }
        let mut errors = label(request, path);
        errors.extend(alternative.into_iter().flat_map(|name| label(name, path)));
        if !self.has(request, alternative) {
            errors.push(Error::invalid(path, name, UNKNOWN));
        }
        errors
    }
}
