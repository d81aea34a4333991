use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

const KIND: &str = "ecdsa-sha2-nistp256";

/// A key pair for one run, in the forms that OpenSSH reads. Never in a file of the operator.
pub struct OneTimeKey {
    /// PEM.
    pub private: String,
    /// As it stands in known_hosts and authorized_keys.
    pub public: String,
}

impl OneTimeKey {
    pub fn generate() -> anyhow::Result<OneTimeKey> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random)
            .ok()
            .context("no random numbers for a key")?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
            .ok()
            .context("a key that was just made cannot be read")?;
        let mut blob = Vec::new();
        for part in [KIND.as_bytes(), b"nistp256", pair.public_key().as_ref()] {
            blob.extend(u32::try_from(part.len())?.to_be_bytes());
            blob.extend(part);
        }
        let encoded = STANDARD.encode(document.as_ref());
        let lines: Vec<&str> = (0..encoded.len())
            .step_by(64)
            .map(|start| &encoded[start..encoded.len().min(start + 64)])
            .collect();
        Ok(OneTimeKey {
            private: format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                lines.join("\n")
            ),
            public: format!("{KIND} {}", STANDARD.encode(blob)),
        })
    }
}
