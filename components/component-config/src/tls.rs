//! Flags about TLS that all daemons share.

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
