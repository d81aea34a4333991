//! The sample workload, asked on every way that a Service has.

use std::time::Duration;

use e2e::{TestLab, own_folder, run, until};

pub(crate) fn answers_on_every_way(lab: &TestLab) {
    lab.load_sample_image(&[]);
    let sample = own_folder().join("../demo/sample.yaml");
    lab.kubectl(&["apply", "-f", &sample.display().to_string()]).ok();
    lab.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])
        .ok();
    lab.kubectl(&["wait", "--for=condition=Ready", "pod/client", "--timeout=60s"])
        .ok();
    let client_node = lab.get(&["pod", "client"])["spec"]["nodeName"]
        .as_str()
        .expect("scheduled")
        .to_owned();
    let pods = lab.get(&["pods", "-l", "app=web"]);
    let pods = pods["items"].as_array().expect("a list");
    assert_eq!(pods.len(), 4);
    let far = pods
        .iter()
        .find(|pod| pod["spec"]["nodeName"] != client_node.as_str())
        .expect("the scheduler spreads replicas over nodes");
    let pod_ip = far["status"]["podIP"].as_str().expect("a pod has an address");
    let service = lab.get(&["service", "web"]);
    let cluster_ip = service["spec"]["clusterIP"].as_str().expect("a ClusterIP");
    for url in [
        format!("http://{pod_ip}:8080/"),
        format!("http://{cluster_ip}/"),
        "http://web/".to_owned(),
        "http://web.default.svc.cluster.local/".to_owned(),
    ] {
        let (answer, _) = until(&url, Duration::from_secs(15), || fetch(lab, &url));
        assert_eq!(answer.trim(), "hello from hardway", "{url}");
    }
    for node in lab.get(&["nodes"])["items"].as_array().expect("a list") {
        let addresses = node["status"]["addresses"].as_array().expect("addresses");
        let address = addresses
            .iter()
            .find(|a| a["type"] == "InternalIP")
            .expect("an internal address");
        let url = format!(
            "http://{}:30080/index.html",
            address["address"].as_str().expect("text")
        );
        let (answer, _) = until(&url, Duration::from_secs(15), || {
            run(lab.command("curl").args(["-fsS", "-m", "5", &url]), None).result()
        });
        assert_eq!(answer.trim(), "hello from hardway", "{url}");
    }
    spreads_over_the_pods(lab, cluster_ip);
    configuration_reaches_the_pod(lab);
}

/// wget's own -T crashes in Debian's static busybox, so timeout(1) bounds it.
fn fetch(lab: &TestLab, url: &str) -> Result<String, String> {
    let wget = [
        "/bin/busybox",
        "timeout",
        "5",
        "/bin/busybox",
        "wget",
        "-q",
        "-O",
        "-",
        url,
    ];
    lab.kubectl(&[&["exec", "client", "--"][..], &wget].concat())
        .result()
}

fn spreads_over_the_pods(lab: &TestLab, cluster_ip: &str) {
    let script = format!(
        "i=0; while [ $i -lt 40 ]; do /bin/busybox wget -q -O - http://{cluster_ip}/cgi-bin/whoami; i=$((i+1)); done"
    );
    let said = lab
        .kubectl(&["exec", "client", "--", "/bin/busybox", "sh", "-c", &script])
        .ok();
    let names: std::collections::BTreeSet<&str> = said.split_whitespace().collect();
    assert!(names.len() >= 3, "40 requests reached only {names:?}");
}

fn configuration_reaches_the_pod(lab: &TestLab) {
    let said = lab
        .kubectl(&[
            "exec",
            "deployment/web",
            "--",
            "/bin/busybox",
            "sh",
            "-c",
            "echo $PASSWORD; /bin/busybox cat /secret/password",
        ])
        .ok();
    assert_eq!(
        said.trim().replace('\n', ""),
        "correct-horse-battery-staple".repeat(2)
    );
    let said = lab
        .kubectl(&[
            "exec",
            "client",
            "--",
            "/bin/busybox",
            "ls",
            "/var/run/secrets/kubernetes.io/serviceaccount",
        ])
        .ok();
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["ca.crt", "namespace", "token"]
    );
}
