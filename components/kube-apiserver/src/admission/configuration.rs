//! `--admission-control-config-file`: what plugins are told.

use super::optional::event_rates::EventRates;
use super::optional::image_policy::ImagePolicy;
use super::optional::node_selectors::NodeSelectors;
use super::optional::tolerations::Tolerations;
use super::plugins::{self, Plugin};
use crate::configuration::strict;
use crate::nulls;
use crate::webhook::{Clients, Identities};
use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};

use super::pod_security::configuration::PodSecurityConfiguration;
use super::resource_quota::limited::{self, Limited};

/// Plugins that have a configuration. As with upstream, what is said for other plugins that there are isn't looked at; a
/// name of no plugin is refused, because what was meant for one would be lost with it.
const READERS: [&str; 8] = [
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionWebhook",
    "PodSecurity",
    "PodNodeSelector",
    "PodTolerationRestriction",
    "EventRateLimit",
    "ImagePolicyWebhook",
    "ResourceQuota",
];

/// Plugins that had files of their own before files had versions, and the field by which those are known.
const UNVERSIONED: [(&str, &str); 2] = [
    ("ImagePolicyWebhook", "imagePolicy"),
    ("PodNodeSelector", "podNodeSelectorPluginConfig"),
];

/// Those whose own files upstream decodes strictly; in the file that names all plugins, what comes last holds.
const READ_STRICTLY: [&str; 1] = ["PodSecurity"];

/// What the file says, read and checked.
#[derive(Debug, Default)]
pub struct AdmissionConfiguration {
    pub mutating: Identities,
    pub validating: Identities,
    pub pod_security: PodSecurityConfiguration,
    pub node_selectors: NodeSelectors,
    pub tolerations: Tolerations,
    pub event_rates: EventRates,
    pub image_policy: Option<ImagePolicy>,
    pub resource_quota: Vec<Limited>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Option<Vec<Told>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    #[serde(default)]
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    configuration: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WebhookAdmissionConfiguration {
    kube_config_file: Option<PathBuf>,
}

impl AdmissionConfiguration {
    /// Reads the file and those that it names; relative paths start at its folder. Webhooks in it are called by
    /// `clients`. What is said for a plugin that doesn't run is not looked at.
    pub fn load(path: &Path, clients: &Clients, running: &[Plugin]) -> anyhow::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let document = parsed(&read(path)?, path)?;
        if is_unversioned(&document) {
            return Self::unversioned(&document, folder, clients, running)
                .with_context(|| path.display().to_string());
        }
        let file: File = nulls::from_json(document)
            .with_context(|| format!("{} is no AdmissionConfiguration", path.display()))?;
        expect(
            &file.api_version,
            &file.kind,
            &["apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"],
            "AdmissionConfiguration",
        )?;
        let mut loaded = Self::default();
        for plugin in file.plugins.iter().flatten() {
            if plugins::is_known(&plugin.name) && !runs(&plugin.name, running) {
                continue;
            }
            if plugins::is_known(&plugin.name) && !READERS.contains(&plugin.name.as_str()) {
                tracing::warn!(
                    plugin = plugin.name,
                    "the plugin has no configuration; what is said for it is not looked at"
                );
                continue;
            }
            let told = match (&plugin.configuration, plugin.path.as_str()) {
                (Some(told), _) if !told.is_null() => told.clone(),
                (_, "") => continue,
                (_, other) => {
                    let file = folder.join(other);
                    let text = read(&file)?;
                    if READ_STRICTLY.contains(&plugin.name.as_str()) {
                        strict::once(&text).with_context(|| format!("reading {}", file.display()))?;
                    }
                    parsed(&text, &file)?
                }
            };
            loaded
                .take(&plugin.name, told, folder, clients)
                .with_context(|| format!("{}: plugin {}", path.display(), plugin.name))?;
        }
        Ok(loaded)
    }

    /// Of a file from before there was AdmissionConfiguration, which is the plugins' own.
    fn unversioned(
        document: &Value,
        folder: &Path,
        clients: &Clients,
        running: &[Plugin],
    ) -> anyhow::Result<Self> {
        let mut loaded = Self::default();
        for (plugin, _) in UNVERSIONED {
            if runs(plugin, running) {
                loaded
                    .take(plugin, document.clone(), folder, clients)
                    .with_context(|| format!("plugin {plugin}"))?;
            }
        }
        Ok(loaded)
    }

