use std::time::Instant;

use anyhow::Context as _;
use base64::Engine;
use http::Method;
use serde_json::{Value, json};

use super::objects::{PORT, SECRET, objects};
use super::{DEADLINE, Probe, Smoke};
use crate::api::{self, Api};

const PROGRAM: &str = "/smoke-probe";

impl Smoke<'_> {
    pub(super) fn create(&self) -> anyhow::Result<String> {
        let all = objects(&self.namespace, self.reference());
        for (collection, object) in &all {
            self.api.exchange(Method::POST, collection, object)?;
        }
        Ok(format!("{} objects in {}", all.len(), self.namespace))
    }

    /// Reads the value from etcd itself, past the API.
    pub(super) fn secret_in_etcd(&self) -> anyhow::Result<String> {
        let base64 = base64::engine::general_purpose::STANDARD;
        let members = self.inventory.etcd_members();
        let member = members.first().context("there is no etcd member")?;
        let identity = self
            .survey
            .secrets
            .leaf(&member.name, "etcd-health")
            .context("there is no etcd-health certificate")?;
        let authority = self.survey.secrets.trusted(pki::Authority::Etcd);
        let etcd = Api::connect(self.fleet.target(member)?, 2379, authority, identity)?;
        let key = base64.encode(format!("/registry/secrets/{}/smoke", self.namespace));
        let answer = etcd.exchange(Method::POST, "/v3/kv/range", &json!({ "key": key }))?;
        let value = answer["kvs"][0]["value"]
            .as_str()
            .context("etcd does not hold the Secret")?;
        let value = base64.decode(value).context("etcd's answer is not base64")?;
        let prefix: String = value
            .iter()
            .take_while(|byte| byte.is_ascii_graphic())
            .take(40)
            .map(|byte| char::from(*byte))
            .collect();
        let holds = |text: &str| value.windows(text.len()).any(|window| window == text.as_bytes());
        let encoded = base64.encode(SECRET);
        anyhow::ensure!(
            value.starts_with(b"k8s:enc:") && !holds(SECRET) && !holds(&encoded),
            "the Secret is readable in etcd: it begins with {prefix:?}"
        );
        let provider: Vec<&str> = prefix.split(':').take(5).collect();
        Ok(provider.join(":"))
    }

    pub(super) fn deployment(&self) -> anyhow::Result<String> {
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", self.namespace);
        self.until("both pods of the Deployment are available", || {
            let available = self.api.get(&path)?["status"]["availableReplicas"].as_i64();
            Ok((available == Some(2)).then(|| "2 pods".to_owned()))
        })
    }

    fn until<T>(&self, what: &str, mut ask: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
        api::wait(what, Instant::now() + DEADLINE, &mut ask).map_err(|error| match self.complaints() {
            Ok(complaints) if !complaints.is_empty() => error.context(complaints.join("; ")),
            _ => error,
        })
    }

    /// Warnings of the namespace, newest last.
    fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let events = self.api.get(&self.path("events"))?;
        let warnings = events["items"].as_array().into_iter().flatten();
        let mut texts: Vec<String> = warnings
            .filter(|event| event["type"] == "Warning")
            .filter_map(|event| event["message"].as_str().map(str::to_owned))
            .collect();
        texts.dedup();
        Ok(texts.split_off(texts.len().saturating_sub(3)))
    }

    /// One pod on every node, ready.
    pub(super) fn probes(&self) -> anyhow::Result<Vec<Probe>> {
        let wanted = self.inventory.nodes().count();
        self.until("a pod runs on every node", || {
            let pods = self.api.get(&self.path("pods?labelSelector=app%3Dprobe"))?;
            let found: Vec<Probe> = pods["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(probe)
                .collect();
            Ok((found.len() == wanted).then_some(found))
        })
    }

    pub(super) fn logs(&self, probe: &Probe) -> anyhow::Result<String> {
        let text = self.api.text(&self.path(&format!("pods/{}/log", probe.pod)))?;
        let wanted = format!("listening on {PORT}");
        anyhow::ensure!(
            text.contains(&wanted),
            "the log of {} lacks {wanted:?}: {text:?}",
            probe.pod
        );
        Ok(wanted)
    }

    pub(super) fn exec(&self, probe: &Probe) -> anyhow::Result<String> {
        let said = self.run_in(probe, &["say", "hello"])?;
        anyhow::ensure!(said.trim() == "hello", "the command said {said:?}");
        Ok(format!("in {}", probe.pod))
    }

    fn run_in(&self, probe: &Probe, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = vec![PROGRAM];
        command.extend(arguments);
        self.api.exec(&self.namespace, &probe.pod, &command)
    }

    pub(super) fn port_forward(&self, probe: &Probe) -> anyhow::Result<String> {
        let request = b"GET / HTTP/1.1\r\nHost: smoke\r\nConnection: close\r\n\r\n";
        let answer = self
            .api
            .through_port(&self.namespace, &probe.pod, PORT, request)?;
        anyhow::ensure!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(&probe.pod),
            "the answer is {answer:?}"
        );
        Ok(format!("to {}", probe.pod))
    }

    pub(super) fn dns(&self, probes: &[Probe]) -> anyhow::Result<String> {
        let domain = &self.inventory.cluster.cluster_domain;
        let full = format!("http://web.{}.svc.{domain}/", self.namespace);
        for probe in probes {
            self.run_in(probe, &["get", "http://web/", &full])?;
            let found = self.run_in(probe, &["resolve", &format!("kubernetes.default.svc.{domain}")])?;
            let wanted = self.inventory.kubernetes_service().to_string();
            anyhow::ensure!(
                found.trim() == wanted,
                "kubernetes.default is {found:?}, not {wanted}"
            );
        }
        Ok(format!("from {} nodes", probes.len()))
    }

    pub(super) fn node_port(&self, probe: &Probe) -> anyhow::Result<String> {
        let service = self.api.get(&self.path("services/web"))?;
        let port = service["spec"]["ports"][0]["nodePort"]
            .as_u64()
            .context("the Service has no node port")?;
        let urls: Vec<String> = self
            .inventory
            .nodes()
            .map(|host| format!("http://{}:{port}/", host.address))
            .collect();
        let mut arguments = vec!["get"];
        arguments.extend(urls.iter().map(String::as_str));
        self.run_in(probe, &arguments)?;
        Ok(format!("port {port} on {} nodes", urls.len()))
    }

    pub(super) fn pairs(&self, probes: &[Probe]) -> anyhow::Result<String> {
        let mut count = 0;
        for from in probes {
            let urls: Vec<String> = probes
                .iter()
                .filter(|to| to.pod != from.pod)
                .map(|to| format!("http://{}:{PORT}/", to.address))
                .collect();
            if urls.is_empty() {
                continue;
            }
            let mut arguments = vec!["get"];
            arguments.extend(urls.iter().map(String::as_str));
            self.run_in(from, &arguments)
                .with_context(|| format!("from {}", from.node))?;
            count += urls.len();
        }
        Ok(format!("{count} pairs"))
    }
}

/// A pod that is ready.
fn probe(pod: &Value) -> Option<Probe> {
    if !api::is_ready(pod) {
        return None;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Probe {
        pod: text(&pod["metadata"]["name"])?,
        node: text(&pod["spec"]["nodeName"])?,
        address: text(&pod["status"]["podIP"])?,
    })
}
