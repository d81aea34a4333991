//! IP addresses and ranges as clients write them. Fields that are older than KEP-4858 once took what Go's first parser
//! took: leading zeros, IPv4 within IPv6, and ranges whose lower bits are set. What was stored then is still there.
use ipnet::IpNet;
use std::borrow::Cow;
use std::net::IpAddr;

/// An address or a range, and what makes the way it is written ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// What Go's first parser would have understood. An IPv4 address within IPv6 is itself.
    pub value: T,
    /// Some programs read such numbers as octal.
    pub leading_zeros: bool,
    /// IPv4 within IPv6, which some programs take for IPv4 and others for IPv6.
    pub mapped: bool,
}

impl<T> Written<T> {
    /// Whether everybody reads it in the same way.
    pub fn is_standard(&self) -> bool {
        !self.leading_zeros && !self.mapped
    }
}

/// The address that a text stands for, however it is written.
pub fn ip(text: &str) -> Option<Written<IpAddr>> {
    let (value, leading_zeros) = match text.parse::<IpAddr>() {
        Ok(value) => (value, false),
        Err(_) => (without_leading_zeros(text)?.parse().ok()?, true),
    };
    let canonical = value.to_canonical();
    Some(Written {
        value: canonical,
        leading_zeros,
        mapped: canonical != value,
    })
}

/// Whether a text is an address of IPv6.
pub fn is_ipv6(text: &str) -> bool {
    text.contains(':') && ip(text).is_some_and(|address| address.value.is_ipv6())
}

/// The range that a text stands for, however it is written; its lower bits may be set.
pub fn cidr(text: &str) -> Option<Written<IpNet>> {
    let (address, length) = text.split_once('/')?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let address = ip(address)?;
    let digits = without_leading_zeros(length)?;
    let zeros = matches!(digits, Cow::Owned(_));
    let length: u8 = digits.parse().ok()?;
    // The range of an address that is written as IPv6 is one of IPv6.
    let (whole, length) = match address.value {
        IpAddr::V4(inner) if address.mapped && length < 96 => (inner.to_ipv6_mapped().into(), length),
        whole if address.mapped => (whole, length - 96),
        whole => (whole, length),
    };
    Some(Written {
        value: IpNet::new(whole, length).ok()?,
        leading_zeros: address.leading_zeros || zeros,
        mapped: address.mapped,
    })
}

/// The same numbers without the zeros before them; `None` for what can be no address.
fn without_leading_zeros(text: &str) -> Option<Cow<'_, str>> {
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'.' | b':'))
    {
        return None;
    }
    let mut kept = String::with_capacity(text.len());
    let mut within = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let next = characters.peek().is_some_and(char::is_ascii_hexdigit);
        if character == '0' && next && !within {
            continue;
        }
        within = character.is_ascii_hexdigit();
        kept.push(character);
    }
    Some(if kept.len() == text.len() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(kept)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(written: Option<Written<impl ToString>>) -> String {
        written.map_or_else(
            || "-".to_owned(),
            |written| {
                let zeros = if written.leading_zeros { " zeros" } else { "" };
                let mapped = if written.mapped { " mapped" } else { "" };
                format!("{}{zeros}{mapped}", written.value.to_string())
            },
        )
    }

    #[test]
    fn addresses_are_understood_as_go_first_did() {
        for (text, expected) in [
            ("10.9.8.7", "10.9.8.7"),
            ("10.9.8.0", "10.9.8.0"),
            ("010.009.08.7", "10.9.8.7 zeros"),
            ("10.000.0.1", "10.0.0.1 zeros"),
            ("2001:db8::ffff", "2001:db8::ffff"),
            ("2001:0db8::00", "2001:db8::"),
            ("2001:00db8::1", "2001:db8::1 zeros"),
            ("::ffff:1.2.3.4", "1.2.3.4 mapped"),
            ("::ffff:01.2.3.4", "1.2.3.4 zeros mapped"),
            ("::FFFF:0102:0304", "1.2.3.4 mapped"),
            ("::1.2.3.4", "::102:304"),
            ("", "-"),
            ("1.2.3", "-"),
            ("1.2.3.256", "-"),
            ("1.2.3.0x4", "-"),
            ("fe80::1%eth0", "-"),
            ("name", "-"),
            ("1.2.3.é", "-"),
            ("...", "-"),
            (":", "-"),
        ] {
            assert_eq!(shown(ip(text)), expected, "{text}");
        }
    }

    #[test]
    fn ranges_are_understood_as_go_first_did() {
        for (text, expected) in [
            ("10.9.8.0/24", "10.9.8.0/24"),
            ("10.9.8.7/24", "10.9.8.7/24"),
            ("010.9.8.0/24", "10.9.8.0/24 zeros"),
            ("10.9.8.0/024", "10.9.8.0/24 zeros"),
            ("2001:db8::/64", "2001:db8::/64"),
            ("::ffff:1.2.3.0/120", "1.2.3.0/24 mapped"),
            ("::ffff:1.2.3.0/24", "::ffff:1.2.3.0/24 mapped"),
            ("::ffff:1.2.3.0/129", "-"),
            ("10.9.8.0/33", "-"),
            ("10.9.8.0/", "-"),
            ("10.9.8.0/+8", "-"),
            ("10.9.8.0/f", "-"),
            ("10.9.8.0/1000000000000", "-"),
            ("10.9.8.0", "-"),
            ("/24", "-"),
        ] {
            assert_eq!(shown(cidr(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_standard_is_itself(address: IpAddr) {
            let written = ip(&address.to_string()).unwrap();
            prop_assert!(!written.leading_zeros);
            prop_assert_eq!(written.value, address.to_canonical());
        }

        #[test]
        fn zeros_before_numbers_change_nothing(octets: [u8; 4], zeros in 0..4usize) {
            let text = octets.map(|octet| format!("{}{octet}", "0".repeat(zeros))).join(".");
            let written = ip(&text).unwrap();
            prop_assert_eq!(written.value, IpAddr::from(octets));
            prop_assert_eq!(written.leading_zeros, zeros > 0);
        }

        #[test]
        fn no_text_is_too_much(text in "[0-9a-f:./%]{0,40}") {
            let _ = (ip(&text), cidr(&text));
        }
    }
}
