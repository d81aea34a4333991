use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::host_key::HostKey;

/// The lines of one or more known_hosts files, in OpenSSH's format.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    names: String,
    key: HostKey,
    revoked: bool,
    file: PathBuf,
    line: usize,
}

/// What the files say about a host and a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Match,
    Unknown,
    Mismatch { expected: String, source_of: String },
}

impl KnownHosts {
    /// Adds a file's lines; a file that does not exist has none.
    pub fn add_file(&mut self, file: &Path) -> std::io::Result<()> {
        match std::fs::read_to_string(file) {
            Ok(text) => {
                self.add_text(file, &text);
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn add_text(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let (marker, rest) = match line.strip_prefix('@') {
                Some(rest) => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
                None => ("", line),
            };
            // Certificates of host authorities are not supported by libssh2; such lines prove nothing here.
            if line.is_empty() || line.starts_with('#') || marker == "cert-authority" {
                continue;
            }
            let Some((names, key)) = rest.trim().split_once(char::is_whitespace) else {
                continue;
            };
            let Some(key) = HostKey::parse(key) else { continue };
            self.entries.push(Entry {
                names: names.to_owned(),
                key,
                revoked: marker == "revoked",
                file: file.to_owned(),
                line: index + 1,
            });
        }
    }

    fn of<'a>(&'a self, host: &'a str, port: u16) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .iter()
            .filter(move |entry| matches(&entry.names, host, port))
    }

    /// Key types known for a host, without repeats.
    pub fn algorithms(&self, host: &str, port: u16) -> Vec<String> {
        let mut algorithms: Vec<String> = Vec::new();
        for entry in self.of(host, port).filter(|entry| !entry.revoked) {
            if !algorithms.contains(&entry.key.algorithm) {
                algorithms.push(entry.key.algorithm.clone());
            }
        }
        algorithms
    }

    /// The file and line that revoke a key.
    pub fn revoked(&self, host: &str, port: u16, key: &HostKey) -> Option<String> {
        self.of(host, port)
            .find(|entry| entry.revoked && entry.key == *key)
            .map(Entry::place)
    }

    pub fn lookup(&self, host: &str, port: u16, key: &HostKey) -> Lookup {
        let mut other = None;
        for entry in self.of(host, port).filter(|entry| !entry.revoked) {
            if entry.key == *key {
                return Lookup::Match;
            }
            let same_type = entry.key.algorithm == key.algorithm;
            if other.is_none() || same_type {
                other = Some(entry);
            }
        }
        match other {
            Some(entry) => Lookup::Mismatch {
                expected: entry.key.fingerprint(),
                source_of: entry.place(),
            },
            None => Lookup::Unknown,
        }
    }
}

impl Entry {
    fn place(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

/// The name under which a host stands in a file.
pub fn entry_name(host: &str, port: u16) -> String {
    if port == 22 {
        host.to_owned()
    } else {
        format!("[{host}]:{port}")
    }
}

fn matches(names: &str, host: &str, port: u16) -> bool {
    let name = entry_name(host, port);
    if let Some(hashed) = names.strip_prefix("|1|") {
        return hashed_matches(hashed, &name);
    }
    let mut found = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if wildcard(negated, &name) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern, &name),
        }
    }
    found
}

fn hashed_matches(hashed: &str, name: &str) -> bool {
    let Some((salt, hash)) = hashed.split_once('|') else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    // OpenSSH's format; hides names, proves nothing.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, name.as_bytes(), &hash).is_ok()
}

fn wildcard(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || byte.eq_ignore_ascii_case(&name[n]) => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{Trust, UntrustedKey};

    fn key(byte: u8) -> HostKey {
        let mut blob = vec![0, 0, 0, 11];
        blob.extend(b"ssh-ed25519");
        blob.extend([0, 0, 0, 32]);
        blob.extend([byte; 32]);
        HostKey::from_blob(&blob).unwrap()
    }

    fn known(text: &str) -> KnownHosts {
        let mut known = KnownHosts::default();
        known.add_text(Path::new("known_hosts"), text);
        known
    }

    #[test]
    fn names_match_as_in_openssh() {
        let salt = b"01234567890123456789";
        let hash = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt),
            b"[10.0.0.1]:2222",
        );
        let hashed = format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hash));
        let table = [
            ("10.0.0.1", "10.0.0.1", 22, true),
            ("10.0.0.1", "10.0.0.1", 2222, false),
            ("[10.0.0.1]:2222", "10.0.0.1", 2222, true),
            ("10.0.0.*", "10.0.0.77", 22, true),
            ("10.0.0.?", "10.0.0.77", 22, false),
            ("*,!10.0.0.7", "10.0.0.7", 22, false),
            ("a,B", "b", 22, true),
            (hashed.as_str(), "10.0.0.1", 2222, true),
            (hashed.as_str(), "10.0.0.1", 22, false),
        ];
        for (names, host, port, expected) in table {
            assert_eq!(matches(names, host, port), expected, "{names} {host} {port}");
        }
    }

    #[test]
    fn a_changed_key_is_refused_with_both_fingerprints() {
        let known = known(&format!("# comment\n10.0.0.1 {}\nbroken line\n", key(1).line()));
        assert_eq!(known.lookup("10.0.0.1", 22, &key(1)), Lookup::Match);
        assert_eq!(known.lookup("10.0.0.2", 22, &key(1)), Lookup::Unknown);
        let trust = Trust { pinned: None, known };
        let error = trust.check("10.0.0.1", 22, &key(2)).unwrap_err().to_string();
        for part in [
            &key(1).fingerprint(),
            &key(2).fingerprint(),
            "known_hosts:2",
            "hardway trust",
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(matches!(
            trust.check("10.0.0.9", 22, &key(2)),
            Err(UntrustedKey::Unknown { .. })
        ));
    }

    #[test]
    fn pins_come_before_files() {
        let known = known(&format!("10.0.0.1 {}\n", key(1).line()));
        let pinned = |pin: String| Trust {
            pinned: Some(pin),
            known: known.clone(),
        };
        assert_eq!(pinned(key(2).line()).check("10.0.0.1", 22, &key(2)), Ok(()));
        assert_eq!(
            pinned(key(2).fingerprint()).check("10.0.0.1", 22, &key(2)),
            Ok(())
        );
        let error = pinned(key(2).line())
            .check("10.0.0.1", 22, &key(1))
            .unwrap_err()
            .to_string();
        assert!(error.contains("host_key in the inventory"), "{error}");
        assert!(matches!(
            pinned("nonsense".to_owned()).check("10.0.0.1", 22, &key(1)),
            Err(UntrustedKey::BadPin { .. })
        ));
    }

    #[test]
    fn revoked_keys_are_refused_whatever_else_is_known() {
        let known = known(&format!("10.0.0.1 {0}\n@revoked * {0}\n", key(1).line()));
        let trust = Trust {
            pinned: Some(key(1).line()),
            known,
        };
        assert!(matches!(
            trust.check("10.0.0.1", 22, &key(1)),
            Err(UntrustedKey::Revoked { .. })
        ));
    }
}
