//! Runs cases, many at once.

use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use e2e::TestLab;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::api::Api;
use crate::case::{Case, Step};
use crate::matching::{differs, substitute, substitute_text};
use crate::object::complete;

/// Cases at a time: most of them wait most of the time.
const AT_ONCE: usize = 16;
/// What a step waits for comes within this time.
const PATIENCE: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct Outcome {
    pub title: String,
    pub namespace: String,
    pub result: Result<(), String>,
    pub took: Duration,
}

pub(crate) fn all(lab: &TestLab, cases: Vec<Case>) -> Vec<Outcome> {
    let network = std::fs::File::open(Path::new("/run/netns").join(lab.outer_namespace()))
        .expect("the lab's network is there");
    let kubeconfig = lab.kubeconfig();
    let stamp = std::process::id();
    let thread = std::thread::spawn(move || {
        // The network namespace belongs to the thread, and the runtime stays on it.
        nix::sched::setns(&network, nix::sched::CloneFlags::CLONE_NEWNET).expect("entered the lab's network");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let api = Rc::new(
                Api::open(&kubeconfig)
                    .await
                    .expect("the administrator's kubeconfig"),
            );
            let runs = cases.into_iter().enumerate().map(|(index, case)| {
                let api = api.clone();
                async move { one(&api, format!("c{stamp}-{index}"), case).await }
            });
            futures::stream::iter(runs)
                .buffer_unordered(AT_ONCE)
                .collect()
                .await
        })
    });
    thread.join().expect("the runner does not panic")
}

fn time(value: Option<&Value>) -> Result<k8s_openapi::jiff::Timestamp, String> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    text.parse().map_err(|error| format!("{text:?}: {error}"))
}

async fn one(api: &Api, namespace: String, case: Case) -> Outcome {
    let begun = Instant::now();
    let result = steps(api, &namespace, &case).await;
    if result.is_ok() {
        // Left behind otherwise, to be looked at.
        let path = format!("/api/v1/namespaces/{namespace}");
        drop(api.ask("DELETE", &path, None).await);
    }
    println!(
        "{} {:5.1} s  {}",
        if result.is_ok() { "ok    " } else { "FAILED" },
        begun.elapsed().as_secs_f64(),
        case.test
    );
    Outcome {
        title: case.test,
        namespace,
        result,
        took: begun.elapsed(),
    }
}

async fn steps(api: &Api, namespace: &str, case: &Case) -> Result<(), String> {
    let object = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": namespace}});
    api.object("POST", "/api/v1/namespaces", Some(&object)).await?;
    let mut running = Running {
        api,
        namespace,
        saved: vec![("namespace".to_owned(), namespace.to_owned())],
    };
    let account = "serviceaccounts/default";
    running.until(account, &Value::Null).await?;
    running.all(&case.steps).await
}

struct Running<'a> {
    api: &'a Api,
    namespace: &'a str,
    saved: Vec<(String, String)>,
}

