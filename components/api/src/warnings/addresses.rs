//! Addresses and ranges that are not written as they should be (apimachinery/pkg/util/validation/ip.go).
use crate::addresses;
use apimachinery::field::quote;
use std::net::IpAddr;

/// About an address that is known to be one.
pub(super) fn ip(path: impl FnOnce() -> String, text: &str) -> Option<String> {
    let address = addresses::ip(text)?;
    let canonical = address.value.to_string();
    if !address.is_standard() {
        return Some(format!(
            "{}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}",
            path(),
            quote(text),
            quote(&canonical)
        ));
    }
    (address.value.is_ipv6() && canonical != text).then(|| {
        format!(
            "{}: IPv6 address {} should be in RFC 5952 canonical format ({})",
            path(),
            quote(text),
            quote(&canonical)
        )
    })
}

/// About a range that is known to be one.
pub(super) fn cidr(path: impl Fn() -> String, text: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some(range) = addresses::cidr(text) else {
        return warnings;
    };
    let network = range.value.trunc().to_string();
    let address = range.value.addr();
    if address != range.value.network() {
        let bits = if address.is_ipv4() && !range.mapped {
            32
        } else {
            128
        };
        warnings.push(format!(
            "{}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            path(),
            quote(text),
            quote(&network),
            quote(&format!("{address}/{bits}"))
        ));
    }
    if !range.is_standard() {
        warnings.push(format!(
            "{}: non-standard CIDR value {} will be considered invalid in a future Kubernetes release: use {}",
            path(),
            quote(text),
            quote(&network)
        ));
    }
    if warnings.is_empty() && matches!(address, IpAddr::V6(_)) && network != text {
        warnings.push(format!(
            "{}: IPv6 CIDR value {} should be in RFC 5952 canonical format ({})",
            path(),
            quote(text),
            quote(&network)
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_addresses_are_told() {
        for (text, expected) in [
            ("192.12.2.2", ""),
            ("2001:db8::2", ""),
            (
                "192.012.2.2",
                r#"ip: non-standard IP address "192.012.2.2" will be considered invalid in a future Kubernetes release: use "192.12.2.2""#,
            ),
            (
                "::ffff:192.12.2.2",
                r#"ip: non-standard IP address "::ffff:192.12.2.2" will be considered invalid in a future Kubernetes release: use "192.12.2.2""#,
            ),
            (
                "2001:db8:0:0::2",
                r#"ip: IPv6 address "2001:db8:0:0::2" should be in RFC 5952 canonical format ("2001:db8::2")"#,
            ),
            ("none", ""),
        ] {
            assert_eq!(ip(|| "ip".into(), text).unwrap_or_default(), expected, "{text}");
        }
    }

    #[test]
    fn unusual_ranges_are_told() {
        for (text, expected) in [
            ("192.12.2.0/24", &[][..]),
            ("2001:db8::/64", &[]),
            (
                "192.012.2.0/24",
                &[
                    r#"r: non-standard CIDR value "192.012.2.0/24" will be considered invalid in a future Kubernetes release: use "192.12.2.0/24""#,
                ],
            ),
            (
                "192.12.2.8/24",
                &[
                    r#"r: CIDR value "192.12.2.8/24" is ambiguous in this context (should be "192.12.2.0/24" or "192.12.2.8/32"?)"#,
                ],
            ),
            (
                "192.12.2.08/24",
                &[
                    r#"r: CIDR value "192.12.2.08/24" is ambiguous in this context (should be "192.12.2.0/24" or "192.12.2.8/32"?)"#,
                    r#"r: non-standard CIDR value "192.12.2.08/24" will be considered invalid in a future Kubernetes release: use "192.12.2.0/24""#,
                ],
            ),
            (
                "2001:db8:0:0::/64",
                &[
                    r#"r: IPv6 CIDR value "2001:db8:0:0::/64" should be in RFC 5952 canonical format ("2001:db8::/64")"#,
                ],
            ),
            ("none", &[]),
        ] {
            assert_eq!(cidr(|| "r".into(), text), expected, "{text}");
        }
    }
}
