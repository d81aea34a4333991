//! The files that flags name, read before anything starts: one that cannot be used ends the start.

use std::path::Path;

use anyhow::Context as _;
use component_config::kube_controller_manager::ControllerManagerFlags;
use pki::tokens::SigningKey;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::certificates::{Signer, signers};

/// What they hold.
pub struct Files {
    /// The authority by which the API server is known to others, as PEM; empty when nobody says which it is.
    pub root_authority: String,
    /// Signs the tokens of service accounts that are kept in secrets.
    pub token_key: Option<SigningKey>,
    pub signers: Vec<Signer>,
}

impl Files {
    /// `own` is the authority by which we reach the API server ourselves: without a flag it is the right one.
    pub fn load(flags: &ControllerManagerFlags, own: Option<String>) -> anyhow::Result<Self> {
        let root_authority = match &flags.root_ca_file {
            Some(file) => authority(file).with_context(|| flag("root-ca-file", file))?,
            None => own.unwrap_or_default(),
        };
        let token_key = flags.service_account_private_key_file.as_deref().map(|file| {
            let pem = std::fs::read(file).context("cannot be read")?;
            SigningKey::from_pem(&pem).context("holds no private key that can be used")
        });
        let token_key = token_key.transpose().with_context(|| {
            let file = flags.service_account_private_key_file.as_deref();
            flag("service-account-private-key-file", file.unwrap_or(Path::new("")))
        })?;
        let signers = signers(&flags.signing)?;
        for signer in &signers {
            signer.load().with_context(|| {
                format!(
                    "the signer {} cannot use {} and {}",
                    signer.name,
                    signer.certificate.display(),
                    signer.key.display()
                )
            })?;
        }
        Ok(Self {
            root_authority,
            token_key,
            signers,
        })
    }
}

fn flag(name: &str, file: &Path) -> String {
    format!("--{name}={}", file.display())
}

/// The text of a file with at least one certificate.
fn authority(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).context("cannot be read")?;
    let first = CertificateDer::pem_slice_iter(text.as_bytes()).next();
    first
        .context("holds no certificate")?
        .context("holds a certificate that is not PEM")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn load(words: &[String]) -> Result<Files, String> {
        let words = std::iter::once("kube-controller-manager".to_owned()).chain(words.iter().cloned());
        Files::load(&ControllerManagerFlags::parse_from(words), None).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_file_that_cannot_be_used_is_an_error_that_names_its_flag() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let authority = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (certificate, key) = (
            file("ca.crt", &authority.pem()),
            file("ca.key", &key.serialize_pem()),
        );
        let (empty, missing) = (file("empty", ""), "/does/not/exist".to_owned());
        for (words, want) in [
            (
                vec![("root-ca-file", &missing)],
                "--root-ca-file=/does/not/exist: cannot be read",
            ),
            (vec![("root-ca-file", &empty)], "holds no certificate"),
            (vec![("root-ca-file", &key)], "holds no certificate"),
            (
                vec![("service-account-private-key-file", &missing)],
                "--service-account-private-key-file=/does/not/exist: cannot be read",
            ),
            (
                vec![("service-account-private-key-file", &certificate)],
                "holds no private key that can be used",
            ),
            (
                vec![("cluster-signing-cert-file", &certificate)],
                "--cluster-signing-cert-file and --cluster-signing-key-file must be given together",
            ),
            (
                vec![("cluster-signing-kubelet-client-key-file", &key)],
                "--cluster-signing-kubelet-client-cert-file and --cluster-signing-kubelet-client-key-file must be given together",
            ),
            (
                vec![
                    ("cluster-signing-cert-file", &certificate),
                    ("cluster-signing-key-file", &key),
                    ("cluster-signing-legacy-unknown-cert-file", &certificate),
                    ("cluster-signing-legacy-unknown-key-file", &key),
                ],
                "--cluster-signing-cert-file excludes --cluster-signing-legacy-unknown-cert-file",
            ),
            (
                vec![
                    ("cluster-signing-cert-file", &missing),
                    ("cluster-signing-key-file", &key),
                ],
                "the signer kubernetes.io/kube-apiserver-client cannot use /does/not/exist",
            ),
            (
                vec![
                    ("cluster-signing-cert-file", &certificate),
                    ("cluster-signing-key-file", &empty),
                ],
                "cannot use",
            ),
        ] {
            let words: Vec<_> = words
                .iter()
                .map(|(flag, value)| format!("--{flag}={value}"))
                .collect();
            let error = load(&words).err().unwrap_or_default();
            assert!(error.contains(want), "{words:?}: {error:?}");
        }
        let good = [
            format!("--root-ca-file={certificate}"),
            format!("--service-account-private-key-file={key}"),
            format!("--cluster-signing-cert-file={certificate}"),
            format!("--cluster-signing-key-file={key}"),
        ];
        let files = load(&good).unwrap();
        assert_eq!(
            files.root_authority,
            std::fs::read_to_string(&certificate).unwrap()
        );
        assert!(files.token_key.is_some());
        assert_eq!(files.signers.len(), 4);
        assert!(load(&[]).unwrap().signers.is_empty());
    }
}
