//! TracingConfiguration of `--tracing-config-file`: which collector is told spans, and of how many requests.

use serde::Deserialize;
use url::Url;

/// Where a collector listens unless it is told otherwise: OTLP's port for gRPC.
const DEFAULT_ENDPOINT: &str = "localhost:4317";
const DEFAULT_PORT: u16 = 4317;
const MILLION: i32 = 1_000_000;

/// apiserver.config.k8s.io TracingConfiguration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracingConfiguration {
    #[serde(default)]
    pub api_version: String,
    #[serde(default)]
    pub kind: String,
    /// As gRPC names servers: `host:port`, `dns:///host:port`, `unix:///path`, `unix-abstract:///name`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Of a million requests that belong to no trace of a trusted client, so many are told.
    #[serde(default)]
    pub sampling_rate_per_million: Option<i32>,
}

/// A configuration that was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Collector {
    pub place: Place,
    /// From 0 to 1.
    pub share: f64,
}

/// How the collector is reached. The connection is not encrypted, as with upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    Unix(String),
    /// A name in Linux's abstract namespace.
    Abstract(String),
}

impl TracingConfiguration {
    /// The checked form; an error names the field and what it may be.
    pub fn check(&self) -> Result<Collector, String> {
        let versions = ["v1", "v1beta1", "v1alpha1"];
        let group = self.api_version.strip_prefix("apiserver.config.k8s.io/");
        if !group.is_some_and(|version| versions.contains(&version)) || self.kind != "TracingConfiguration" {
            return Err(
                "expected apiVersion apiserver.config.k8s.io/v1, kind TracingConfiguration".to_owned(),
            );
        }
        let rate = self.sampling_rate_per_million.unwrap_or(0);
        if rate < 0 {
            return Err(format!(
                "samplingRatePerMillion: Invalid value: {rate}: sampling rate must be positive"
            ));
        }
        if rate > MILLION {
            return Err(format!(
                "samplingRatePerMillion: Invalid value: {rate}: sampling rate per million must be less than or equal to \
                 one million"
            ));
        }
        let endpoint = self.endpoint.as_deref().unwrap_or(DEFAULT_ENDPOINT);
        let place = place(endpoint).map_err(|why| format!("endpoint: Invalid value: {endpoint:?}: {why}"))?;
        Ok(Collector {
            place,
            share: f64::from(rate) / f64::from(MILLION),
        })
    }
}

fn place(endpoint: &str) -> Result<Place, String> {
    if let Some(path) = endpoint
        .strip_prefix("unix:")
        .filter(|path| path.starts_with('/') && !path.starts_with("//"))
    {
        return Ok(Place::Unix(path.to_owned()));
    }
    if !endpoint.contains("//") {
        return host_and_port(endpoint);
    }
    let url = Url::parse(endpoint).map_err(|error| error.to_string())?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    match url.scheme() {
        // What stands where a URL has its host would be the DNS server to ask.
        "dns" if has_host => {
            Err("another DNS server than the system's cannot be asked; write dns:///HOST:PORT".to_owned())
        }
        "dns" => host_and_port(url.path().trim_start_matches('/')),
        "unix" | "unix-abstract" if has_host || url.path().len() < 2 => {
            Err(format!("write {}:///PATH, with three slashes", url.scheme()))
        }
        "unix" => Ok(Place::Unix(url.path().to_owned())),
        "unix-abstract" => Ok(Place::Abstract(url.path().to_owned())),
        other => Err(format!(
            "unsupported scheme: {other}.  Options are none, dns, unix, or unix-abstract.  See \
             https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )),
    }
}

fn host_and_port(text: &str) -> Result<Place, String> {
    let expected = || "expected HOST:PORT".to_owned();
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without its port.
        Some(_) if text.ends_with(']') => (text, DEFAULT_PORT),
        Some((host, port)) => (host, port.parse().map_err(|_| expected())?),
        None => (text, DEFAULT_PORT),
    };
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() || host.contains('/') {
        return Err(expected());
    }
    Ok(Place::Tcp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(endpoint: Option<&str>, rate: Option<i32>) -> Result<Collector, String> {
        let configuration = TracingConfiguration {
            api_version: "apiserver.config.k8s.io/v1".to_owned(),
            kind: "TracingConfiguration".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            sampling_rate_per_million: rate,
        };
        configuration.check()
    }

    #[test]
    fn places_of_collectors() {
        let tcp = |host: &str, port| Place::Tcp {
            host: host.to_owned(),
            port,
        };
        for (endpoint, want) in [
            (None, tcp("localhost", 4317)),
            (Some("collector:55680"), tcp("collector", 55680)),
            (Some("[::1]:4317"), tcp("::1", 4317)),
            (Some("[::1]"), tcp("::1", 4317)),
            (
                Some("collector.observability"),
                tcp("collector.observability", 4317),
            ),
            (Some("dns:///collector:1"), tcp("collector", 1)),
            (
                Some("unix:/run/otel.sock"),
                Place::Unix("/run/otel.sock".to_owned()),
            ),
            (
                Some("unix:///run/otel.sock"),
                Place::Unix("/run/otel.sock".to_owned()),
            ),
            (Some("unix-abstract:///otel"), Place::Abstract("/otel".to_owned())),
        ] {
            let found = checked(endpoint, None).unwrap_or_else(|error| panic!("{endpoint:?}: {error}"));
            assert_eq!(found.place, want, "{endpoint:?}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (endpoint, rate, said) in [
            (Some("http://collector:4317"), None, "unsupported scheme: http"),
            (Some("dns://resolver/collector:1"), None, "dns:///HOST:PORT"),
            (Some("unix://run/otel.sock"), None, "three slashes"),
            (Some("collector:port"), None, "expected HOST:PORT"),
            (Some(":4317"), None, "expected HOST:PORT"),
            (None, Some(-1), "sampling rate must be positive"),
            (None, Some(1_000_001), "less than or equal to one million"),
        ] {
            let error = checked(endpoint, rate).expect_err("it is wrong");
            assert!(error.contains(said), "{endpoint:?} {rate:?}: {error}");
        }
        let other = TracingConfiguration::default();
        assert!(other.check().is_err_and(|error| error.contains("apiVersion")));
    }

    #[test]
    fn shares_are_of_a_million() {
        assert_eq!(checked(None, Some(250_000)).map(|found| found.share), Ok(0.25));
        assert_eq!(checked(None, None).map(|found| found.share), Ok(0.0));
    }
}
