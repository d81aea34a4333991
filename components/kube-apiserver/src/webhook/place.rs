//! Where a webhook is.

use serde_json::Value;
use url::Url;

/// A webhook's address as its configuration gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// `https://host[:port][/path]`, with http only of [`Place::of_server`]; the host of a service is `name.namespace.svc`.
    pub url: Url,
    /// Behind which the connection goes, and not to what DNS says.
    pub service: Option<Service>,
}

/// A service that stands for the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub port: u16,
}

/// What is wrong with an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPlace {
    #[error("webhook configuration must have either service or URL")]
    Missing,
    #[error("unparsable webhook URL {url:?}: {why}")]
    Url { url: String, why: String },
    #[error("unusable webhook port {0}")]
    Port(i64),
}

impl Place {
    /// Reads `url` or `service` of a WebhookClientConfig.
    pub fn from_client_config(config: &Value) -> Result<Self, BadPlace> {
        if let Some(url) = config["url"].as_str().filter(|url| !url.is_empty()) {
            return Self::at(url);
        }
        let service = &config["service"];
        let text = |field: &str| service[field].as_str().unwrap_or("").to_owned();
        let (namespace, name) = (text("namespace"), text("name"));
        if namespace.is_empty() || name.is_empty() {
            return Err(BadPlace::Missing);
        }
        let number = service["port"].as_i64().unwrap_or(443);
        let port = u16::try_from(number).map_err(|_| BadPlace::Port(number))?;
        let host = format!("https://{name}.{namespace}.svc:{port}");
        let mut place = Self::at(&host)?;
        if let Some(path) = service["path"].as_str() {
            place.url.set_path(path);
        }
        place.service = Some(Service {
            namespace,
            name,
            port,
        });
        Ok(place)
    }

    /// The address of a URL.
    pub fn at(url: &str) -> Result<Self, BadPlace> {
        Self::by(url, &["https"])
    }

    /// The server of an operator's kubeconfig, which may also be one of plain HTTP.
    pub fn of_server(url: &str) -> Result<Self, BadPlace> {
        Self::by(url, &["https", "http"])
    }

    /// Whether it is spoken to without TLS.
    pub fn is_plain(&self) -> bool {
        self.url.scheme() == "http"
    }

    fn by(url: &str, schemes: &[&str]) -> Result<Self, BadPlace> {
        let bad = |why: String| BadPlace::Url {
            url: url.to_owned(),
            why,
        };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !schemes.contains(&parsed.scheme()) {
            return Err(bad(format!("the scheme is not {}", schemes.join(" or "))));
        }
        if parsed.host_str().is_none() {
            return Err(bad("there is no host".to_owned()));
        }
        Ok(Self {
            url: parsed,
            service: None,
        })
    }

    /// `host:port` as Go prints it in errors and as kubeconfigs of webhooks name it.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or("");
        format!("{host}:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.service.as_ref().map_or_else(
            || self.url.port_or_known_default().unwrap_or(443),
            |service| service.port,
        )
    }

    /// The URL with a query parameter, written as upstream writes it: a service's port is always named.
    pub fn with_parameter(&self, name: &str, value: &str) -> String {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair(name, value);
        let text = String::from(url);
        match &self.service {
            // The URL library drops a port that is the scheme's own.
            Some(service) if service.port == 443 => {
                let host = self.url.host_str().unwrap_or("");
                text.replacen(host, &format!("{host}:443"), 1)
            }
            _ => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places() {
        for (config, authority, url) in [
            (
                json!({"url": "https://a.example:8443/x"}),
                "a.example:8443",
                "https://a.example:8443/x?timeout=1s",
            ),
            (
                json!({"url": "https://a.example"}),
                "a.example:443",
                "https://a.example/?timeout=1s",
            ),
            (
                json!({"service": {"namespace": "n", "name": "s", "path": "/p", "port": 443}}),
                "s.n.svc:443",
                "https://s.n.svc:443/p?timeout=1s",
            ),
            (
                json!({"service": {"namespace": "n", "name": "s", "port": 8080}}),
                "s.n.svc:8080",
                "https://s.n.svc:8080/?timeout=1s",
            ),
            (
                json!({"url": "https://[::1]:1/x?a=b"}),
                "[::1]:1",
                "https://[::1]:1/x?a=b&timeout=1s",
            ),
        ] {
            let place = Place::from_client_config(&config).unwrap();
            assert_eq!(place.authority(), authority, "{config}");
            assert_eq!(place.with_parameter("timeout", "1s"), url, "{config}");
        }
    }

    #[test]
    fn servers_of_kubeconfigs_may_be_plain() {
        for (url, authority, plain) in [
            ("http://192.0.2.1:9765/k8s-audit", "192.0.2.1:9765", true),
            ("http://a.example/", "a.example:80", true),
            ("https://a.example/", "a.example:443", false),
        ] {
            let place = Place::of_server(url).unwrap();
            assert_eq!((place.authority().as_str(), place.is_plain()), (authority, plain));
        }
        let refused = Place::of_server("ftp://a.example").unwrap_err().to_string();
        assert!(refused.ends_with("the scheme is not https or http"), "{refused}");
        assert!(Place::at("http://a.example/").is_err());
    }

    #[test]
    fn bad_places() {
        for config in [
            json!({}),
            json!({"url": "http://a"}),
            json!({"url": "https://"}),
            json!({"service": {"name": "s"}}),
            json!({"service": {"namespace": "n", "name": "s", "port": 70000}}),
        ] {
            assert!(Place::from_client_config(&config).is_err(), "{config}");
        }
    }
}
