//! The file of `--token-auth-file`: `token,user,uid,"group1,group2"` per line.

use crate::identity::User;
use ahash::AHashMap;
use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// Users by the hash of their token.
pub struct StaticTokens(AHashMap<[u8; 32], Arc<User>>);

impl StaticTokens {
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut tokens = AHashMap::new();
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let fields = fields(line);
            // Never the line itself: it has a token in it.
            let [token, name, uid, rest @ ..] = fields.as_slice() else {
                bail!(
                    "line {}: at least the columns token, user name and user uid are needed",
                    number + 1
                );
            };
            if token.is_empty() {
                tracing::warn!(line = number + 1, "an empty token was found and left out");
                continue;
            }
            let groups = rest.first().map_or(Vec::new(), |groups| {
                groups
                    .split(',')
                    .map(str::trim)
                    .filter(|group| !group.is_empty())
                    .map(str::to_owned)
                    .collect()
            });
            let user = User {
                name: name.clone(),
                uid: uid.clone(),
                groups,
                ..User::default()
            };
            let known = tokens.insert(Sha256::digest(token).into(), Arc::new(user.authenticated()));
            if known.is_some() {
                tracing::warn!(
                    line = number + 1,
                    "a token is given more than once; the last one counts"
                );
            }
        }
        Ok(Self(tokens))
    }

    pub fn authenticate(&self, token: &str) -> Option<Arc<User>> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.0.get(&hash).cloned()
    }
}

/// Fields of a CSV line; quotes keep commas together and are doubled inside.
fn fields(line: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = all.last_mut() else { break };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(String::new()),
            // Upstream's reader trims the space in front of a field.
            ' ' if !quoted && field.is_empty() => {}
            c => field.push(c),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_a_file() {
        let tokens = StaticTokens::parse("t1,jane,1\n\nt2,joe,2,\"dev, ops\"\nt3,eve,3,one\n").unwrap();
        for (token, expected) in [
            ("t1", Some(("jane", vec!["system:authenticated"]))),
            ("t2", Some(("joe", vec!["dev", "ops", "system:authenticated"]))),
            ("t3", Some(("eve", vec!["one", "system:authenticated"]))),
            ("t4", None),
            ("", None),
        ] {
            let user = tokens.authenticate(token);
            let seen = user.as_ref().map(|user| {
                (
                    user.name.as_str(),
                    user.groups.iter().map(String::as_str).collect(),
                )
            });
            assert_eq!(seen, expected, "{token}");
        }
        assert!(StaticTokens::parse("secret,jane").is_err());
        assert!(!format!("{:?}", StaticTokens::parse("secret,jane").err()).contains("secret"));
    }
}
