//! Passphrases, as an operator gives them: for the key that signs bundles, and for the cluster's directory where it lies
//! and where it travels.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use provisioner::identities;
use provisioner::inventory::Inventory;
use provisioner::state::{OpenOptions, State};

const INVENTORY: &str = "[cluster]\nname = \"one\"\n[[hosts]]\nname = \"cp-1\"\naddress = \"10.77.0.11\"\nroles = [\"control-plane\"]\n";

struct Said {
    code: i32,
    text: String,
}

struct Operator {
    folder: tempfile::TempDir,
}

impl Operator {
    fn new() -> Operator {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hosts.toml"), INVENTORY).unwrap();
        for (name, word) in [("right", "correct horse\n"), ("wrong", "battery staple\n")] {
            std::fs::write(folder.path().join(name), word).unwrap();
        }
        Operator { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn hardway(&self, arguments: &[&str]) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_hardway"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("HARDWAY_PASSPHRASE_FILE")
            .env_remove("HARDWAY_IDENTITY")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        Said {
            code: output.status.code().unwrap(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.hardway(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.text);
        said.text
    }

    #[track_caller]
    fn refused(&self, arguments: &[&str], expected: &str) {
        let said = self.hardway(arguments);
        assert!(
            matches!(said.code, 1 | 2) && said.text.contains(expected),
            "{arguments:?}: {} {}",
            said.code,
            said.text
        );
        assert!(
            !said.text.contains("horse") && !said.text.contains("staple"),
            "{}",
            said.text
        );
    }
}

fn holds(content: &[u8], word: &[u8]) -> bool {
    content.windows(word.len()).any(|part| part == word)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn bundle<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = [
        "bundle",
        "--out",
        "b",
        "--key",
        "bundle.key",
        "--no-packages",
        "--binaries",
        "bin",
    ];
    [&base, more].concat()
}

#[test]
fn a_key_for_bundles_opens_with_its_passphrase() {
    let operator = Operator::new();
    std::fs::create_dir(operator.at("bin")).unwrap();
    operator.ok(&[
        "bundle",
        "keygen",
        "--out",
        "bundle.key",
        "--passphrase",
        "--passphrase-file",
        "right",
    ]);
    assert_eq!(mode(&operator.at("bundle.key")), 0o600);
    operator.refused(&bundle(&["--passphrase-file", "wrong"]), "passphrase");
    // Neither a file nor a terminal to ask on.
    operator.refused(&bundle(&[]), "passphrase");
    // With the right one it gets as far as the programs, of which there are none.
    operator.refused(&bundle(&["--passphrase-file", "right"]), "kube-apiserver");
}

#[test]
fn a_directory_is_encrypted_and_travels_with_a_passphrase() {
    let operator = Operator::new();
    let path = operator.at("hosts.toml");
    let state = State::open(&path, "test", &OpenOptions::default()).unwrap();
    identities::prepare(&Inventory::load(&path).unwrap(), &state, SystemTime::now(), false).unwrap();
    drop(state);
    let key = operator.at("hosts.hardway/pki/kubernetes-ca.key");
    let word = std::fs::read_to_string(&key).unwrap();
    assert!(word.contains("PRIVATE KEY"));
    let right = ["--passphrase", "--passphrase-file", "right"];
    operator.ok(&[&["state", "encrypt"][..], &right].concat());
    let sealed = std::fs::read(&key).unwrap();
    assert!(!holds(&sealed, b"PRIVATE KEY"));
    assert!(operator.ok(&["state", "show"]).contains("encrypted"));
    operator.refused(&["state", "decrypt"], "passphrase");
    operator.refused(&["state", "decrypt", "--passphrase-file", "wrong"], "passphrase");
    assert_eq!(
        std::fs::read(&key).unwrap(),
        sealed,
        "a wrong passphrase changed something"
    );
    operator.ok(&["state", "decrypt", "--passphrase-file", "right"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), word);
    // In clear here, and sealed on the way. Snapshots are no part of it.
    let snapshot = operator.at("hosts.hardway/snapshots/etcd-1.db");
    std::fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    std::fs::write(&snapshot, "data").unwrap();
    operator.ok(&[&["state", "export", "one.age"][..], &right].concat());
    assert_eq!(mode(&operator.at("one.age")), 0o600);
    assert!(!holds(
        &std::fs::read(operator.at("one.age")).unwrap(),
        b"PRIVATE KEY"
    ));
    operator.refused(
        &["state", "import", "one.age", "--passphrase-file", "right"],
        "--replace",
    );
    std::fs::remove_dir_all(operator.at("hosts.hardway")).unwrap();
    operator.refused(
        &["state", "import", "one.age", "--passphrase-file", "wrong"],
        "passphrase",
    );
    assert!(!key.exists());
    operator.ok(&["state", "import", "one.age", "--passphrase-file", "right"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), word);
    assert_eq!(mode(&key), 0o600);
    assert!(!snapshot.exists());
}
