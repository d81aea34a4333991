//! What an intruder would try: etcd's content, open ports, readable keys, secrets in arguments and logs.

use e2e::TestLab;

use crate::bootstrap::HOSTS;

const PASSWORD: &str = "correct-horse-battery-staple";

pub(crate) fn secrets_are_unreadable_in_etcd(lab: &TestLab) {
    let script = "d=/etc/hardway/current/pki; set -- $(grep -rlE 'BEGIN CERTIFICATE' $d | grep -i 'etcd' | grep -iE 'health|client'); \
        cert=$1; key=${cert%.crt}.key; ca=$(ls $d/etcd*ca*.crt $d/etcd/ca.crt 2>/dev/null | head -n 1); \
        ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert $ca --cert $cert --key $key \
        get /registry/secrets/default/password --print-value-only";
    let value = lab.exec("cp-1", &["sh", "-c", script]).ok();
    assert!(
        value.starts_with("k8s:enc:"),
        "the stored secret is not encrypted: {:?}",
        value.get(..40)
    );
    assert!(!value.contains(PASSWORD));
}

/// Ports that may answer without authentication: SSH, and health on loopback.
fn is_exception(address: &str, port: u16) -> bool {
    let loopback = address.starts_with("127.") || address == "::1";
    port == 22 || (loopback && [10247, 10248, 10249, 10256, 7444].contains(&port))
}

pub(crate) fn every_port_asks_who_is_there(lab: &TestLab) {
    let mut probed = 0;
    for host in HOSTS {
        let listening = lab.exec(host, &["ss", "-Hltn"]).ok();
        for line in listening.lines() {
            let local = line.split_whitespace().nth(3).unwrap_or_default();
            let (address, port) = local.rsplit_once(':').expect("address and port");
            let port: u16 = port.parse().expect("a port");
            let address = address
                .trim_start_matches('[')
                .trim_end_matches(']')
                .split('%')
                .next()
                .unwrap_or_default();
            if is_exception(address, port) {
                continue;
            }
            let target = match address {
                "*" | "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
                other if other.contains(':') => format!("[{other}]"),
                other => other.to_owned(),
            };
            refuses_strangers(lab, host, &target, port);
            probed += 1;
        }
    }
    assert!(probed >= 20, "only {probed} ports were found on five hosts");
}

/// Plain text must get no useful answer; TLS without a certificate must be refused or answered 401 or 403.
fn refuses_strangers(lab: &TestLab, host: &str, address: &str, port: u16) {
    let ask = |url: String| {
        lab.exec(
            host,
            &[
                "curl",
                "-sk",
                "-m",
                "5",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url,
            ],
        )
        .stdout
    };
    let plain = ask(format!("http://{address}:{port}/metrics"));
    assert!(
        plain == "000" || plain == "400",
        "{host} {address}:{port} answers plain HTTP with {plain}"
    );
    let secure = ask(format!("https://{address}:{port}/metrics"));
    // containerd's streams on loopback are authenticated by the one-time token in the path: without it, 404.
    let is_stream = address.starts_with("127.") && secure == "404";
    assert!(
        is_stream || ["000", "401", "403"].contains(&secure.as_str()),
        "{host} {address}:{port} answers a stranger with {secure}"
    );
}

pub(crate) fn keys_are_private_and_nothing_leaks(lab: &TestLab) {
    for host in HOSTS {
        let script = "grep -rlsE 'BEGIN [A-Z ]*PRIVATE KEY' /etc/hardway /opt/hardway /var/lib/hardway /var/lib/kubelet/pki \
                      /etc/kubernetes 2>/dev/null | xargs -r stat -L -c '%a %n'";
        for line in lab.exec(host, &["sh", "-c", script]).ok().lines() {
            assert!(line.starts_with("600 "), "{host}: {line}");
        }
        let arguments = lab.exec(host, &["ps", "axww", "-o", "args"]).ok();
        let log = lab
            .exec(host, &["journalctl", "-q", "--no-pager", "-o", "cat"])
            .ok();
        for (place, text) in [("arguments", &arguments), ("log", &log)] {
            // A JWT, a key and the sample's password.
            for secret in ["eyJhbGciOi", "PRIVATE KEY-", PASSWORD] {
                assert!(!text.contains(secret), "{host}: {secret:?} stands in the {place}");
            }
        }
    }
}
