use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::Value;

use crate::desired::sha256;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID: usize = 6;
const SECRET: usize = 16;

/// `id.secret` as Kubernetes writes bootstrap tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub secret: String,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Token({}.…)", self.id)
    }
}

impl Token {
    pub fn generate() -> Token {
        let text = |length: usize| -> String {
            (0..length)
                .map(|_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]))
                .collect()
        };
        Token {
            id: text(ID),
            secret: text(SECRET),
        }
    }

    pub fn parse(text: &str) -> anyhow::Result<Token> {
        let plain = |text: &str| text.bytes().all(|byte| LETTERS.contains(&byte));
        let (id, secret) = text.trim().split_once('.').unwrap_or_default();
        // What was given is not repeated: it may be a token with a slip in it.
        anyhow::ensure!(
            id.len() == ID && secret.len() == SECRET && plain(id) && plain(secret),
            "that is not a bootstrap token: six and sixteen letters or digits with a dot between them"
        );
        Ok(Token {
            id: id.to_owned(),
            secret: secret.to_owned(),
        })
    }

    pub fn text(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// Whether `jws` is this token's signature over `content`: a JWS whose payload is left out.
    pub fn has_signed(&self, content: &str, jws: &str) -> bool {
        let mut parts = jws.split('.');
        let (Some(header), Some(""), Some(tag), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let said: Value = serde_json::from_slice(&decoded(header)).unwrap_or_default();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
        said["alg"] == "HS256"
            && said["kid"] == self.id.as_str()
            && hmac::verify(&key, signed.as_bytes(), &decoded(tag)).is_ok()
    }
}

/// `sha256:…` over each authority's public key, as kubeadm writes it.
pub fn authority_hashes(authorities: &str) -> anyhow::Result<Vec<String>> {
    let hashes = pki::inspect_all(authorities)?
        .iter()
        .map(|found| format!("sha256:{}", sha256(&found.public_key)))
        .collect();
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        let token = Token::generate();
        assert_eq!(Token::parse(&format!("{}\n", token.text())).unwrap(), token);
        assert!(!format!("{token:?}").contains(&token.secret));
        for text in [
            "",
            "abcdef",
            "abcdef.0123",
            "ABCDEF.0123456789abcdef",
            "abcdef.0123456789abcdef.x",
        ] {
            let error = Token::parse(text).unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }

    #[test]
    fn only_its_own_signature_counts() {
        let token = Token::parse("abcdef.0123456789abcdef").unwrap();
        let sign = |alg: &str, kid: &str, secret: &str, content: &str| {
            let header = URL_SAFE_NO_PAD.encode(serde_json::json!({ "alg": alg, "kid": kid }).to_string());
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = hmac::sign(
                &key,
                format!("{header}.{}", URL_SAFE_NO_PAD.encode(content)).as_bytes(),
            );
            format!("{header}..{}", URL_SAFE_NO_PAD.encode(tag))
        };
        for (jws, expected) in [
            (sign("HS256", "abcdef", "0123456789abcdef", "content"), true),
            (sign("HS256", "abcdef", "0123456789abcdef", "other"), false),
            (sign("HS256", "abcdef", "0123456789abcdeg", "content"), false),
            (sign("HS256", "fedcba", "0123456789abcdef", "content"), false),
            (sign("none", "abcdef", "0123456789abcdef", "content"), false),
            ("..".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(token.has_signed("content", &jws), expected, "{jws}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_signature_makes_it_panic(jws in ".{0,80}") {
            let token = Token { id: "abcdef".to_owned(), secret: "0123456789abcdef".to_owned() };
            proptest::prop_assert!(!token.has_signed("content", &jws));
        }
    }
}
