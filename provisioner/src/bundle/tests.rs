use super::*;
use crate::artifacts::Release;
use crate::desired::{Artifact, sha256};

struct Made {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Made {
    fn new() -> Made {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.key");
        make_key(&path, None).unwrap();
        Made {
            key: SigningKey::load(&path, || unreachable!()).unwrap(),
            folder,
        }
    }

    fn bundle(&self) -> std::path::PathBuf {
        let mut release = Release::default();
        for (name, image) in [
            ("pause", None),
            ("pause.tar", Some("hardway.local/pause:abc".to_owned())),
        ] {
            let source = self.folder.path().join(name);
            let content = name.repeat(5000).into_bytes();
            std::fs::write(&source, &content).unwrap();
            release.artifacts.push(Artifact {
                name: name.to_owned(),
                sha256: sha256(&content),
                size: content.len() as u64,
                source,
                image,
            });
        }
        let out = self.folder.path().join("a.bundle");
        write(&out, &release, &[], &self.key).unwrap();
        out
    }
}

#[test]
fn what_was_packed_is_unpacked() {
    let made = Made::new();
    let (path, key) = (made.bundle(), made.key.public().unwrap());
    let key = PublicKey::parse(&key.to_base64()).unwrap();
    let into = made.folder.path().join("out");
    let manifest = unpack(&path, &key, &into).unwrap();
    assert_eq!(manifest, verify(&path, &key).unwrap());
    assert_eq!(manifest.entries.len(), 2);
    assert_eq!(
        std::fs::read(into.join("bin/pause")).unwrap(),
        "pause".repeat(5000).as_bytes()
    );
    assert!(into.join("images/pause.tar").exists());
}

#[test]
fn every_cut_and_every_changed_byte_is_found_and_nothing_is_left() {
    let made = Made::new();
    let (path, key) = (made.bundle(), made.key.public().unwrap());
    let whole = std::fs::read(&path).unwrap();
    // The two empty blocks at the end carry nothing.
    let carried = whole.len() - 1024;
    let broken = made.folder.path().join("broken.bundle");
    let refused = |content: &[u8], what: &str| {
        std::fs::write(&broken, content).unwrap();
        let into = made.folder.path().join("broken");
        let error = unpack(&broken, &key, &into).expect_err(what);
        assert!(
            error.chain().any(|cause| cause.is::<BadState>()),
            "{what}: {error:#}"
        );
        let left = std::fs::read_dir(made.folder.path()).unwrap().flatten();
        let left: Vec<_> = left.filter(|entry| entry.path().is_dir()).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
    };
    for length in (0..carried).step_by(397) {
        refused(&whole[..length], &format!("cut to {length} bytes"));
    }
    // Contents, not the padding between them.
    let mut archive = tar::Archive::new(whole.as_slice());
    for entry in archive.entries().unwrap().map(Result::unwrap) {
        let begins = usize::try_from(entry.raw_file_position()).unwrap();
        for at in (begins..begins + usize::try_from(entry.size()).unwrap()).step_by(61) {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            // The untrusted comment is what it says.
            let text = String::from_utf8_lossy(&whole[at.saturating_sub(80)..at + 1]).into_owned();
            if text.contains("untrusted comment")
                && !text.rsplit("untrusted comment").next().unwrap().contains('\n')
            {
                continue;
            }
            refused(&changed, &format!("byte {at} changed"));
        }
    }
}

#[test]
fn another_key_is_refused() {
    let (made, other) = (Made::new(), Made::new());
    let error = verify(&made.bundle(), &other.key.public().unwrap()).unwrap_err();
    assert!(
        error.to_string().contains("is not signed by the key RW"),
        "{error}"
    );
}

#[test]
fn more_than_the_manifest_lists_is_refused() {
    let made = Made::new();
    let (path, key) = (made.bundle(), made.key.public().unwrap());
    let mut content = std::fs::read(&path).unwrap();
    content.truncate(content.len() - 1024);
    let mut more = tar::Builder::new(&mut content);
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    more.append_data(&mut header, "blobs/more", &b"x"[..]).unwrap();
    more.finish().unwrap();
    drop(more);
    std::fs::write(&path, content).unwrap();
    let error = verify(&path, &key).unwrap_err();
    assert!(
        error.to_string().contains("more than its manifest lists"),
        "{error}"
    );
}

#[test]
fn what_is_no_key_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.key");
    let missing = SigningKey::load(&path, || unreachable!()).err().unwrap();
    assert!(missing.to_string().contains("hardway bundle keygen"), "{missing}");
    std::fs::write(&path, "no key").unwrap();
    assert!(SigningKey::load(&path, || unreachable!()).is_err());
    assert!(PublicKey::load("RWnonsense").is_err());
}

proptest::proptest! {
    #[test]
    fn no_manifest_makes_it_panic(text in "(?s).{0,300}") {
        let _ = Manifest::parse(Path::new("x"), text.as_bytes());
    }

    #[test]
    fn names_stay_in_their_folder(name in "[./a-z]{1,12}") {
        let text = serde_json::json!({
            "format": 1, "hardway": "0", "created": "2026-01-01T00:00:00Z", "architecture": "x",
            "entries": [{"kind": "program", "name": name, "version": "", "size": 0, "sha256": "0".repeat(64)}],
        });
        if Manifest::parse(Path::new("x"), text.to_string().as_bytes()).is_ok() {
            proptest::prop_assert!(!name.contains('/') && name != ".." && name != ".");
        }
    }
}
