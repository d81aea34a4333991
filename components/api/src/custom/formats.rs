//! Formats of texts that are checked. Others say something to readers only.
mod email;

use apimachinery::go_url::Url;
use std::net::IpAddr;

/// Formats of texts that mean something; dashes in their names don't count.
pub const KNOWN: &[&str] = &[
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
    "k8s-short-name",
    "k8s-long-name",
];

/// Whether the format is one that has a meaning for values of this type.
pub(crate) fn is_known(ty: &str, format: &str) -> bool {
    let plain = |name: &str| name.replace('-', "");
    match ty {
        "" | "string" => KNOWN.iter().any(|known| plain(known) == plain(format)),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text is of a format; texts of unknown formats are.
pub(super) fn fits(format: &str, text: &str) -> bool {
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match format {
        "bsonobjectid" => text.len() == 24 && hexadecimal(text),
        "uri" => Url::check_request(text).is_ok(),
        "email" => email::is_address(text),
        "hostname" => hostname(text),
        // Told apart by how they are written.
        "ipv4" => text.contains('.') && text.parse::<IpAddr>().is_ok(),
        "ipv6" => text.contains(':') && text.parse::<IpAddr>().is_ok(),
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
        "byte" => base64(text),
        "date" => date(text),
        "datetime" | "date-time" => date_time(text),
        "duration" => duration(text),
        "k8s-short-name" => apimachinery::names::dns1123_label(text).is_empty(),
        "k8s-long-name" => apimachinery::names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
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

/// `2006-01-02`
fn date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// `2006-01-02T15:04:05.999Z` or with an offset of hours and minutes, in letters of any case.
fn date_time(text: &str) -> bool {
    let Some((day, time)) = text.split_once(['T', 't']) else {
        return false;
    };
    let two = |text: &str, most: &str| {
        text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && text <= most
    };
    let clock = time.get(..8).is_some_and(|clock| {
        let parts: Vec<&str> = clock.split(':').collect();
        matches!(parts[..], [hour, minute, second] if two(hour, "23") && two(minute, "59") && two(second, "59"))
    });
    let rest = time.get(8..).unwrap_or("");
    // Upstream's pattern takes any character where the point is.
    let fraction = |rest: &str| {
        let mut chars = rest.chars();
        chars.next() != Some('\n') && !chars.as_str().is_empty() && chars.all(|c| c.is_ascii_digit())
    };
    let zone = |zone: &str| {
        let inner = zone
            .strip_prefix(['+', '-'])
            .and_then(|zone| zone.split_once(':'));
        zone.eq_ignore_ascii_case("z")
            || inner.is_some_and(|(hours, minutes)| two(hours, "99") && two(minutes, "99"))
    };
    let ends = [rest.len().checked_sub(1), rest.len().checked_sub(6)];
    let parts = ends
        .into_iter()
        .flatten()
        .filter_map(|end| rest.split_at_checked(end));
    let mut parts = parts.filter(|(_, end)| zone(end));
    date(day) && clock && parts.any(|(before, _)| before.is_empty() || fraction(before))
}

/// Whole groups of four characters, of which the last may be filled up.
fn base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let filled = text.len() - bare.len();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    !text.is_empty() && text.len().is_multiple_of(4) && filled <= 2 && bare.bytes().all(plain)
}

/// Groups of 8, 4, 4, 4 and 12 hexadecimal digits; dashes between them may be left out.
fn uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    let mut digits = String::with_capacity(32);
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, after)) = rest.split_at_checked(length) else {
            return false;
        };
        digits.push_str(group);
        rest = after;
    }
    let digit = |place: usize| digits.as_bytes().get(place).copied().unwrap_or_default();
    rest.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        && version.is_none_or(|version| {
            let variant = matches!(digit(16).to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b');
            char::from(digit(12)) == version && (version == '3' || variant)
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_their_formats() {
        for (format, good, bad) in [
            (
                "ipv4",
                &["1.2.3.4", "::ffff:1.2.3.4"][..],
                &["1.2.3", "01.2.3.4", "::1"][..],
            ),
            ("ipv6", &["::1", "::ffff:1.2.3.4"], &["1.2.3.4", "::1%eth0"]),
            ("date", &["2024-02-29"], &["2023-02-29", "2024-2-29", "20240229"]),
            (
                "date-time",
                &[
                    "2024-01-01T00:00:00Z",
                    "2024-01-01t23:59:59.123z",
                    "2024-01-01T00:00:00+99:99",
                ],
                &[
                    "2024-01-01 00:00:00Z",
                    "2024-01-01T00:00Z",
                    "2024-01-01T00:00:60Z",
                    "2024-01-01T00:00:00",
                    "2024-01-01T00:00:00.Z",
                    "2024-01-01T00:00:00+01",
                    "2024-01-01T00:00:00Z[UTC]",
                    "2024-01-01T€€€",
                ],
            ),
            (
                "byte",
                &["YQ==", "YWI=", "YWJj", "YR=="],
                &["", "YQ", "YQ=", "Y===", "Y-Q="],
            ),
            (
                "uuid",
                &[
                    "123e4567-e89b-12d3-a456-426614174000",
                    "123e4567e89b12d3a456426614174000",
                ],
                &[
                    "123-e4567-e89b-12d3-a456-426614174000",
                    "123e4567-e89b-12d3-a456-42661417400",
                    "€23e4567-e89b-12d3-a456-4266141740",
                ],
            ),
            (
                "uuid4",
                &["123e4567-e89b-42d3-a456-426614174000"],
                &[
                    "123e4567-e89b-42d3-c456-426614174000",
                    "123e4567-e89b-12d3-a456-426614174000",
                ],
            ),
            (
                "uuid3",
                &["123e4567-e89b-32d3-c456-426614174000"],
                &["123e4567-e89b-42d3-a456-426614174000"],
            ),
            (
                "uri",
                &[
                    "/a",
                    "//a b",
                    "*",
                    "https://a.b/c?d#e",
                    "mailto:a b",
                    "a:",
                    "/a#b",
                    "https://[::1]:80/",
                ],
                &[
                    "",
                    "a/b",
                    "a.b:/é\n",
                    ":a",
                    "1:a",
                    "https://a b",
                    "https://a:b",
                    "/%zz",
                    "https://[::1",
                    "?a",
                ],
            ),
            ("email", &["a@b"], &["a", "a@b@c"]),
            ("no-format", &["", "anything"], &[]),
        ] {
            assert!(good.iter().all(|text| fits(format, text)), "{format}");
            for text in bad {
                assert!(!fits(format, text), "{format} {text}");
            }
        }
    }
}
