//! Policies written as expressions.

use crate::bench::{Bench, CONFIGURATIONS, MAPS};
use serde_json::{Value, json};
use testkit::webhook::{Answer, Seen};

pub fn answer(seen: &Seen) -> Answer {
    let uid = &seen.body["request"]["uid"];
    Answer::ok(
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {
            "uid": uid, "allowed": false, "status": {"code": 403, "message": "marker"},
        }}),
    )
}

pub fn maps() -> Value {
    json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE", "UPDATE"]}]})
}

impl Bench {
    async fn policy(&self, kind: &str, name: &str, spec: Value, binding: Value) {
        self.bound(kind, name, spec, binding).await;
        self.acts(name).await;
    }

    /// A policy with a binding, of the same name.
    pub async fn bound(&self, kind: &str, name: &str, spec: Value, binding: Value) {
        let object = |kind: &str, spec: &Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let plural = kind.to_lowercase().replace("policy", "policies");
        let (code, body, _) = self
            .post(&format!("{CONFIGURATIONS}/{plural}"), &object(kind, &spec))
            .await;
        assert_eq!(code, 201, "{body}");
        let mut binding = binding;
        binding["policyName"] = json!(name);
        let kind = format!("{kind}Binding");
        let plural = format!("{}s", kind.to_lowercase());
        let (code, body, _) = self
            .post(&format!("{CONFIGURATIONS}/{plural}"), &object(&kind, &binding))
            .await;
        assert_eq!(code, 201, "{body}");
    }

    /// Waits until a policy made after this one acts.
    pub async fn acts(&self, name: &str) {
        self.settled(name).await;
        // Webhooks and policies are read side by side.
        tokio::time::timeout(std::time::Duration::from_secs(10), self.probed(name))
            .await
            .unwrap();
    }

    async fn probed(&self, name: &str) {
        let probe = format!("zz-probe-{name}");
        let spec = json!({"matchConstraints": maps(), "validations": [{"expression": format!("object.metadata.name != '{probe}'")}]});
        let object = |kind: &str, spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": probe}, "spec": spec});
        let policies = format!("{CONFIGURATIONS}/validatingadmissionpolicies");
        let bindings = format!("{CONFIGURATIONS}/validatingadmissionpolicybindings");
        assert_eq!(
            self.post(&policies, &object("ValidatingAdmissionPolicy", spec))
                .await
                .0,
            201
        );
        let binding = json!({"policyName": probe, "validationActions": ["Deny"]});
        assert_eq!(
            self.post(&bindings, &object("ValidatingAdmissionPolicyBinding", binding))
                .await
                .0,
            201
        );
        while self
            .post(
                &format!("{MAPS}?dryRun=All"),
                &json!({"metadata": {"name": probe}}),
            )
            .await
            .0
            == 201
        {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        self.delete(&format!("{policies}/{probe}")).await;
        self.delete(&format!("{bindings}/{probe}")).await;
    }
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "data": data})
}

