//! Each rule, since its version and in its words.

use super::*;
use serde_json::json;

fn found(level: Level, minor: u32, spec: &Value) -> String {
    told(&violations(level, minor, spec, None))
}

fn good() -> Value {
    json!({"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]})
}

fn with(field: &str, value: Value) -> Value {
    let mut spec = good();
    spec[field] = value;
    spec
}

fn of_containers(contexts: &[Value]) -> Value {
    let containers: Vec<Value> = contexts
        .iter()
        .zip(["a", "b", "c"])
        .map(|(context, name)| json!({"name": name, "securityContext": context}))
        .collect();
    json!({ "containers": containers })
}

#[test]
fn a_plain_pod() {
    let plain = json!({"containers": [{"name": "c"}]});
    assert_eq!(
        found(Level::Privileged, u32::MAX, &with("hostNetwork", json!(true))),
        ""
    );
    assert_eq!(found(Level::Baseline, u32::MAX, &plain), "");
    assert_eq!(found(Level::Restricted, u32::MAX, &good()), "");
    assert_eq!(
        found(Level::Restricted, u32::MAX, &plain),
        "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
         unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), \
         runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), \
         seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
    );
}

#[test]
fn baseline_in_its_words() {
    let port = |ports: &[u64]| {
        let ports: Vec<Value> = ports.iter().map(|port| json!({ "hostPort": port })).collect();
        json!({"containers": [{"name": "a", "ports": ports}, {"name": "b", "ports": ports}]})
    };
    for (spec, expected) in [
        (
            json!({"hostIPC": true, "hostNetwork": true}),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}, {"name": "e", "emptyDir": {}}]}),
            "hostPath volumes (volumes \"v\", \"w\")",
        ),
        (
            port(&[80, 0, 443]),
            "hostPort (containers \"a\", \"b\" use hostPorts 443, 80)",
        ),
        (
            json!({"containers": [{"name": "a", "ports": [{"hostPort": 80}]}]}),
            "hostPort (container \"a\" uses hostPort 80)",
        ),
        (
            of_containers(&[json!({"privileged": true}), json!({"privileged": false})]),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            of_containers(&[
                json!({"capabilities": {"add": ["SYS_ADMIN", "CHOWN"]}}),
                json!({"capabilities": {"add": ["BPF"]}}),
            ]),
            "non-default capabilities (containers \"a\", \"b\" must not include \"BPF\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            of_containers(&[json!({"procMount": "Unmasked"}), json!({"procMount": "Default"})]),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            json!({"securityContext": {"windowsOptions": {"hostProcess": true}}, "containers": [{"name": "a", "securityContext": {"windowsOptions": {"hostProcess": true}}}]}),
            "hostProcess (pod and container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}),
            "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"type": "x", "user": "u"}}, "containers": [{"name": "a", "securityContext": {"seLinuxOptions": {"type": "y", "role": "r"}}}]}),
            "seLinuxOptions (pod and container \"a\" set forbidden securityContext.seLinuxOptions: types \"x\", \"y\"; user may not be set; role may not be set)",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"role": "r"}}}),
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be set)",
        ),
        (
            of_containers(&[
                json!({"seccompProfile": {"type": "Unconfined"}}),
                json!({"seccompProfile": {"type": "Localhost"}}),
            ]),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "kernel.shm_rmid_forced"}, {"name": "a"}]}}),
            "forbidden sysctls (kernel.msgmax, a)",
        ),
    ] {
        assert_eq!(found(Level::Baseline, u32::MAX, &spec), expected, "{spec}");
    }
}

