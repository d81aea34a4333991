//! Flags about TLS that all daemons share.

use clap::Args;

/// What a daemon agrees to in a handshake.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsFlags {
    /// Lowest TLS version served: VersionTLS12, which is the default, or VersionTLS13.
    #[arg(long, default_value = "")]
    pub tls_min_version: String,
    /// Suites of TLS 1.2 by their names in IANA's list; all that are there if none is given. Those of TLS 1.3 can't be chosen.
    #[arg(long, value_delimiter = ',')]
    pub tls_cipher_suites: Vec<String>,
    /// Groups in which keys may be exchanged, by their numbers among IANA's TLS Supported Groups; the order doesn't matter.
    #[arg(long, value_delimiter = ',', value_parser = parse_curve)]
    pub tls_curve_preferences: Vec<u16>,
}

/// One value of --tls-curve-preferences: the number of a group among IANA's TLS Supported Groups.
pub fn parse_curve(text: &str) -> Result<u16, String> {
    let range = "must be 1-65535, a number among IANA's TLS Supported Groups, for example 29 for X25519";
    match text.trim().parse::<i32>() {
        Ok(number) => match u16::try_from(number) {
            Ok(curve) if curve > 0 => Ok(curve),
            _ => Err(format!("curve preference {number} is out of range ({range})")),
        },
        Err(_) => Err(format!("{text:?} is not the number of a curve ({range})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_numbers() {
        assert_eq!(parse_curve("29"), Ok(29));
        for text in ["0", "-1", "65536", "X25519", ""] {
            assert!(parse_curve(text).is_err(), "{text}");
        }
    }
}
