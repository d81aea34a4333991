//! The files of `templates/`, built into the program.

use tera::{Context, Tera};

macro_rules! embedded {
    ($($name:literal => $path:literal),* $(,)?) => {
        const TEMPLATES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../templates/", $path)))),*];
    };
}

embedded! {
    "hardening" => "units/hardening.tera",
    "etcd.service" => "units/etcd.service.tera",
    "kube-apiserver.service" => "units/kube-apiserver.service.tera",
    "kube-controller-manager.service" => "units/kube-controller-manager.service.tera",
    "kube-scheduler.service" => "units/kube-scheduler.service.tera",
    "kubelet.service" => "units/kubelet.service.tera",
    "kube-proxy.service" => "units/kube-proxy.service.tera",
    "pod-network.service" => "units/pod-network.service.tera",
    "api-balancer.service" => "units/api-balancer.service.tera",
    "hardway-haproxy.service" => "units/hardway-haproxy.service.tera",
    "hardway-backup.service" => "units/hardway-backup.service.tera",
    "hardway-backup.timer" => "units/hardway-backup.timer.tera",
    "containerd.service" => "units/containerd.conf.tera",
    "containerd-v2.toml" => "config/containerd-v2.toml.tera",
    "containerd-v3.toml" => "config/containerd-v3.toml.tera",
    "haproxy.cfg" => "config/haproxy.cfg.tera",
    "kube-scheduler.yaml" => "config/kube-scheduler.yaml.tera",
    "kube-proxy.yaml" => "config/kube-proxy.yaml.tera",
    "encryption.yaml" => "config/encryption.yaml.tera",
    "kubeconfig.yaml" => "config/kubeconfig.yaml.tera",
    "sysctl.conf" => "config/sysctl.conf.tera",
    "modules.conf" => "config/modules.conf.tera",
    "cluster-dns.yaml" => "addons/cluster-dns.yaml.tera",
    "node-bootstrap.yaml" => "addons/node-bootstrap.yaml.tera",
    "rbac.yaml" => "addons/rbac.yaml.tera",
}

/// A template that cannot be rendered: a mistake in this program, told with the template's name.
#[derive(Debug, thiserror::Error)]
#[error("template {name} cannot be rendered")]
pub struct TemplateError {
    name: String,
    source: tera::Error,
}

/// All templates, parsed.
pub struct Templates(Tera);

impl Templates {
    pub fn load() -> Result<Templates, TemplateError> {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::new());
        tera.add_raw_templates(TEMPLATES.to_vec())
            .map_err(|source| TemplateError {
                name: "(all)".to_owned(),
                source,
            })?;
        Ok(Templates(tera))
    }

    pub fn render(&self, name: &str, values: &serde_json::Value) -> Result<String, TemplateError> {
        let fail = |source| TemplateError {
            name: name.to_owned(),
            source,
        };
        let context = Context::from_value(values.clone()).map_err(fail)?;
        self.0.render(name, &context).map_err(fail)
    }
}
