//! `--tls-curve-preferences`: the groups in which keys are exchanged.

use anyhow::bail;
use rustls::crypto::CryptoProvider;

/// The usual cryptography with the chosen groups only; all of them if none is chosen. The order is the provider's own, as
/// upstream's is Go's.
///
/// # Errors
///
/// A number is named twice, or is of a group that isn't there.
pub fn provider(curves: &[u16]) -> anyhow::Result<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    if curves.is_empty() {
        return Ok(provider);
    }
    for (index, curve) in curves.iter().enumerate() {
        if curves[..index].contains(curve) {
            bail!("--tls-curve-preferences: duplicate curve preference {curve}");
        }
        let there = provider.kx_groups.iter().any(|group| number(*group) == *curve);
        if !there {
            let usable: Vec<String> = provider
                .kx_groups
                .iter()
                .map(|group| format!("{} ({:?})", number(*group), group.name()))
                .collect();
            bail!(
                "--tls-curve-preferences: curve preference {curve} ({:?}) is not supported; use {}",
                rustls::NamedGroup::from(*curve),
                usable.join(", ")
            );
        }
    }
    provider
        .kx_groups
        .retain(|group| curves.contains(&number(*group)));
    Ok(provider)
}

fn number(group: &dyn rustls::crypto::SupportedKxGroup) -> u16 {
    group.name().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_groups_are_left() {
        let left = |curves: &[u16]| {
            provider(curves).map(|provider| {
                let mut left: Vec<u16> = provider.kx_groups.iter().map(|group| number(*group)).collect();
                left.sort_unstable();
                left
            })
        };
        assert_eq!(left(&[]).unwrap(), [23, 24, 29]);
        assert_eq!(left(&[29, 23]).unwrap(), [23, 29]);
        for (curves, said) in [
            (&[23, 23][..], "duplicate curve preference 23"),
            (&[23, 25], "25 (secp521r1) is not supported; use 29 (X25519), 23"),
            (&[4588], "4588 (X25519MLKEM768) is not supported"),
            (&[7], "curve preference 7 "),
        ] {
            let error = left(curves).unwrap_err().to_string();
            assert!(error.contains(said), "{curves:?}: {error}");
        }
    }
}
