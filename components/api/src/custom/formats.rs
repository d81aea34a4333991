//! Formats of texts that are checked. Others say something to readers only.
use std::net::{Ipv4Addr, Ipv6Addr};

/// Formats that may be named in a schema.
const KNOWN: &[&str] = &[
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "date-time",
    "int32",
    "int64",
    "float",
    "double",
    "k8s-short-name",
    "k8s-long-name",
];

/// Whether the format is one that has a meaning here.
pub(crate) fn is_known(format: &str) -> bool {
    KNOWN.contains(&format)
}

/// Whether a text is of a format; texts of unknown formats are.
pub(super) fn fits(format: &str, text: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match format {
        "bsonobjectid" => text.len() == 24 && hexadecimal(text),
        "uri" => text.starts_with('/') || url_like(text),
        "email" => email(text),
        "hostname" => hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        "mac" => mac(text),
        "uuid" => uuid(text, None),
        "uuid3" => uuid(text, Some('3')),
        "uuid4" => uuid(text, Some('4')),
        "uuid5" => uuid(text, Some('5')),
        "isbn" => isbn(text, 10) || isbn(text, 13),
        "isbn10" => isbn(text, 10),
        "isbn13" => isbn(text, 13),
        "creditcard" => credit_card(text),
        "ssn" => {
            let bytes = text.as_bytes();
            bytes.len() == 11
                && bytes.iter().enumerate().all(|(index, byte)| {
                    if matches!(index, 3 | 6) {
                        matches!(byte, b'-' | b' ')
                    } else {
                        byte.is_ascii_digit()
                    }
                })
        }
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && hexadecimal(digits)
        }
        "rgbcolor" => rgb(text),
        "byte" => {
            use base64::Engine;
            !text.is_empty() && base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "datetime" | "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "duration" => duration(text),
        "k8s-short-name" => apimachinery::names::dns1123_label(text).is_empty(),
        "k8s-long-name" => apimachinery::names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn url_like(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    named && !rest.is_empty() && !text.contains(char::is_whitespace)
}

fn email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !host.is_empty()
            && !text.contains(char::is_whitespace)
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
    })
}

fn hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    !text.is_empty() && text.len() <= 255 && text.trim_end_matches('.').split('.').all(label)
}

fn mac(text: &str) -> bool {
    let pairs = |separator: char, width: usize| {
        let parts: Vec<&str> = text.split(separator).collect();
        matches!(parts.len() * width / 2, 6 | 8 | 20)
            && parts
                .iter()
                .all(|part| part.len() == width && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    pairs(':', 2) || pairs('-', 2) || pairs('.', 4)
}

fn uuid(text: &str, version: Option<char>) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    plain.len() == 32
        && plain.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.is_none_or(|version| plain.chars().nth(12) == Some(version))
}

fn isbn(text: &str, length: usize) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(|c| !matches!(c, '-' | ' '))
        .enumerate()
        .map(|(index, c)| {
            if c == 'X' && index == 9 {
                10
            } else {
                c.to_digit(10).unwrap_or(99)
            }
        })
        .collect();
    if digits.len() != length || digits.iter().any(|digit| *digit > 10) {
        return false;
    }
    if length == 10 {
        let sum: u32 = digits
            .iter()
            .zip((1..=10).rev())
            .map(|(digit, weight)| digit * weight)
            .sum();
        return sum.is_multiple_of(11);
    }
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(index, digit)| digit * if index % 2 == 0 { 1 } else { 3 })
        .sum();
    sum.is_multiple_of(10)
}

fn credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text
        .chars()
        .filter(char::is_ascii_digit)
        .filter_map(|c| c.to_digit(10))
        .collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    (12..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn rgb(text: &str) -> bool {
    text.strip_prefix("rgb(")
        .and_then(|rest| rest.strip_suffix(')'))
        .is_some_and(|inner| {
            let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
            parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
        })
}

/// Go's durations, and those with words: `3 days`.
fn duration(text: &str) -> bool {
    if cel::parse_duration(text).is_some() {
        return true;
    }
    const UNITS: &[&str] = &[
        "ns",
        "nano",
        "nanos",
        "nanosecond",
        "us",
        "µs",
        "micro",
        "micros",
        "microsecond",
        "ms",
        "milli",
        "millis",
        "millisecond",
        "s",
        "sec",
        "secs",
        "second",
        "m",
        "min",
        "mins",
        "minute",
        "h",
        "hr",
        "hrs",
        "hour",
        "d",
        "day",
        "w",
        "wk",
        "week",
    ];
    let trimmed = text.trim();
    let Some(split) = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.') else {
        return false;
    };
    let (number, unit) = trimmed.split_at(split);
    let unit = unit.trim();
    number.parse::<f64>().is_ok()
        && UNITS
            .iter()
            .any(|known| *known == unit || unit.strip_suffix('s') == Some(known))
}
