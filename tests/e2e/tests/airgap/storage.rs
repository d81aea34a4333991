//! An S3-compatible server in the lab's network, over TLS.

use std::process::{Child, Stdio};
use std::time::Duration;

use e2e::{TestLab, run, until};

pub(crate) const BUCKET: &str = "snapshots";
const PORT: &str = "9000";

pub(crate) struct Storage {
    server: Child,
    pub endpoint: String,
}

impl Storage {
    pub(crate) fn start(lab: &TestLab) -> Self {
        let folder = lab.scratch.path();
        let address = lab.machine_address("cp-1");
        let (certificate, key) = (folder.join("s3.crt"), folder.join("s3.key"));
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ])
            .args(["-days", "2", "-subj", "/CN=storage"])
            // An authority is not taken for a server.
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-addext"])
            .arg(format!("subjectAltName=IP:{address}"))
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        run(&mut openssl, None).ok();
        let server = lab
            .command("moto_server")
            .args(["-H", &address, "-p", PORT, "-s", "-c"])
            .arg(&certificate)
            .arg("-k")
            .arg(&key)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is installed by tests/tools/install.sh");
        let storage = Self {
            server,
            endpoint: format!("https://{address}:{PORT}"),
        };
        until("the storage has a bucket", Duration::from_secs(30), || {
            let mut curl = lab.command("curl");
            curl.args(["-sf", "-X", "PUT", "--cacert"])
                .arg(&certificate)
                .arg(format!("{}/{BUCKET}", storage.endpoint));
            run(&mut curl, None).result()
        });
        storage
    }

    pub(crate) fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may be gone already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.end();
    }
}
