//! The SSH transport against a real sshd on loopback.

#![allow(clippy::unwrap_used)]

use std::io::Cursor;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use provisioner::inventory::{Bastion, SshSettings};
use provisioner::ssh::{
    Connection, HostKey, KnownHosts, SshError, Target, Trust, UntrustedKey, fetch_host_key,
};
use sha2::{Digest, Sha256};

struct Server {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn keygen(path: &Path) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .expect("ssh-keygen is installed");
    assert!(status.success());
}

fn sshd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("sshd"))
        .find(|program| program.is_file())
        .expect("sshd is installed: make deps installs openssh-server")
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        keygen(&folder.path().join("host"));
        keygen(&folder.path().join("client"));
        // sshd run by root wants its empty folder.
        if nix::unistd::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        // Another process may take the free port first, so a few are tried.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            let mut process = Command::new(sshd())
                .args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string(), "-h"])
                .arg(folder.path().join("host"))
                .args([
                    "-o",
                    "ListenAddress=127.0.0.1",
                    "-o",
                    "StrictModes=no",
                    "-o",
                    "PidFile=none",
                ])
                .args([
                    "-o",
                    "PermitRootLogin=yes",
                    "-o",
                    "PasswordAuthentication=no",
                    "-o",
                    "UsePAM=no",
                    "-o",
                ])
                .arg(format!(
                    "AuthorizedKeysFile={}",
                    folder.path().join("client.pub").display()
                ))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while process.try_wait().unwrap().is_none() && Instant::now() < deadline {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Server {
                        process,
                        port,
                        folder,
                    };
                }
                std::thread::yield_now();
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        panic!("sshd did not listen");
    }

    fn host_key(&self) -> HostKey {
        HostKey::parse(&std::fs::read_to_string(self.folder.path().join("host.pub")).unwrap()).unwrap()
    }

    fn target(&self, pinned: Option<String>) -> Target {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
            .unwrap()
            .unwrap()
            .name;
        Target {
            host: "127.0.0.1".to_owned(),
            settings: SshSettings {
                user,
                port: self.port,
                key: Some(self.folder.path().join("client")),
                bastion: None,
                sudo: false,
                known_hosts: None,
            },
            trust: Trust {
                pinned,
                known: KnownHosts::default(),
            },
        }
    }

    fn connect(&self) -> Connection {
        Connection::open(&self.target(Some(self.host_key().line()))).unwrap()
    }
}

#[test]
fn data_streams_into_a_command_and_its_answer_comes_back() {
    let server = Server::start();
    let connection = server.connect();
    let data: Vec<u8> = (0..8_000_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let sent = std::cell::Cell::new(0u64);
    let answer = connection
        .check(
            "hashing",
            "sha256sum | cut -d' ' -f1",
            &mut Cursor::new(&data),
            &|bytes| {
                sent.set(sent.get() + bytes);
            },
        )
        .unwrap();
    assert_eq!(answer.trim(), hex::encode(Sha256::digest(&data)));
    assert_eq!(sent.get(), data.len() as u64);
    // The session stays usable, and quotes survive.
    assert_eq!(
        connection
            .script("echo", "printf '%s' \"it's \\\"quoted\\\"\"")
            .unwrap(),
        "it's \"quoted\""
    );
}

#[test]
fn a_failing_command_is_told_with_its_last_words() {
    let server = Server::start();
    let connection = server.connect();
    let output = connection
        .run(
            "failing",
            "echo out; echo err >&2; exit 7",
            &mut std::io::empty(),
            &|_| {},
        )
        .unwrap();
    assert_eq!(
        (output.status, output.stdout.as_str(), output.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    let error = connection
        .script("failing", "echo no space left >&2; exit 1")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "failing failed with exit status 1: no space left"
    );
    // A command that stops reading long before the end of its input.
    let mut data = Cursor::new(vec![7u8; 20_000_000]);
    let error = connection
        .check("pushing", "echo disk full >&2; exit 1", &mut data, &|_| {})
        .unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
}

#[test]
fn host_keys_are_checked_before_the_login() {
    let server = Server::start();
    let shown = server.host_key().fingerprint();
    assert_eq!(fetch_host_key(&server.target(None)).unwrap(), server.host_key());

    let unknown = Connection::open(&server.target(None)).err().unwrap();
    assert!(
        matches!(unknown, SshError::HostKey(UntrustedKey::Unknown { .. })),
        "{unknown}"
    );
    assert!(
        unknown.to_string().contains(&shown) && unknown.to_string().contains("hardway trust"),
        "{unknown}"
    );

    let other = tempfile::tempdir().unwrap();
    keygen(&other.path().join("other"));
    let other = HostKey::parse(&std::fs::read_to_string(other.path().join("other.pub")).unwrap()).unwrap();
    let changed = Connection::open(&server.target(Some(other.line())))
        .err()
        .unwrap()
        .to_string();
    for part in [shown.as_str(), &other.fingerprint(), "host_key in the inventory"] {
        assert!(changed.contains(part), "{changed}");
    }

    let mut target = server.target(None);
    let entry = format!("[127.0.0.1]:{} {}\n", server.port, server.host_key().line());
    target.trust.known.add_text(Path::new("known_hosts"), &entry);
    assert!(Connection::open(&target).is_ok());
}

#[test]
fn a_bastion_is_passed_through_and_its_key_checked_too() {
    let server = Server::start();
    let mut target = server.target(Some(server.host_key().line()));
    target.settings.bastion = Some(Bastion {
        user: None,
        host: "127.0.0.1".to_owned(),
        port: server.port,
    });
    let refused = Connection::open(&target).err().unwrap();
    assert!(
        matches!(refused, SshError::HostKey(UntrustedKey::Unknown { .. })),
        "{refused}"
    );

    let entry = format!("[127.0.0.1]:{} {}\n", server.port, server.host_key().line());
    target.trust.known.add_text(Path::new("known_hosts"), &entry);
    let connection = Connection::open(&target).unwrap();
    let data = vec![42u8; 3_000_000];
    let answer = connection
        .check("counting", "wc -c", &mut Cursor::new(&data), &|_| {})
        .unwrap();
    assert_eq!(answer.trim(), "3000000");
}

#[test]
fn an_unreachable_host_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::start();
    let mut target = server.target(None);
    target.settings.port = port;
    let error = Connection::open(&target).err().unwrap().to_string();
    assert!(
        error.contains(&format!("cannot reach 127.0.0.1:{port}")),
        "{error}"
    );
}

#[test]
fn a_port_of_the_host_is_reached_through_ssh() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = stream.try_clone().unwrap();
        std::io::copy(&mut reader, &mut stream).unwrap();
    });
    let forward =
        provisioner::ssh::Forward::open(server.target(Some(server.host_key().line())), port).unwrap();
    let mut client = TcpStream::connect(forward.address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let sent: Vec<u8> = (0..200_000u32).map(|number| number as u8).collect();
    let writer = {
        let (mut client, sent) = (client.try_clone().unwrap(), sent.clone());
        std::thread::spawn(move || std::io::Write::write_all(&mut client, &sent).unwrap())
    };
    let mut received = vec![0u8; sent.len()];
    std::io::Read::read_exact(&mut client, &mut received).unwrap();
    assert_eq!(received, sent);
    writer.join().unwrap();
    drop(client);
    drop(forward);
    echo.join().unwrap();
}