#[test]
fn restricted_in_its_words() {
    let context = |context: Value| {
        let mut spec = good();
        for (field, value) in context.as_object().unwrap() {
            spec["containers"][0]["securityContext"][field] = value.clone();
        }
        spec
    };
    let pod_context = |field: &str, value: Value| {
        let mut spec = good();
        spec["securityContext"][field] = value;
        spec
    };
    for (spec, expected) in [
        (
            with(
                "volumes",
                json!([{"name": "h", "hostPath": {}}, {"name": "n", "nfs": {}}, {"name": "s", "secret": {}}, {"name": "i", "image": {}}]),
            ),
            "restricted volume types (volumes \"h\", \"n\" use restricted volume types \"hostPath\", \"nfs\")",
        ),
        (
            with("volumes", json!([{"name": "n", "later": {}}])),
            "restricted volume types (volume \"n\" uses restricted volume type \"unknown\")",
        ),
        (
            context(json!({"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}})),
            "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"c\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            context(json!({"runAsNonRoot": false})),
            "runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            pod_context("runAsNonRoot", json!(false)),
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            pod_context("runAsUser", json!(0)),
            "runAsUser=0 (pod must not set runAsUser=0)",
        ),
        (
            context(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        // Its own rule in place of the baseline's, and once.
        (
            context(json!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
    ] {
        assert_eq!(found(Level::Restricted, u32::MAX, &spec), expected, "{spec}");
    }
}

#[test]
fn all_at_once_in_order() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "c", "ports": [{"hostPort": 1}],
        "securityContext": {"privileged": true, "runAsUser": 0, "procMount": "Unmasked", "capabilities": {"add": ["X"]}}}],
        "volumes": [{"name": "v", "hostPath": {}}]});
    let reasons = |level: Level| -> Vec<&str> {
        let found = violations(level, u32::MAX, &spec, None);
        found.into_iter().map(|violation| violation.reason).collect()
    };
    assert_eq!(
        reasons(Level::Baseline),
        [
            "non-default capabilities",
            "host namespaces",
            "hostPath volumes",
            "hostPort",
            "privileged",
            "procMount"
        ]
    );
    assert_eq!(
        reasons(Level::Restricted),
        [
            "host namespaces",
            "hostPort",
            "privileged",
            "allowPrivilegeEscalation != false",
            "unrestricted capabilities",
            "procMount",
            "restricted volume types",
            "runAsNonRoot != true",
            "runAsUser=0",
            "seccompProfile",
        ]
    );
}

#[test]
fn annotations_of_old() {
    let annotations = json!({
        "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
        "container.apparmor.security.beta.kubernetes.io/d": "localhost/x",
        "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.seccomp.security.alpha.kubernetes.io/c": "docker/default",
    });
    let spec = json!({"containers": [{"name": "c"}]});
    let found = |minor| {
        told(&violations(
            Level::Baseline,
            minor,
            &spec,
            annotations.as_object(),
        ))
    };
    let app_armor = "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
        \"container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"\")";
    assert_eq!(found(19), app_armor);
    assert_eq!(
        found(18),
        format!(
            "{app_armor}, seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
        )
    );
}

#[test]
fn rules_hold_since_their_version() {
    let plain = json!({"containers": [{"name": "c"}]});
    let root = json!({"securityContext": {"runAsUser": 0}, "containers": []});
    let sysctl = |name: &str| json!({"securityContext": {"sysctls": [{"name": name}]}, "containers": []});
    let engine =
        json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}, "containers": []});
    let probed = json!({"containers": [
        {"name": "b", "livenessProbe": {"httpGet": {"host": "h", "port": 1}}},
        {"name": "a", "lifecycle": {"preStop": {"tcpSocket": {"host": "g", "port": 1}}}},
        {"name": "c", "readinessProbe": {"httpGet": {"port": 1}}}]});
    assert_eq!(
        found(Level::Baseline, 34, &probed),
        "probe or lifecycle host (containers \"a\", \"b\" use probe or lifecycle hosts \"g\", \"h\")"
    );
    let mut windows = plain.clone();
    windows["os"] = json!({"name": "windows"});
    let mut own_users = of_containers(&[
        json!({"procMount": "Unmasked", "runAsUser": 0, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "Localhost"}}),
    ]);
    own_users["hostUsers"] = json!(false);
    for (level, spec, counts) in [
        (
            Level::Restricted,
            &plain,
            &[(7, 1), (8, 2), (18, 2), (19, 3), (21, 3), (22, 4), (36, 4)][..],
        ),
        (Level::Restricted, &windows, &[(24, 4), (25, 1)]),
        (Level::Restricted, &root, &[(22, 0), (23, 1)]),
        (Level::Restricted, &own_users, &[(34, 3), (35, 1)]),
        (Level::Baseline, &own_users, &[(34, 1), (35, 0)]),
        (Level::Baseline, &sysctl("net.ipv4.tcp_rmem"), &[(31, 1), (32, 0)]),
        (
            Level::Baseline,
            &sysctl("net.ipv4.tcp_fin_timeout"),
            &[(28, 1), (29, 0)],
        ),
        (Level::Baseline, &sysctl("kernel.msgmax"), &[(0, 1), (36, 1)]),
        (Level::Baseline, &engine, &[(30, 1), (31, 0)]),
        (Level::Baseline, &probed, &[(33, 0), (34, 1)]),
    ] {
        for (minor, count) in counts {
            let found = violations(level, *minor, spec, None);
            assert_eq!(found.len(), *count, "1.{minor} {spec}: {found:?}");
        }
    }
}
