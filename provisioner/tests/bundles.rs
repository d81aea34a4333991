//! Bundles that are signed by the right key and say what nobody meant: what is accepted lies in its folder, what is not is
//! told by file, and leaves nothing. Never a panic.

#![allow(clippy::unwrap_used)]

#[path = "fixture/edits.rs"]
mod edits;

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use provisioner::bundle::{PublicKey, SigningKey, make_key, unpack};
use provisioner::desired::sha256;
use provisioner::state::BadState;
use serde_json::{Value, json};

use edits::{edited, edits};

const CONTENTS: &[(&str, &str, &[u8])] = &[
    ("program", "pause", b"a program"),
    ("image", "pause.tar", b"an image"),
    ("package", "runc_1.1_amd64.deb", b"a package"),
];

static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.key");
    make_key(&path, None).unwrap();
    SigningKey::load(&path, || unreachable!()).unwrap()
});

fn manifest() -> Value {
    let entry = |(kind, name, content): &(&str, &str, &[u8])| {
        json!({
            "kind": kind, "name": name, "version": "1.1", "size": content.len(), "sha256": sha256(content),
            "about": "Package: runc\nVersion: 1.1\nArchitecture: amd64\n",
        })
    };
    json!({
        "format": 1, "hardway": "0.1.0", "created": "2026-01-01T00:00:00Z", "architecture": "x86_64",
        "entries": CONTENTS.iter().map(entry).collect::<Vec<_>>(),
    })
}

/// What the manifest lists, in its order, as far as there is anything by that hash.
fn write(path: &Path, manifest: &Value) {
    let mut archive = tar::Builder::new(std::fs::File::create(path).unwrap());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    };
    let text = manifest.to_string();
    add("manifest.json", text.as_bytes());
    let signature = KEY.sign(text.as_bytes(), "a test").unwrap();
    add("manifest.json.minisig", signature.as_bytes());
    for entry in manifest["entries"].as_array().into_iter().flatten() {
        let content = CONTENTS
            .iter()
            .find(|(_, _, content)| entry["sha256"] == sha256(content));
        if let Some((_, _, content)) = content {
            let packed = zstd::encode_all(*content, 1).unwrap();
            add(&format!("blobs/{}.zst", sha256(content)), &packed);
        }
    }
    archive.finish().unwrap();
}

#[track_caller]
fn unpacked(manifest: &Value) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let (path, into) = (folder.path().join("a.bundle"), folder.path().join("out"));
    write(&path, manifest);
    let key: PublicKey = KEY.public().unwrap();
    match unpack(&path, &key, &into) {
        Ok(manifest) => {
            manifest.size();
            for entry in &manifest.entries {
                let name = into.join(entry.kind.folder()).join(&entry.name);
                prop_assert!(name.is_file(), "{}", name.display());
            }
        }
        Err(error) => {
            prop_assert!(error.chain().any(|cause| cause.is::<BadState>()), "{error:#}");
            prop_assert!(format!("{error:#}").contains("a.bundle"), "{error:#}");
            let left = std::fs::read_dir(folder.path()).unwrap().count();
            prop_assert_eq!(left, 1, "something was left behind");
        }
    }
    Ok(())
}

#[test]
fn the_whole_one_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bundle");
    write(&path, &manifest());
    unpack(&path, &KEY.public().unwrap(), &folder.path().join("out")).unwrap();
}

#[test]
fn sizes_beyond_all_numbers_are_refused() {
    for size in [u64::MAX, u64::MAX - 8] {
        let mut manifest = manifest();
        manifest["entries"][1]["size"] = json!(size);
        unpacked(&manifest).unwrap();
    }
}

proptest! {
    #[test]
    fn manifests_that_were_signed_and_edited(edits in edits()) {
        unpacked(&edited(&manifest(), &edits))?;
    }
}
