//! Keys at rest. An encrypted directory holds one age identity, itself encrypted to the operator's recipients or
//! passphrase; every secret is an age file for that identity, so that a passphrase is asked for once.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use age::DecryptError;
use age::secrecy::{ExposeSecret, SecretString};
use age::{IdentityFile, x25519};
use anyhow::Context as _;

use super::file::{read_file, write_file};
use super::record::BadState;

const MAGIC: &[u8] = b"age-encryption.org/v1\n";
const IDENTITY: &str = "identity.age";
/// One line, to encrypt without unlocking first.
const RECIPIENT: &str = "identity.pub";

/// Where the key to an encrypted directory comes from.
#[derive(Clone, Debug, Default)]
pub struct Unlock {
    /// An age identity file.
    pub identity: Option<PathBuf>,
    /// A file whose first line is the passphrase.
    pub passphrase_file: Option<PathBuf>,
}

/// To whom a directory is encrypted.
pub enum Lockers {
    Recipients(Vec<x25519::Recipient>),
    Passphrase(SecretString),
}

/// The directory's key, opened when first needed.
pub struct Vault {
    folder: PathBuf,
    unlock: Unlock,
    identity: OnceLock<x25519::Identity>,
}

impl Vault {
    pub fn of(folder: &Path, unlock: Unlock) -> Vault {
        Vault {
            folder: folder.to_owned(),
            unlock,
            identity: OnceLock::new(),
        }
    }

    pub fn is_encrypted(&self) -> bool {
        self.folder.join(IDENTITY).exists()
    }

    /// The content of a file that may be encrypted.
    pub fn open(&self, path: &Path, content: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        if !content.starts_with(MAGIC) {
            return Ok(content);
        }
        age::decrypt(self.identity()?, &content).map_err(|error| {
            BadState::new(
                path,
                format!("cannot be decrypted ({error}); restore it from a backup"),
            )
            .into()
        })
    }

    /// The content of a file that was encrypted to the operator, not to the directory.
    pub fn unseal(&self, path: &Path, content: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        if content.starts_with(MAGIC) {
            return self.decrypt_with_operators_key(path, &content);
        }
        Ok(content)
    }

    /// What is to be written for a secret.
    pub fn seal(&self, content: &[u8]) -> anyhow::Result<Vec<u8>> {
        let path = self.folder.join(RECIPIENT);
        if !self.is_encrypted() {
            return Ok(content.to_owned());
        }
        let text = read_file(&path)?.unwrap_or_default();
        let recipient = x25519::Recipient::from_str(String::from_utf8_lossy(&text).trim())
            .map_err(|error| BadState::new(&path, format!("is not an age recipient: {error}")))?;
        // A recipient that was swapped for another would leak what is written from now on.
        let unlocked = self.identity()?.to_public();
        if unlocked.to_string() != recipient.to_string() {
            return Err(
                BadState::new(&path, "does not belong to identity.age; restore it from a backup").into(),
            );
        }
        age::encrypt(&recipient, content).context("cannot encrypt")
    }

    /// Gives the directory a key. What was written before stays as it is until it is written again.
    pub fn create(&self, lockers: &Lockers) -> anyhow::Result<()> {
        let identity = x25519::Identity::generate();
        self.lock_identity(&identity, lockers)?;
        // Only if nobody asked before.
        let _ = self.identity.set(identity);
        Ok(())
    }

    /// Encrypts the directory's key to other recipients, or to another passphrase.
    pub fn change(&self, lockers: &Lockers) -> anyhow::Result<()> {
        self.lock_identity(self.identity()?, lockers)
    }

    fn lock_identity(&self, identity: &x25519::Identity, lockers: &Lockers) -> anyhow::Result<()> {
        let encryptor = match lockers {
            Lockers::Passphrase(passphrase) => age::Encryptor::with_user_passphrase(passphrase.clone()),
            Lockers::Recipients(recipients) => age::Encryptor::with_recipients(
                recipients
                    .iter()
                    .map(|recipient| recipient as &dyn age::Recipient),
            )
            .context("these recipients cannot be used")?,
        };
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed).context("cannot encrypt")?;
        writer
            .write_all(identity.to_string().expose_secret().as_bytes())
            .context("cannot encrypt")?;
        writer.finish().context("cannot encrypt")?;
        write_file(
            &self.folder.join(RECIPIENT),
            format!("{}\n", identity.to_public()).as_bytes(),
            0o600,
        )?;
        write_file(&self.folder.join(IDENTITY), &sealed, 0o600)
    }

    /// Takes the directory's key away; the caller has decrypted everything.
    pub fn remove(&self) -> anyhow::Result<()> {
        for name in [IDENTITY, RECIPIENT] {
            let path = self.folder.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn identity(&self) -> anyhow::Result<&x25519::Identity> {
        if let Some(identity) = self.identity.get() {
            return Ok(identity);
        }
        let path = self.folder.join(IDENTITY);
        let sealed = read_file(&path)?.ok_or_else(|| {
            BadState::new(
                &path,
                "is missing, but secrets are encrypted; restore it from a backup",
            )
        })?;
        let text = self.decrypt_with_operators_key(&path, &sealed)?;
        let text = SecretString::from(String::from_utf8_lossy(&text).trim().to_owned());
        let identity = x25519::Identity::from_str(text.expose_secret())
            .map_err(|reason| BadState::new(&path, format!("does not hold an age identity: {reason}")))?;
        Ok(self.identity.get_or_init(|| identity))
    }

    fn decrypt_with_operators_key(&self, path: &Path, sealed: &[u8]) -> anyhow::Result<Vec<u8>> {
        let damaged =
            |error: &dyn std::fmt::Display| BadState::new(path, format!("cannot be opened: {error}"));
        let decryptor = age::Decryptor::new(sealed).map_err(|error| damaged(&error))?;
        let with_passphrase = decryptor.is_scrypt();
        let identities: Vec<Box<dyn age::Identity>> = if with_passphrase {
            vec![Box::new(age::scrypt::Identity::new(self.passphrase(path)?))]
        } else {
            let file = self.unlock.identity.as_ref().ok_or_else(|| {
                BadState::new(
                    path,
                    "the keys are encrypted; name your age identity with --identity FILE or HARDWAY_IDENTITY",
                )
            })?;
            let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            IdentityFile::from_buffer(text.as_slice())
                .with_context(|| format!("{} is not an age identity file", file.display()))?
                .into_identities()
                .map_err(|error| BadState::new(file, error.to_string()))?
        };
        let mut reader = decryptor
            .decrypt(identities.iter().map(|identity| &**identity))
            .map_err(|error| match error {
                DecryptError::DecryptionFailed if with_passphrase => {
                    BadState::new(path, "is not opened by this passphrase")
                }
                DecryptError::NoMatchingKeys => BadState::new(path, "is not opened by this age identity"),
                error => damaged(&error),
            })?;
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut text).map_err(|error| damaged(&error))?;
        Ok(text)
    }

    fn passphrase(&self, path: &Path) -> anyhow::Result<SecretString> {
        if let Some(file) = &self.unlock.passphrase_file {
            return read_passphrase(file);
        }
        if !std::io::stdin().is_terminal() {
            return Err(BadState::new(
                path,
                "the keys are encrypted; give the passphrase with --passphrase-file FILE or HARDWAY_PASSPHRASE_FILE",
            )
            .into());
        }
        ask_passphrase("passphrase of the cluster's directory: ")
    }
}