#[tokio::test]
async fn validations_messages_actions_and_parameters() {
    let bench = Bench::start(answer).await;
    let (code, params, _) = bench.post(MAPS, &map("limits", json!({"most": "2"}))).await;
    assert_eq!(code, 201, "{params}");
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": maps(),
        "matchConditions": [{"name": "only", "expression": "object.metadata.name.startsWith('checked')"}],
        "variables": [
            {"name": "size", "expression": "has(object.data) ? object.data.size() : 0"},
            {"name": "most", "expression": "int(params.data.most)"},
            {"name": "fits", "expression": "variables.size <= variables.most"},
        ],
        "validations": [
            {"expression": "variables.fits", "messageExpression": "'at most ' + string(variables.most) + ', not ' + string(variables.size)", "reason": "Forbidden"},
            {"expression": "request.operation != 'UPDATE' || object.metadata.labels == oldObject.metadata.labels", "message": "labels stay"},
            {"expression": "authorizer.requestResource.check('create').allowed()"},
            {"expression": "namespaceObject.metadata.name == 'default'"},
        ],
        "auditAnnotations": [{"key": "size", "valueExpression": "string(variables.size)"}],
    });
    let binding = json!({"validationActions": ["Deny"], "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"}});
    bench
        .policy("ValidatingAdmissionPolicy", "sizes.example.com", spec, binding)
        .await;
    assert_eq!(
        bench
            .post(MAPS, &map("free", json!({"a": "", "b": "", "c": ""})))
            .await
            .0,
        201
    );
    let (code, made, _) = bench
        .post(MAPS, &map("checked", json!({"a": "1", "b": "2"})))
        .await;
    assert_eq!(code, 201, "{made}");
    let (code, status, _) = bench
        .post(MAPS, &map("checked-2", json!({"a": "", "b": "", "c": ""})))
        .await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        status["message"],
        "configmaps \"checked-2\" is forbidden: ValidatingAdmissionPolicy 'sizes.example.com' with binding 'sizes.example.com' denied request: at most 2, not 3"
    );
    let labels = json!({"metadata": {"labels": {"app": "other"}}});
    let (code, status, _) = bench.merge(&format!("{MAPS}/checked"), &labels).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .ends_with("denied request: labels stay"),
        "{status}"
    );
    let spec = json!({"matchConstraints": maps(), "validations": [{"expression": "!has(object.data) || !('loud' in object.data)"}]});
    bench
        .policy(
            "ValidatingAdmissionPolicy",
            "warns.example.com",
            spec,
            json!({"validationActions": ["Warn", "Audit"]}),
        )
        .await;
    let (code, _, warnings) = bench.post(MAPS, &map("warned", json!({"loud": ""}))).await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        [
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'warns.example.com' with binding 'warns.example.com': failed expression: !has(object.data) || !('loud' in object.data)\""
        ]
    );

    let spec =
        json!({"matchConstraints": maps(), "validations": [{"expression": "object.data.absent == 'x'"}]});
    let only = json!({"validationActions": ["Deny"], "matchResources": {"objectSelector": {"matchLabels": {"app": "error"}}}});
    bench
        .policy("ValidatingAdmissionPolicy", "errors.example.com", spec, only)
        .await;
    let (code, status, _) = bench.post(MAPS, &map("error", json!({"a": "b"}))).await;
    assert_eq!(code, 422);
    assert!(
        status["message"].as_str().unwrap().ends_with(
            "denied request: expression 'object.data.absent == 'x'' resulted in error: no such key: absent"
        ),
        "{status}"
    );

    assert_eq!(bench.delete(&format!("{MAPS}/limits")).await.0, 200);
    let mut missing = bench.post(MAPS, &map("checked-3", json!({}))).await;
    for _ in 0..200 {
        if missing.0 != 201 {
            break;
        }
        missing = bench
            .post(&format!("{MAPS}?dryRun=All"), &map("checked-4", json!({})))
            .await;
    }
    assert!(missing.1["message"].as_str().unwrap().ends_with("denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"), "{missing:?}");
}

#[tokio::test]
async fn mutations_by_patch_and_by_configuration() {
    let bench = Bench::start(answer).await;
    let spec = json!({
        "matchConstraints": maps(),
        "reinvocationPolicy": "IfNeeded",
        "variables": [{"name": "team", "expression": "object.metadata.name.split('-')[0]"}],
        "mutations": [
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/team'), value: variables.team}]"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{metadata: Object.metadata{annotations: {'made': 'by ' + variables.team}}, data: {'extra': string(object.metadata.labels.size())}}"}},
        ],
    });
    bench
        .policy("MutatingAdmissionPolicy", "teams.example.com", spec, json!({}))
        .await;
    let (code, made, _) = bench.post(MAPS, &map("red-one", json!({"a": "b"}))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["metadata"]["labels"],
        json!({"app": "red-one", "example.com/team": "red"})
    );
    assert_eq!(made["metadata"]["annotations"], json!({"made": "by red"}));
    assert_eq!(made["data"], json!({"a": "b", "extra": "2"}));

    let apps = json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}]});
    let spec = json!({
        "matchConstraints": apps,
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{initContainers: [Object.spec.template.spec.initContainers{name: 'proxy', image: 'p'}]}}}}"}}],
    });
    bench
        .policy("MutatingAdmissionPolicy", "proxies.example.com", spec, json!({}))
        .await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "own", "image": "o"}]}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let (code, made, _) = bench
        .post("/apis/apps/v1/namespaces/default/deployments", &deployment)
        .await;
    assert_eq!(code, 201, "{made}");
    let inits = made["spec"]["template"]["spec"]["initContainers"]
        .as_array()
        .unwrap();
    let names: Vec<&str> = inits.iter().map(|init| init["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["own", "proxy"]);
    assert_eq!(inits[1]["terminationMessagePolicy"], "File");

    let spec = json!({
        "matchConstraints": maps(),
        "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "bad", "expression": "object.metadata.name == 'bad'"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'remove', path: '/data/none'}]"}}],
    });
    bench
        .policy("MutatingAdmissionPolicy", "bad.example.com", spec, json!({}))
        .await;
    let (code, status, _) = bench.post(MAPS, &map("bad", json!({"a": "b"}))).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Invalid")));
    assert!(
        status["message"].as_str().unwrap().starts_with(
            "policy 'bad.example.com' with binding 'bad.example.com' denied request: JSON Patch:"
        ),
        "{status}"
    );
}