impl Running<'_> {
    async fn all(&mut self, steps: &[Step]) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            Box::pin(self.step(step))
                .await
                .map_err(|error| format!("step {}: {error}", index + 1))?;
        }
        Ok(())
    }

    fn path(&self, path: &str) -> String {
        let path = substitute_text(path, &self.saved);
        match path.starts_with('/') {
            true => path,
            false => format!("/api/v1/namespaces/{}/{path}", self.namespace),
        }
    }

    fn value(&self, value: &Value) -> Value {
        let mut value = value.clone();
        substitute(&mut value, &self.saved);
        value
    }

    fn texts(&self, texts: &[String]) -> Vec<String> {
        texts
            .iter()
            .map(|text| substitute_text(text, &self.saved))
            .collect()
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Create(object) => {
                let (path, object) = complete(self.value(object), self.namespace)?;
                self.api.object("POST", &path, Some(&object)).await.map(drop)
            }
            Step::Refused { create, says } => {
                let (path, object) = complete(self.value(create), self.namespace)?;
                refused(self.api.ask("POST", &path, Some(&object)).await?, says)
            }
            Step::Patch {
                at,
                body,
                content_type,
                refused: reason,
            } => {
                let content_type = content_type.as_deref().unwrap_or("application/merge-patch+json");
                let (at, body) = (self.path(at), self.value(body));
                let answer = self.api.ask_with("PATCH", &at, Some(&body), content_type).await?;
                match reason {
                    Some(reason) => refused(answer, reason),
                    None if answer.0 < 300 => Ok(()),
                    None => Err(format!("PATCH {at}: {} {}", answer.0, answer.1)),
                }
            }
            Step::Delete(path) => {
                let path = self.path(path);
                self.api.object("DELETE", &path, None).await.map(drop)
            }
            Step::Until { get, matches, save } => {
                let object = self.until(get, &self.value(matches)).await?;
                for (name, pointer) in save {
                    let part = object.pointer(pointer).unwrap_or(&Value::Null);
                    let text = part.as_str().map_or_else(|| part.to_string(), str::to_owned);
                    self.saved.insert(0, (name.clone(), text));
                }
                Ok(())
            }
            Step::Probed { pod, kind, times } => self.probed(pod, kind, *times).await,
            Step::ReadyAfter { pod, seconds } => {
                let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
                let object = self.until(&format!("pods/{pod}"), &ready).await?;
                let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
                let mut conditions = conditions.filter(|condition| condition["type"] == "Ready");
                let ready = time(
                    conditions
                        .next()
                        .map(|condition| &condition["lastTransitionTime"]),
                )?;
                let running = time(object.pointer("/status/containerStatuses/0/state/running/startedAt"))?;
                let passed = ready.duration_since(running).as_secs();
                match passed >= *seconds {
                    true => Ok(()),
                    false => Err(format!(
                        "{pod} was ready {passed} s after its start, {seconds} s are due"
                    )),
                }
            }
            Step::Gone(path) => {
                let path = self.path(path);
                patiently(async || match self.api.ask("GET", &path, None).await? {
                    (404, _) => Ok(()),
                    (status, text) => Err(format!("{path} is still there: {status} {text}")),
                })
                .await
            }
            Step::Log { of, says, lacks } => {
                let (name, query) = of.split_once('?').unwrap_or((of, ""));
                let path = self.path(&format!("pods/{name}/log?{query}"));
                let (says, lacks) = (self.texts(says), self.texts(lacks));
                patiently(async || {
                    let (_, text) = self.api.ask("GET", &path, None).await?;
                    has(&text, &says, &lacks)
                })
                .await
            }
            Step::Exec {
                pod,
                container,
                run,
                says,
                lacks,
                fails,
            } => {
                let pod = substitute_text(pod, &self.saved);
                let run = substitute_text(run, &self.saved);
                let mut arguments = vec!["-n", self.namespace, "exec", &pod];
                if let Some(container) = container {
                    arguments.extend(["-c", container]);
                }
                arguments.extend(["--", "/bin/busybox", "sh", "-c", &run]);
                let (says, lacks) = (self.texts(says), self.texts(lacks));
                patiently(async || {
                    let (code, said) = self.api.kubectl(&arguments).await?;
                    if (code == 0) == *fails {
                        return Err(format!("{run} ended with {code}: {said}"));
                    }
                    has(&said, &says, &lacks).map_err(|error| format!("{run}: {error}"))
                })
                .await
            }
            Step::Ask {
                method,
                path,
                status,
                says,
            } => {
                let (path, says) = (self.path(path), self.texts(says));
                let method = substitute_text(method.as_deref().unwrap_or("GET"), &self.saved);
                let status = status.unwrap_or(200);
                patiently(async || {
                    let (got, text) = self.api.ask(&method, &path, None).await?;
                    if got != status {
                        return Err(format!("{method} {path}: {got} {text}"));
                    }
                    has(&text, &says, &[])
                })
                .await
            }
            Step::Each { name, of, steps } => {
                for value in of {
                    let value = substitute_text(value, &self.saved);
                    self.saved.insert(0, (name.clone(), value.clone()));
                    let done = self.all(steps).await;
                    self.saved.remove(0);
                    done.map_err(|error| format!("{value}: {error}"))?;
                }
                Ok(())
            }
        }
    }

    async fn probed(&self, pod: &str, kind: &str, times: u64) -> Result<(), String> {
        let pod = substitute_text(pod, &self.saved);
        let scheduled = json!({"spec": {"nodeName": "$any"}});
        let object = self.until(&format!("pods/{pod}"), &scheduled).await?;
        let node = object["spec"]["nodeName"].as_str().unwrap_or_default();
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/probes");
        let labels = [
            format!("namespace={:?}", self.namespace),
            format!("pod={pod:?}"),
            format!("probe_type={kind:?}"),
        ];
        patiently(async || {
            let (_, text) = self.api.ask("GET", &path, None).await?;
            let counts = text.lines().filter(|line| {
                line.starts_with("prober_probe_total{") && labels.iter().all(|label| line.contains(label))
            });
            let counted: u64 = counts
                .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
                .sum();
            match counted >= times {
                true => Ok(()),
                false => Err(format!("{pod} was probed {counted} times of {times}")),
            }
        })
        .await
    }

    async fn until(&self, path: &str, matches: &Value) -> Result<Value, String> {
        let path = self.path(path);
        patiently(async || {
            let object = self.api.object("GET", &path, None).await?;
            match differs(matches, &object, "") {
                Some(difference) => Err(format!("{path}: {difference}; status {}", object["status"])),
                None => Ok(object),
            }
        })
        .await
    }
}

async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(INTERVAL).await,
            done => return done,
        }
    }
}

fn has(text: &str, says: &[String], lacks: &[String]) -> Result<(), String> {
    for wanted in says {
        if !text.contains(wanted.as_str()) {
            return Err(format!("{wanted:?} is not in {text:?}"));
        }
    }
    match lacks.iter().find(|wanted| text.contains(wanted.as_str())) {
        Some(wanted) => Err(format!("{wanted:?} is in {text:?}")),
        None => Ok(()),
    }
}

fn refused((status, text): (u16, String), says: &str) -> Result<(), String> {
    if status < 400 {
        return Err(format!("accepted: {text}"));
    }
    has(&text, &[says.to_owned()], &[])
}
