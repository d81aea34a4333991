//! Which groups and versions other servers serve.

use super::backend::Backend;
use super::order::Served;
use super::service::{ApiService, Spec};
use crate::request_info::RequestInfo;
use ahash::AHashMap;
use std::sync::Arc;

/// A group and version of another server.
pub struct Remote {
    pub name: String,
    pub spec: Spec,
    pub available: bool,
    /// How to reach it, or why its TLS settings can't be used.
    pub backend: Result<Arc<Backend>, String>,
    /// How to find out whether it answers at all: by any certificate. What it says there is not to be believed.
    pub probe: Result<Arc<Backend>, String>,
}

/// All APIServices at one time.
#[derive(Default)]
pub struct Routes {
    remote: AHashMap<String, Vec<Arc<Remote>>>,
    /// Of all APIServices, this server's own included.
    pub served: Vec<Served>,
}

impl Routes {
    /// `reach` makes the connection to a server; `previous` ones that still fit are kept, with their connections.
    pub fn build(
        services: Vec<ApiService>,
        previous: &Routes,
        mut reach: impl FnMut(&Spec) -> Result<Arc<Backend>, String>,
    ) -> Self {
        let mut routes = Self::default();
        for service in services {
            let available = service.is_available();
            let ApiService { metadata, spec, .. } = service;
            routes.served.push(Served {
                name: metadata.name.clone(),
                group: spec.group.clone(),
                version: spec.version.clone(),
                group_priority: spec.group_priority_minimum,
                version_priority: spec.version_priority,
            });
            if spec.service.is_none() {
                continue;
            }
            let known = previous.remote(&spec.group, &spec.version).filter(|known| {
                known.spec.service == spec.service
                    && known.spec.ca_bundle == spec.ca_bundle
                    && known.spec.insecure == spec.insecure
            });
            let mut kept = |known: Option<&Result<Arc<Backend>, String>>, spec: &Spec| match known {
                Some(Ok(backend)) if backend.is_current() => Ok(Arc::clone(backend)),
                _ => reach(spec),
            };
            let backend = kept(known.map(|known| &known.backend), &spec);
            let probe = if spec.insecure {
                backend.clone()
            } else {
                let spec = Spec {
                    insecure: true,
                    ..spec.clone()
                };
                kept(known.map(|known| &known.probe), &spec)
            };
            routes
                .remote
                .entry(spec.group.clone())
                .or_default()
                .push(Arc::new(Remote {
                    name: metadata.name,
                    spec,
                    available,
                    backend,
                    probe,
                }));
        }
        routes
    }

    /// Who serves the group and version, if it isn't this server.
    pub fn remote(&self, group: &str, version: &str) -> Option<&Arc<Remote>> {
        self.remote
            .get(group)?
            .iter()
            .find(|remote| remote.spec.version == version)
    }

    /// Who a request is for, if it isn't this server.
    pub fn of(&self, info: &RequestInfo) -> Option<&Arc<Remote>> {
        if self.remote.is_empty() {
            return None;
        }
        if info.is_resource {
            return self.remote(&info.group, &info.version);
        }
        let mut parts = info.path.trim_start_matches('/').split('/');
        match parts.next()? {
            "apis" => self.remote(parts.next()?, parts.next()?),
            "api" => self.remote("", parts.next()?),
            _ => None,
        }
    }

    pub fn remotes(&self) -> impl Iterator<Item = &Arc<Remote>> {
        self.remote.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::Query;
    use serde_json::json;

    #[test]
    fn requests_find_their_server() {
        let service = |group: &str, remote: bool| -> ApiService {
            let mut spec = json!({"group": group, "version": "v1"});
            if remote {
                spec["service"] = json!({"namespace": "n", "name": "s"});
            }
            serde_json::from_value(json!({"metadata": {"name": format!("v1.{group}")}, "spec": spec}))
                .unwrap()
        };
        let routes = Routes::build(
            vec![service("apps", false), service("metrics.io", true)],
            &Routes::default(),
            |_| Err("not reached in this test".into()),
        );
        for (path, expected) in [
            ("/apis/metrics.io/v1/namespaces/a/pods/b", Some("v1.metrics.io")),
            ("/apis/metrics.io/v1/pods", Some("v1.metrics.io")),
            ("/apis/metrics.io/v1", Some("v1.metrics.io")),
            ("/apis/metrics.io/v1/", Some("v1.metrics.io")),
            ("/apis/metrics.io/v2", None),
            ("/apis/metrics.io", None),
            ("/apis/apps/v1/deployments", None),
            ("/api/v1/pods", None),
            ("/metrics", None),
        ] {
            let info = RequestInfo::parse(&http::Method::GET, path, &Query::default()).unwrap();
            let found = routes.of(&info).map(|remote| remote.name.as_str());
            assert_eq!(found, expected, "{path}");
        }
    }
}
