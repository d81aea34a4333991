//! minisign keys (Ed25519), so that a bundle's manifest can be checked with that tool too.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::state::{BadState, read_file, write_file};

/// Bytes of a secret key with its derivation and check sum, as minisign writes them.
const SECRET_KEY: usize = 158;

/// Who may have made a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicKey(minisign::PublicKey);

impl Eq for PublicKey {}

impl PublicKey {
    /// The line of base64 that stands in an inventory, or a `.pub` file with it.
    pub fn parse(text: &str) -> Result<PublicKey, String> {
        let line = text
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty() && !line.starts_with("untrusted comment:"))
            .unwrap_or_default();
        minisign::PublicKey::from_base64(line)
            .map(PublicKey)
            .map_err(|error| error.to_string())
    }

    /// `RW…` itself, or the name of a file that holds it.
    pub fn load(named: &str) -> anyhow::Result<PublicKey> {
        let path = Path::new(named);
        let text = match read_file(path) {
            Ok(Some(content)) => String::from_utf8_lossy(&content).into_owned(),
            _ => named.to_owned(),
        };
        PublicKey::parse(&text).map_err(|problem| {
            BadState::new(
                path,
                format!("is neither a minisign public key (RW…) nor a file with one: {problem}"),
            )
            .into()
        })
    }

    pub fn to_base64(&self) -> String {
        self.0.to_base64()
    }

    /// An error when `signature` is not this key's over `content`.
    pub fn check(&self, content: &[u8], signature: &str) -> Result<(), String> {
        let signature = minisign::SignatureBox::from_string(signature)
            .map_err(|error| format!("has no readable signature ({error})"))?;
        minisign::verify(
            &self.0,
            &signature,
            std::io::Cursor::new(content),
            true,
            false,
            false,
        )
        .map_err(|_| format!("is not signed by the key {}", self.to_base64()))
    }
}

/// Signs bundles; never leaves the operator's machine.
pub struct SigningKey(minisign::SecretKey);

impl SigningKey {
    /// Reads a key file of minisign; `passphrase` opens one that is encrypted.
    pub fn load(
        path: &Path,
        passphrase: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<SigningKey> {
        let bad = |problem: &str| BadState::new(path, problem.to_owned());
        let text = read_file(path)?
            .ok_or_else(|| bad("does not exist; make a key with hardway bundle keygen --out FILE"))?;
        let text = String::from_utf8(text).map_err(|_| bad("is not a minisign secret key"))?;
        // What is no key at all is no reason to ask for a passphrase.
        let is_key = text.lines().nth(1).is_some_and(|line| {
            STANDARD
                .decode(line.trim())
                .is_ok_and(|key| key.len() == SECRET_KEY)
        });
        if !is_key {
            return Err(bad("is not a minisign secret key").into());
        }
        let open = |text: &str| minisign::SecretKeyBox::from_string(text);
        let boxed = open(&text).map_err(|_| bad("is not a minisign secret key"))?;
        if let Ok(key) = boxed.into_unencrypted_secret_key() {
            return Ok(SigningKey(key));
        }
        let boxed = open(&text).map_err(|_| bad("is not a minisign secret key"))?;
        boxed
            .into_secret_key(Some(passphrase()?))
            .map(SigningKey)
            .map_err(|_| bad("is not opened by this passphrase").into())
    }

    pub fn public(&self) -> anyhow::Result<PublicKey> {
        minisign::PublicKey::from_secret_key(&self.0)
            .map(PublicKey)
            .context("the key has no public half")
    }

    pub fn sign(&self, content: &[u8], comment: &str) -> anyhow::Result<String> {
        let signature = minisign::sign(
            None,
            &self.0,
            std::io::Cursor::new(content),
            Some(comment),
            Some("signature of a hardway bundle's manifest"),
        )
        .context("cannot sign the manifest")?;
        Ok(signature.into_string())
    }
}

/// Makes a pair: `path` for the secret half (mode 0600), `path.pub` for the other.
pub fn make_key(path: &Path, passphrase: Option<String>) -> anyhow::Result<PublicKey> {
    anyhow::ensure!(
        !path.exists(),
        "{} is there already; bundles that it signed could not be told from new ones",
        path.display()
    );
    let pair = match passphrase {
        None => minisign::KeyPair::generate_unencrypted_keypair(),
        Some(passphrase) => minisign::KeyPair::generate_encrypted_keypair(Some(passphrase)),
    }
    .context("cannot make a key")?;
    let secret = pair
        .sk
        .to_box(None)
        .context("cannot write the key")?
        .into_string();
    let public = pair.pk.to_box().context("cannot write the key")?.into_string();
    write_file(path, secret.as_bytes(), 0o600)?;
    write_file(&path.with_added_extension("pub"), public.as_bytes(), 0o644)?;
    Ok(PublicKey(pair.pk))
}
