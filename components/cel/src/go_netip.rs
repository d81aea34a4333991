//! Why a text is no IP address, as Go's `net/netip` says it.

use apimachinery::field::quote;
use std::net::IpAddr;

/// What is wrong, and where.
type Wrong<'t> = (&'static str, &'t str);

/// An address without a zone, or Go's error.
pub(crate) fn parse_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        let (why, at) = wrong(text).err().unwrap_or(("unable to parse IP", ""));
        let at = match at {
            "" => String::new(),
            at => format!(" (at {})", quote(at)),
        };
        format!("ParseAddr({}): {why}{at}", quote(text))
    })
}

/// The first of these says which form was meant.
fn wrong(text: &str) -> Result<(), Wrong<'_>> {
    match text.bytes().find(|byte| b".:%".contains(byte)) {
        Some(b'.') => version_4(text),
        Some(b':') => version_6(text),
        Some(_) => Err(("missing IPv6 address", "")),
        None => Err(("unable to parse IP", "")),
    }
}

fn version_4(text: &str) -> Result<(), Wrong<'_>> {
    let mut fields = 1;
    let mut digits = "";
    for (at, c) in text.char_indices() {
        match c {
            '0'..='9' if digits == "0" => return Err(("IPv4 field has octet with leading zero", "")),
            '0'..='9' => {
                digits = &text[at - digits.len()..=at];
                if digits.parse::<u8>().is_err() {
                    return Err(("IPv4 field has value >255", ""));
                }
            }
            '.' if digits.is_empty() || at + 1 == text.len() => {
                return Err(("IPv4 field must have at least one digit", &text[at..]));
            }
            '.' if fields == 4 => return Err(("IPv4 address too long", "")),
            '.' => {
                fields += 1;
                digits = "";
            }
            _ => return Err(("unexpected character", &text[at..])),
        }
    }
    match fields {
        4 => Ok(()),
        _ => Err(("IPv4 address too short", "")),
    }
}

fn version_6(text: &str) -> Result<(), Wrong<'_>> {
    let text = match text.split_once('%') {
        Some((_, "")) => return Err(("zone must be a non-empty string", "")),
        Some((address, _)) => address,
        None => text,
    };
    let (mut rest, mut gap) = match text.strip_prefix("::") {
        Some("") => return Ok(()),
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut groups = 0;
    while groups < 8 {
        let digits = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        match digits {
            0 => return Err(("each colon-separated field must have at least one digit", rest)),
            1..=4 => {}
            _ => return Err(("each group must have 4 or less digits", rest)),
        }
        if rest[digits..].starts_with('.') {
            return embedded(rest, groups, gap);
        }
        groups += 1;
        rest = &rest[digits..];
        if rest.is_empty() {
            break;
        }
        rest = match rest.strip_prefix(':') {
            None => return Err(("unexpected character, want colon", rest)),
            Some("") => return Err(("colon must be followed by more characters", rest)),
            Some(after) => after,
        };
        if let Some(after) = rest.strip_prefix(':') {
            if gap {
                return Err(("multiple :: in address", rest));
            }
            gap = true;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
    }
    match (groups, gap) {
        _ if !rest.is_empty() => Err(("trailing garbage after address", rest)),
        (8, true) => Err(("the :: must expand to at least one field of zeros", "")),
        (8, false) => Ok(()),
        (_, true) => Ok(()),
        (_, false) => Err(("address string too short", "")),
    }
}

/// An address of version 4 at the end of one of version 6.
fn embedded(text: &str, groups: u8, gap: bool) -> Result<(), Wrong<'_>> {
    if !gap && groups != 6 {
        let why = "embedded IPv4 address must replace the final 2 fields of the address";
        return Err((why, text));
    }
    if groups > 6 {
        let why = "too many hex fields to fit an embedded IPv4 at the end of the address";
        return Err((why, text));
    }
    version_4(text)?;
    match (groups, gap) {
        (6, true) => Err(("the :: must expand to at least one field of zeros", "")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_are_gos() {
        for (text, why) in [
            ("", "unable to parse IP"),
            ("a", "unable to parse IP"),
            ("%eth0", "missing IPv6 address"),
            ("1.2.3", "IPv4 address too short"),
            ("1.2.3.4.5", "IPv4 address too long"),
            ("1.2.3.256", "IPv4 field has value >255"),
            ("1.2.3.04", "IPv4 field has octet with leading zero"),
            (
                ".1.2.3",
                r#"IPv4 field must have at least one digit (at ".1.2.3")"#,
            ),
            ("1..2.3", r#"IPv4 field must have at least one digit (at ".2.3")"#),
            ("1.2.3.", r#"IPv4 field must have at least one digit (at ".")"#),
            ("1.2.3.x", r#"unexpected character (at "x")"#),
            ("1.2.3.4/8", r#"unexpected character (at "/8")"#),
            ("fe80::1%", "zone must be a non-empty string"),
            ("1:2:3", "address string too short"),
            ("1:2:3:4:5:6:7:8:9", r#"trailing garbage after address (at "9")"#),
            (
                "1::2:3:4:5:6:7:8",
                "the :: must expand to at least one field of zeros",
            ),
            ("1::2::3", r#"multiple :: in address (at ":3")"#),
            ("::12345", r#"each group must have 4 or less digits (at "12345")"#),
            (
                "::g",
                r#"each colon-separated field must have at least one digit (at "g")"#,
            ),
            ("::1g", r#"unexpected character, want colon (at "g")"#),
            ("1:2:", r#"colon must be followed by more characters (at ":")"#),
            (
                "1:2:1.2.3.4",
                r#"embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")"#,
            ),
            (
                "::1:2:3:4:5:6:7:1.2.3.4",
                r#"too many hex fields to fit an embedded IPv4 at the end of the address (at "1.2.3.4")"#,
            ),
            ("::1.2.3", "IPv4 address too short"),
        ] {
            let expected = format!("ParseAddr({}): {why}", quote(text));
            assert_eq!(parse_address(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_wrong_is_no_address(text in "[0-9a-f:.]{0,30}") {
            prop_assert_eq!(text.parse::<IpAddr>().is_ok(), wrong(&text).is_ok(), "{}", text);
        }
    }
}