    /// Whether the plugins that run know what they have to.
    pub fn check(&self, plugins: &[Plugin]) -> anyhow::Result<()> {
        for (plugin, is_told) in [
            (Plugin::EventRateLimit, !self.event_rates.is_empty()),
            (Plugin::ImagePolicyWebhook, self.image_policy.is_some()),
        ] {
            if plugins.contains(&plugin) && !is_told {
                bail!(
                    "admission plugin {:?} needs a configuration; name it in --admission-control-config-file",
                    plugin.name()
                );
            }
        }
        Ok(())
    }

    fn take(&mut self, plugin: &str, told: Value, folder: &Path, clients: &Clients) -> anyhow::Result<()> {
        match plugin {
            "MutatingAdmissionWebhook" => self.mutating = webhooks(told, folder)?,
            "ValidatingAdmissionWebhook" => self.validating = webhooks(told, folder)?,
            "PodSecurity" => {
                let versions = [
                    "pod-security.admission.config.k8s.io/v1",
                    "pod-security.admission.config.k8s.io/v1beta1",
                    "pod-security.admission.config.k8s.io/v1alpha1",
                ];
                let told = checked(told, &versions, "PodSecurityConfiguration")?;
                self.pod_security = PodSecurityConfiguration::read(told)?;
            }
            "PodNodeSelector" => self.node_selectors = typed(told)?,
            "PodTolerationRestriction" => {
                let version = "podtolerationrestriction.admission.k8s.io/v1alpha1";
                self.tolerations = Tolerations::read(checked(told, &[version], "Configuration")?)?;
            }
            "EventRateLimit" => {
                let version = "eventratelimit.admission.k8s.io/v1alpha1";
                self.event_rates = EventRates::read(checked(told, &[version], "Configuration")?)?;
            }
            "ImagePolicyWebhook" => self.image_policy = Some(ImagePolicy::read(told, folder, clients)?),
            "ResourceQuota" => self.resource_quota = limited::read(any_of(told, &limited::TYPES)?)?,
            other => bail!("a configuration of {other:?} is not supported"),
        }
        Ok(())
    }
}

fn runs(name: &str, running: &[Plugin]) -> bool {
    running.iter().any(|plugin| plugin.name() == name)
}

fn is_unversioned(document: &Value) -> bool {
    let has = |field: &str| document.get(field).is_some_and(|value| value != "");
    let of_plugin = UNVERSIONED.iter().any(|(_, field)| document.get(field).is_some());
    of_plugin && !(has("apiVersion") && has("kind"))
}

fn webhooks(told: Value, folder: &Path) -> anyhow::Result<Identities> {
    let versions = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1"];
    let told: WebhookAdmissionConfiguration =
        typed(checked(told, &versions, "WebhookAdmissionConfiguration")?)?;
    match told.kube_config_file {
        Some(file) => Identities::load(&folder.join(file)),
        None => Ok(Identities::default()),
    }
}

