//! `--tls-curve-preferences`: the groups in which keys are exchanged.

use super::hybrid::X25519MlKem768;
use super::p521::Secp521R1;
use anyhow::bail;
use rustls::crypto::CryptoProvider;

/// The usual cryptography with the chosen groups only; all that Go has, in its order, if none is chosen.
///
/// # Errors
///
/// A number is named twice, or is of a group that isn't there.
pub fn provider(curves: &[u16]) -> anyhow::Result<CryptoProvider> {
    let mut provider = x509::provider();
    provider.kx_groups.insert(0, &X25519MlKem768);
    provider.kx_groups.push(&Secp521R1);
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
        assert_eq!(left(&[]).unwrap(), [23, 24, 25, 29, 4588]);
        assert_eq!(left(&[29, 23]).unwrap(), [23, 29]);
        for (curves, said) in [
            (&[23, 23][..], "duplicate curve preference 23"),
            (
                &[23, 30],
                "30 (X448) is not supported; use 4588 (X25519MLKEM768), 29 (X25519), 23",
            ),
            (&[7], "curve preference 7 "),
        ] {
            let error = left(curves).unwrap_err().to_string();
            assert!(error.contains(said), "{curves:?}: {error}");
        }
    }

    #[test]
    fn both_ends_come_to_the_same_secret_in_each_group() {
        for group in provider(&[]).unwrap().kx_groups {
            let client = group.start().unwrap();
            let server = group.start_and_complete(client.pub_key()).unwrap();
            assert_eq!(server.group, group.name());
            let secret = client.complete(&server.pub_key).unwrap();
            assert_eq!(secret.secret_bytes(), server.secret.secret_bytes(), "{group:?}");
        }
    }

    #[test]
    fn shares_that_are_none_are_refused() {
        for group in provider(&[]).unwrap().kx_groups {
            let share = group.start().unwrap().pub_key().to_vec();
            for wrong in [
                Vec::new(),
                share[1..].to_vec(),
                [&share[..], &[0]].concat(),
                vec![0xff; share.len()],
            ] {
                // Every 32 bytes are a point of X25519.
                if group.name() == rustls::NamedGroup::X25519 && wrong.len() == share.len() {
                    continue;
                }
                assert!(
                    group.start_and_complete(&wrong).is_err(),
                    "{group:?} {}",
                    wrong.len()
                );
                assert!(
                    group.start().unwrap().complete(&wrong).is_err(),
                    "{group:?} {}",
                    wrong.len()
                );
            }
        }
    }
}
