//! Which texts may be names, with upstream's messages.

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

/// `message (e.g. 'a',  or 'b', regex used for validation is 'r')`.
pub fn regex_message(message: &str, regex: &str, examples: &[&str]) -> String {
    let listed: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{regex}')",
        listed.join(" or ")
    )
}

/// The message for a label or name that is too long in bytes.
pub fn max_length_message(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// The message for a DNS name that is too long.
fn max_dns_length_message(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// Names that start and end with a letter or digit; `inside` says what else may be within.
fn bounded(text: &str, edge: fn(u8) -> bool, inside: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            edge(*first) && edge(*last) && bytes.iter().all(|byte| edge(*byte) || inside(*byte))
        }
        _ => false,
    }
}

fn lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    bounded(text, lower, |byte| byte == b'-')
}

/// Whether the text is a DNS subdomain (RFC 1123), whatever its length.
pub fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// What is wrong with a DNS label (RFC 1123).
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_dns_length_message(63));
    }
    if !is_label(text) {
        const MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
        const SUBDOMAIN: &str = "must not contain dots";
        errors.push(if is_subdomain(text) {
            SUBDOMAIN.into()
        } else {
            regex_message(MESSAGE, DNS1123_LABEL, &["my-name", "123-abc"])
        });
    }
    errors
}

/// What is wrong with a DNS subdomain (RFC 1123).
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_dns_length_message(253));
    }
    if !is_subdomain(text) {
        const MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        errors.push(regex_message(MESSAGE, DNS1123_SUBDOMAIN, &["example.com"]));
    }
    errors
}

/// What is wrong with a DNS subdomain whose labels may begin with an underscore and have some inside.
pub fn dns1123_subdomain_with_underscore(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_dns_length_message(253));
    }
    let label = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        bounded(label, lower, |byte| matches!(byte, b'-' | b'_'))
    };
    if !text.split('.').all(label) {
        const MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        const REGEX: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
        errors.push(regex_message(MESSAGE, REGEX, &["example.com"]));
    }
    errors
}

/// What is wrong with a DNS label that starts with a letter (RFC 1035).
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_dns_length_message(63));
    }
    if !(is_label(text) && text.as_bytes()[0].is_ascii_lowercase()) {
        const MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        errors.push(regex_message(MESSAGE, DNS1035_LABEL, &["my-name", "abc-123"]));
    }
    errors
}

/// What is wrong with a wildcard subdomain, `*.example.com`.
pub fn wildcard_dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(max_dns_length_message(253));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        const MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        errors.push(regex_message(
            MESSAGE,
            &format!(r"\*\.{DNS1123_SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    errors
}

fn is_qualified_part(text: &str) -> bool {
    bounded(
        text,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| matches!(byte, b'-' | b'_' | b'.'),
    )
}

/// What is wrong with a qualified name: `name` or `prefix.example.com/name`.
pub fn qualified_name(text: &str) -> Vec<String> {
    const MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let example = || regex_message(MESSAGE, QUALIFIED_NAME, &["MyName", "my.name", "123-abc"]);
    let mut errors = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".into());
            } else {
                errors.extend(
                    dns1123_subdomain(prefix)
                        .into_iter()
                        .map(|message| format!("prefix part {message}")),
                );
            }
            name
        }
        _ => {
            let message = regex_message(
                &format!("a valid label key {MESSAGE}"),
                QUALIFIED_NAME,
                &["MyName", "my.name", "123-abc"],
            );
            return vec![format!(
                "{message} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".into());
    } else if name.len() > 63 {
        errors.push(format!("name part {}", max_length_message(63)));
    }
    if !is_qualified_part(name) {
        errors.push(format!("name part {}", example()));
    }
    errors
}

/// What is wrong with a label's value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(max_length_message(63));
    }
    if !text.is_empty() && !is_qualified_part(text) {
        const MESSAGE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        errors.push(regex_message(
            MESSAGE,
            LABEL_VALUE,
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// What is wrong with the name of a port of a service or container (IANA service name).
pub fn port_name(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 15 {
        errors.push("must be no more than 15 characters".into());
    }
    if text.is_empty() || !text.bytes().all(|byte| lower(byte) || byte == b'-') {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".into());
    }
    if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".into());
    }
    if text.contains("--") {
        errors.push("must not contain consecutive hyphens".into());
    }
    if !text.is_empty() && (text.starts_with('-') || text.ends_with('-')) {
        errors.push("must not begin or end with a hyphen".into());
    }
    errors
}

/// What is wrong with a port number.
pub fn port_number(port: i64) -> Vec<String> {
    if (1..=65535).contains(&port) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".into()]
    }
}

/// What is wrong with a name that becomes one segment of a URL path.
pub fn path_segment_name(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ["/", "%"]
        .iter()
        .filter(|part| text.contains(**part))
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// What is wrong with the name of an environment variable.
pub fn env_var_name(text: &str) -> Vec<String> {
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| (0x20..0x7f).contains(&byte) && byte != b'=')
    {
        return Vec::new();
    }
    const MESSAGE: &str =
        "a valid environment variable name must consist only of printable ASCII characters other than '='";
    vec![format!("{MESSAGE}")]
}

/// What is wrong with a key of a ConfigMap or Secret.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push("must be no more than 253 characters".into());
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(allowed) {
        const MESSAGE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        errors.push(regex_message(
            MESSAGE,
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match text {
        "." => errors.push("must not be '.'".into()),
        ".." => errors.push("must not be '..'".into()),
        _ if text.starts_with("..") => errors.push("must not start with '..'".into()),
        _ => {}
    }
    errors
}

/// A trailing hyphen is fine in a prefix of a generated name.
pub fn mask_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-') {
        Some(base) if name.len() > 1 => format!("{base}a"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(
            dns1123_subdomain("a.b-c.d1").is_empty()
                && dns1123_label("a1").is_empty()
                && dns1035_label("a1").is_empty()
        );
        assert!(
            !dns1123_subdomain("a..b").is_empty()
                && !dns1123_label("-a").is_empty()
                && !dns1035_label("1a").is_empty()
        );
        assert!(
            qualified_name("example.com/My_Name.1").is_empty()
                && label_value("").is_empty()
                && port_name("http-1").is_empty()
        );
        assert_eq!(qualified_name("/x"), ["prefix part must be non-empty"]);
        assert_eq!(qualified_name("")[0], "name part must be non-empty");
        assert_eq!(
            dns1123_subdomain("Bad!"),
            [
                r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
    }
}