/// The document without its type, which must be the expected one.
fn checked(mut told: Value, versions: &[&str], kind: &str) -> anyhow::Result<Value> {
    let take = |value: &mut Value, field: &str| {
        value
            .as_object_mut()
            .and_then(|object| object.remove(field))
            .and_then(|text| text.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let (version, found) = (take(&mut told, "apiVersion"), take(&mut told, "kind"));
    expect(&version, &found, versions, kind)?;
    Ok(told)
}

/// Likewise, of one of several types.
fn any_of(told: Value, types: &[(&str, &str)]) -> anyhow::Result<Value> {
    let kind = told["kind"].as_str().unwrap_or("").to_owned();
    let known = types.iter().filter(|(_, known)| *known == kind);
    let versions: Vec<&str> = known.map(|(version, _)| *version).collect();
    if versions.is_empty() {
        bail!("{kind:?} is no kind of its configuration");
    }
    checked(told, &versions, &kind)
}

fn expect(version: &str, kind: &str, versions: &[&str], wanted: &str) -> anyhow::Result<()> {
    if kind != wanted || !versions.contains(&version) {
        bail!(
            "expected kind {wanted} of {}, found {kind:?} of {version:?}",
            versions.join(" or ")
        );
    }
    Ok(())
}

fn typed<T: DeserializeOwned>(told: Value) -> anyhow::Result<T> {
    Ok(nulls::from_json(told)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn parsed(text: &str, path: &Path) -> anyhow::Result<Value> {
    serde_yaml_ng::from_str(text).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> anyhow::Result<AdmissionConfiguration> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("kubeconfig"),
            "users: [{name: '*', user: {token: t}}]\n",
        )
        .unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        AdmissionConfiguration::load(&path, &Clients::new(None), &every())
    }

    fn every() -> Vec<Plugin> {
        let names: Vec<String> = READERS.iter().map(|name| (*name).to_owned()).collect();
        plugins::only(&names).unwrap()
    }

    #[test]
    fn what_is_said_for_a_plugin_that_does_not_run_is_not_looked_at() {
        let text = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: [{name: PodNodeSelector, path: missing}]\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let load =
            |running: &[Plugin]| AdmissionConfiguration::load(file.path(), &Clients::new(None), running);
        assert!(load(&every()).is_err());
        assert!(load(&[]).is_ok());
    }

    #[test]
    fn files_without_a_version_are_the_plugins_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, plugin, good) in [
            (
                "podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: a=b}",
                "PodNodeSelector",
                true,
            ),
            ("imagePolicy: {}", "PodNodeSelector", true),
            ("imagePolicy: {}", "ImagePolicyWebhook", false),
            ("imagePolicy: {}", "PodSecurity", true),
            ("other: {}", "PodNodeSelector", false),
            ("apiVersion: v1\nkind: X\nimagePolicy: {}", "PodSecurity", false),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let running = plugins::only(&[plugin.to_owned()]).unwrap();
            let loaded = AdmissionConfiguration::load(file.path(), &Clients::new(None), &running);
            assert_eq!(loaded.is_ok(), good, "{text} {plugin}: {:?}", loaded.err());
        }
    }

    #[test]
    fn a_file_of_its_own_says_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let head = "apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\n";
        let twice = "defaults:\n  enforce: baseline\n  enforce: privileged\n";
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("security.yaml", &format!("{head}{twice}"));
        let plugins = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
        write(
            "config.yaml",
            &format!("{plugins}- {{name: PodSecurity, path: security.yaml}}\n"),
        );
        let load = || {
            let path = folder.path().join("config.yaml");
            AdmissionConfiguration::load(&path, &Clients::new(None), &every())
        };
        let refused = format!("{:#}", load().unwrap_err());
        let why =
            "strict decoding error: yaml: unmarshal errors:\n  line 5: key \"enforce\" already set in map";
        assert!(refused.ends_with(why), "{refused}");
        write("security.yaml", head);
        load().unwrap();
    }

    #[test]
    fn files() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n";
        let webhook = "- name: ValidatingAdmissionWebhook\n  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: kubeconfig}\n";
        let security = "- name: PodSecurity\n  configuration: {apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration, defaults: {enforce: LEVEL}}\n";
        let quota = "- name: ResourceQuota\n  configuration: {apiVersion: resourcequota.admission.k8s.io/v1beta1, kind: Configuration, limitedResources: [{resource: RESOURCE, matchContains: [cpu]}]}\n";
        let tolerations = "- name: PodTolerationRestriction\n  configuration: {apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration, default: [{key: KEY}]}\n";
        for (text, good) in [
            (format!("{head}{}", tolerations.replace("KEY", "a")), true),
            (format!("{head}{}", tolerations.replace("KEY", "a b")), false),
            (format!("{head}{}", quota.replace("RESOURCE", "pods")), true),
            (format!("{head}{}", quota.replace("RESOURCE", "''")), false),
            (format!("{head}{}", quota.replace("v1beta1", "v1")), false),
            (format!("{head}{webhook}"), true),
            (format!("{head}{}", security.replace("LEVEL", "baseline")), true),
            (format!("{head}{}", security.replace("LEVEL", "strict")), false),
            (
                format!("{head}- {{name: Other, configuration: {{a: b}}}}\n"),
                false,
            ),
            (format!("{head}- {{name: Other}}\n"), true),
            (
                format!(
                    "{head}- {{name: LimitRanger, configuration: {{a: b}}}}\n- {{name: Priority, path: missing}}\n"
                ),
                true,
            ),
            (
                head.replace("apiserver.config.k8s.io/v1", "apiserver.k8s.io/v1alpha1"),
                true,
            ),
            (
                head.replace("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1alpha1"),
                false,
            ),
            (
                format!(
                    "{head}{}",
                    security
                        .replace("LEVEL", "baseline")
                        .replace("k8s.io/v1,", "k8s.io/v1beta1,")
                ),
                true,
            ),
            (
                format!(
                    "{head}{}",
                    security
                        .replace("LEVEL", "baseline")
                        .replace("k8s.io/v1,", "k8s.io/v1alpha1,")
                ),
                true,
            ),
            (format!("{head}{}", security.replace("LEVEL", "5")), false),
            (format!("{head}{}", security.replace("LEVEL", "''")), true),
            ("kind: Other\napiVersion: v1\n".to_owned(), false),
            (
                format!("{head}{}", webhook.replace("kubeconfig}", "missing}")),
                false,
            ),
        ] {
            let loaded = load(&text);
            assert_eq!(loaded.is_ok(), good, "{text}: {:?}", loaded.err());
        }
    }
}
