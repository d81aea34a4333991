//! IP addresses and ranges in fields (KEP-4858: `StrictIPCIDRValidation`).
use crate::addresses;
use crate::features::{Feature, Features};
use apimachinery::field::{Error, Path, quote};

const NO_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NO_RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
const NO_INTERFACE: &str = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
const MAPPED_ADDRESS: &str = "must not be an IPv4-mapped IPv6 address";
const LOWER_BITS: &str = "must not have bits set beyond the prefix length";

/// How the addresses of an object are checked whose fields are older than strict rules.
#[derive(Debug)]
pub(super) struct Addresses<'a> {
    strict: bool,
    kept: Vec<&'a str>,
}

impl<'a> Addresses<'a> {
    pub(super) fn new(features: Features) -> Self {
        Self::strict(features.has(Feature::StrictIPCIDRValidation))
    }

    pub(super) fn strict(strict: bool) -> Self {
        Self {
            strict,
            kept: Vec::new(),
        }
    }

    /// What the object had before may stay, wherever it stands now.
    pub(super) fn keeping(mut self, before: impl Iterator<Item = &'a str>) -> Self {
        self.kept.extend(before);
        self
    }

    /// An IP address, in whatever form IPv6 is written.
    pub(super) fn ip(&self, path: &Path, text: &str) -> Option<Error> {
        let detail = match addresses::ip(text) {
            None => NO_ADDRESS,
            Some(address) if address.is_standard() || !self.strict => return None,
            Some(address) if address.leading_zeros => "must not have leading 0s",
            Some(_) => MAPPED_ADDRESS,
        };
        self.refused(path, text, detail)
    }

    /// An address range.
    pub(super) fn cidr(&self, path: &Path, text: &str) -> Option<Error> {
        let detail = match addresses::cidr(text) {
            None => NO_RANGE,
            Some(_) if !self.strict => return None,
            Some(range) if range.leading_zeros => "must not have leading 0s in IP or prefix length",
            Some(range) if range.mapped => "must not have an IPv4-mapped IPv6 address",
            Some(range) if range.value.addr() != range.value.network() => LOWER_BITS,
            Some(_) => return None,
        };
        self.refused(path, text, detail)
    }

    fn refused(&self, path: &Path, text: &str, detail: &str) -> Option<Error> {
        (!self.kept.contains(&text)).then(|| Error::invalid(path, text, detail))
    }
}

/// An IP address, written as it is always written.
pub(super) fn canonical_ip(path: &Path, text: &str) -> Option<Error> {
    Addresses::strict(true).ip(path, text).or_else(|| {
        let canonical = addresses::ip(text)?.value.to_string();
        not_canonical(path, text, &canonical)
    })
}

/// An address range, written as it is always written.
pub(super) fn canonical_cidr(path: &Path, text: &str) -> Option<Error> {
    Addresses::strict(true).cidr(path, text).or_else(|| {
        let canonical = addresses::cidr(text)?.value.to_string();
        not_canonical(path, text, &canonical)
    })
}

/// An address of a network interface with the length of its network's prefix, written as it is always written.
pub(super) fn interface_address(path: &Path, text: &str) -> Option<Error> {
    match network_interface(text) {
        Some(canonical) => not_canonical(path, text, &canonical),
        None => Some(Error::invalid(path, text, NO_INTERFACE)),
    }
}

/// The prefix of an IPv4 address within IPv6 is what the long one leaves of it, which may come out negative, as upstream's.
fn network_interface(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: i64 = length.parse().ok().filter(|_| digits)?;
    let address = addresses::ip(address)?;
    let most = if address.value.is_ipv4() && !address.mapped {
        32
    } else {
        128
    };
    let shown = if address.mapped && length > 32 {
        length - 96
    } else {
        length
    };
    (length <= most).then(|| format!("{}/{shown}", address.value))
}

fn not_canonical(path: &Path, text: &str, canonical: &str) -> Option<Error> {
    let detail = || format!("must be in canonical form ({})", quote(canonical));
    (canonical != text).then(|| Error::invalid(path, text, detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(error: Option<Error>) -> String {
        error.map_or_else(String::new, |error| error.detail)
    }

    #[test]
    fn ambiguous_addresses_are_refused_unless_they_were_there() {
        let off = Features::default().with(Feature::StrictIPCIDRValidation, false);
        let path = Path::new("ip");
        for (text, strict) in [
            ("1.2.3.4", ""),
            ("FE80:0:0::1", ""),
            ("1.2.3", NO_ADDRESS),
            ("01.2.3.4", "must not have leading 0s"),
            ("::ffff:1.2.3.4", MAPPED_ADDRESS),
        ] {
            let old = Addresses::new(off);
            let lenient = if strict == NO_ADDRESS { strict } else { "" };
            assert_eq!(detail(old.ip(&path, text)), lenient, "{text}");
            let now = Addresses::new(Features::default());
            assert_eq!(detail(now.ip(&path, text)), strict, "{text}");
            assert_eq!(
                detail(now.keeping([text].into_iter()).ip(&path, text)),
                "",
                "{text}"
            );
        }
    }

    #[test]
    fn ambiguous_ranges_are_refused_unless_they_were_there() {
        let off = Features::default().with(Feature::StrictIPCIDRValidation, false);
        let path = Path::new("cidr");
        for (text, strict) in [
            ("1.2.3.0/24", ""),
            ("FE80:0::/64", ""),
            ("1.2.3.0", NO_RANGE),
            ("01.2.3.0/24", "must not have leading 0s in IP or prefix length"),
            ("1.2.3.0/024", "must not have leading 0s in IP or prefix length"),
            ("::ffff:1.2.3.0/120", "must not have an IPv4-mapped IPv6 address"),
            ("1.2.3.4/24", LOWER_BITS),
        ] {
            let lenient = if strict == NO_RANGE { strict } else { "" };
            assert_eq!(detail(Addresses::new(off).cidr(&path, text)), lenient, "{text}");
            let now = Addresses::new(Features::default());
            assert_eq!(detail(now.cidr(&path, text)), strict, "{text}");
            assert_eq!(
                detail(now.keeping([text].into_iter()).cidr(&path, text)),
                "",
                "{text}"
            );
        }
    }

    #[test]
    fn newer_fields_take_one_form_only() {
        let path = Path::new("name");
        for (text, expected) in [
            ("2001:db8::1", ""),
            ("2001:DB8::1", "must be in canonical form (\"2001:db8::1\")"),
            ("01.2.3.4", "must not have leading 0s"),
            ("::ffff:1.2.3.4", MAPPED_ADDRESS),
            ("x", NO_ADDRESS),
        ] {
            assert_eq!(detail(canonical_ip(&path, text)), expected, "{text}");
        }
        for (text, expected) in [
            ("2001:db8::/64", ""),
            ("2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")"),
            ("1.2.3.4/24", LOWER_BITS),
            ("x", NO_RANGE),
        ] {
            assert_eq!(detail(canonical_cidr(&path, text)), expected, "{text}");
        }
    }
}