#[tokio::test]
async fn a_configuration_with_repeated_items_is_refused() {
    let bench = Bench::start(answer).await;
    let item = "Object.spec.template.spec.initContainers{name: 'proxy', image: 'p'}";
    let apps = json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}]});
    let spec = json!({
        "matchConstraints": apps,
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": format!("Object{{spec: Object.spec{{template: Object.spec.template{{spec: Object.spec.template.spec{{initContainers: [{item}, {item}]}}}}}}}}")}}],
    });
    bench
        .policy("MutatingAdmissionPolicy", "twice.example.com", spec, json!({}))
        .await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}], "initContainers": [{"name": "proxy", "image": "o"}]}});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let (code, status, _) = bench
        .post("/apis/apps/v1/namespaces/default/deployments", &deployment)
        .await;
    assert_eq!(code, 403, "{status}");
    let why = ".spec.template.spec.initContainers: duplicate entries for key [name=\"proxy\"]";
    assert!(status["message"].as_str().unwrap().ends_with(why), "{status}");
}

#[tokio::test]
async fn expressions_are_checked_when_they_are_stored() {
    let bench = Bench::start(answer).await;
    let policy = |spec: Value| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": spec});
    for (spec, part) in [
        (
            json!({"matchConstraints": maps(), "validations": [{"expression": "object.data"}]}),
            "spec.validations[0].expression: Invalid value: \"object.data\": must evaluate to bool but got dyn",
        ),
        (
            json!({"matchConstraints": maps(), "validations": [{"expression": "nothing == 1"}]}),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')",
        ),
        (
            json!({"matchConstraints": maps(), "validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string but got int",
        ),
        (
            json!({"matchConstraints": maps(), "validations": [{"expression": "params.x == 1"}]}),
            "undeclared reference to 'params'",
        ),
    ] {
        let (code, status, _) = bench
            .post(
                &format!("{CONFIGURATIONS}/validatingadmissionpolicies"),
                &policy(spec),
            )
            .await;
        assert_eq!(code, 422, "{status}");
        assert!(status["message"].as_str().unwrap().contains(part), "{status}");
    }
    let hook = bench.hook(
        "a.example.com",
        "/",
        json!({"matchConditions": [{"name": "x", "expression": "... [] bad expression"}]}),
    );
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "bad"}, "webhooks": [hook]});
    let (code, status, _) = bench
        .post(
            &format!("{CONFIGURATIONS}/mutatingwebhookconfigurations"),
            &object,
        )
        .await;
    assert_eq!(code, 422);
    assert!(
        status["message"].as_str().unwrap().contains("compilation failed"),
        "{status}"
    );
}

/// Gives a user a cluster role of these rules.
async fn grant(bench: &Bench, user: &str, name: &str, rules: Value) {
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": name}, "rules": rules});
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    for (path, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let (code, body, _) = bench.post(&format!("{rbac}/{path}"), &object).await;
        assert_eq!(code, 201, "{body}");
    }
}

impl Bench {
    /// Posts until the rights that it takes are known, and gives the answer.
    async fn allowed(&self, user: &str, path: &str, object: &Value) -> (u16, Value) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let (code, body, _) = self.post_as(user, path, object).await;
            if code != 403 || std::time::Instant::now() > deadline {
                return (code, body);
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn who_names_parameters_can_read_them() {
    let bench = Bench::start(answer).await;
    let write =
        json!([{"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["create"]}]);
    grant(&bench, "joe", "policies", write).await;
    let policy = json!({"metadata": {"name": "p.example.com"}, "spec": {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": maps(), "validations": [{"expression": "true"}],
    }});
    let reference = json!({"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"});
    let binding = json!({"metadata": {"name": "b.example.com"}, "spec": {
        "policyName": "p.example.com", "validationActions": ["Deny"], "paramRef": reference,
    }});
    let policies = format!("{CONFIGURATIONS}/validatingadmissionpolicies?dryRun=All");
    let bindings = format!("{CONFIGURATIONS}/validatingadmissionpolicybindings?dryRun=All");
    let (code, body) = bench.allowed("joe", &policies, &policy).await;
    let joe = "&{joe  [system:authenticated] map[]}";
    let why = format!(
        "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p.example.com\" is invalid: spec.paramKind: Forbidden: \
         user {joe} must have \"get\" permission on all objects of the referenced paramKind (kind=ConfigMap, apiVersion=v1)"
    );
    assert_eq!((code, &body["message"]), (422, &json!(why)));
    let (code, body) = bench.allowed("joe", &bindings, &binding).await;
    let why = format!(
        "ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io \"b.example.com\" is invalid: spec.paramRef: \
         Forbidden: user get does not have \"{joe}\" permission on the object referenced by paramRef"
    );
    assert_eq!((code, &body["message"]), (422, &json!(why)));
    // Without parameters there is nothing to read.
    let mut plain = policy.clone();
    plain["spec"]["paramKind"] = Value::Null;
    assert_eq!(bench.allowed("joe", &policies, &plain).await.0, 201);
    let read = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    grant(&bench, "joe", "maps", read).await;
    let real = format!("{CONFIGURATIONS}/validatingadmissionpolicies");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (code, body, _) = bench.post_as("joe", &real, &policy).await;
        if code == 201 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{body}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // The policy is known now, and so is what its parameters are.
    let (code, body, _) = bench.post_as("joe", &bindings, &binding).await;
    assert_eq!(code, 201, "{body}");
}