/// The first line of a file.
pub fn read_passphrase(file: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(BadState::new(file, "holds no passphrase").into());
    }
    Ok(SecretString::from(line.to_owned()))
}

/// Asks on the terminal, without an echo.
pub fn ask_passphrase(prompt: &str) -> anyhow::Result<SecretString> {
    rpassword::prompt_password(prompt)
        .map(SecretString::from)
        .context("cannot ask for the passphrase")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(folder: &Path, unlock: Unlock) -> Vault {
        Vault::of(folder, unlock)
    }

    #[test]
    fn a_plain_directory_stays_plain() {
        let folder = tempfile::tempdir().unwrap();
        let plain = vault(folder.path(), Unlock::default());
        assert_eq!(plain.seal(b"key").unwrap(), b"key");
        assert_eq!(plain.open(Path::new("x"), b"key".to_vec()).unwrap(), b"key");
    }

    #[test]
    fn recipients_open_what_was_sealed_and_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let mine = x25519::Identity::generate();
        let other = x25519::Identity::generate();
        for (name, identity) in [("mine", &mine), ("other", &other)] {
            let text = identity.to_string();
            std::fs::write(folder.path().join(name), text.expose_secret()).unwrap();
        }
        let with = |name: &str| {
            let identity = Some(folder.path().join(name));
            vault(
                folder.path(),
                Unlock {
                    identity,
                    passphrase_file: None,
                },
            )
        };
        with("mine")
            .create(&Lockers::Recipients(vec![mine.to_public()]))
            .unwrap();
        let sealed = with("mine").seal(b"secret").unwrap();
        assert!(sealed.starts_with(MAGIC));
        assert_eq!(
            with("mine").open(Path::new("x"), sealed.clone()).unwrap(),
            b"secret"
        );
        let refused = format!(
            "{:#}",
            with("other").open(Path::new("x"), sealed.clone()).unwrap_err()
        );
        assert!(
            refused.contains("identity.age") && !refused.contains("secret"),
            "{refused}"
        );
        let without = vault(folder.path(), Unlock::default());
        let refused = format!("{:#}", without.open(Path::new("x"), sealed.clone()).unwrap_err());
        assert!(refused.contains("--identity"), "{refused}");
        with("mine")
            .change(&Lockers::Recipients(vec![other.to_public()]))
            .unwrap();
        assert_eq!(
            with("other").open(Path::new("x"), sealed.clone()).unwrap(),
            b"secret"
        );
        // Every cut and every flipped byte is an error that names the file.
        for position in (0..sealed.len()).step_by(7) {
            let mut broken = sealed.clone();
            broken[position] ^= 0x20;
            let opened = with("other").open(Path::new("some.key"), broken);
            assert!(
                !matches!(&opened, Ok(text) if text == b"secret"),
                "byte {position}"
            );
            assert!(
                with("other")
                    .open(Path::new("some.key"), sealed[..position].to_vec())
                    .ok()
                    .as_deref()
                    != Some(b"secret")
            );
        }
    }

    #[test]
    fn a_passphrase_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        std::fs::write(&file, "correct horse\n").unwrap();
        let unlock = Unlock {
            identity: None,
            passphrase_file: Some(file.clone()),
        };
        let passphrase = read_passphrase(&file).unwrap();
        vault(folder.path(), unlock.clone())
            .create(&Lockers::Passphrase(passphrase))
            .unwrap();
        let sealed = vault(folder.path(), unlock.clone()).seal(b"secret").unwrap();
        assert_eq!(
            vault(folder.path(), unlock.clone())
                .open(Path::new("x"), sealed.clone())
                .unwrap(),
            b"secret"
        );
        std::fs::write(&file, "wrong\n").unwrap();
        assert!(vault(folder.path(), unlock).open(Path::new("x"), sealed).is_err());
    }
}
