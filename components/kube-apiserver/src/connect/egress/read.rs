//! The configuration of ways out. What it says of mistakes is upstream's.

use super::{Egress, EgressMetrics, Protocol, Proxy, Tls, Transport, Way, grpc};
use crate::configuration::strict;
use crate::nulls;
use anyhow::{Context, bail};
use component_config::kube_apiserver::egress::{
    Connection, EgressSelectorConfiguration, TcpTransport, TlsConfig, Transport as ConfiguredTransport,
    UdsTransport,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Egress {
    /// Reads an EgressSelectorConfiguration.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        strict::once(text)?;
        let config: EgressSelectorConfiguration = nulls::from_yaml(text)?;
        let known = ["v1beta1", "v1alpha1"]
            .iter()
            .any(|version| config.api_version == format!("apiserver.k8s.io/{version}"));
        if !known || config.kind != "EgressSelectorConfiguration" {
            bail!("expected apiVersion apiserver.k8s.io/v1beta1, kind EgressSelectorConfiguration");
        }
        let mut egress = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (index, selection) in config.egress_selections.iter().enumerate() {
            let field = format!("egressSelections[{index}]");
            // The first version's word for it.
            let name = match selection.name.as_str() {
                "master" if config.api_version.ends_with("/v1alpha1") => "controlplane".to_owned(),
                name => name.to_lowercase(),
            };
            if seen.contains(&name) {
                bail!("{field}.name: Duplicate value: {name:?}");
            }
            let connection = &selection.connection;
            let way = way(connection, &format!("{field}.connection"), &egress.metrics)?;
            match name.as_str() {
                "cluster" => egress.cluster = way,
                "controlplane" => egress.control_plane = way,
                "etcd" => egress.etcd = way,
                _ => bail!(
                    "{field}.name: Unsupported value: {name:?}: supported values: \"cluster\", \"controlplane\", \"etcd\""
                ),
            }
            seen.push(name);
        }
        Ok(egress)
    }
}

fn way(connection: &Connection, field: &str, metrics: &EgressMetrics) -> anyhow::Result<Way> {
    let transport = format!("{field}.transport");
    let given = |name: &str| {
        let found = connection.transport.as_ref();
        found.with_context(|| format!("{transport}: Required value: transport must be set for {name}"))
    };
    let protocol = match connection.proxy_protocol.as_str() {
        "Direct" if connection.transport.is_none() => return Ok(Way::Direct),
        "Direct" => bail!(
            "{transport}: Invalid value: \"direct\": Transport config should be absent for direct connect"
        ),
        "HTTPConnect" => Protocol::HttpConnect(by_connect(given("HTTPConnect")?, &transport)?),
        "GRPC" => Protocol::Grpc(by_grpc(given("GRPC")?, &transport)?),
        other => bail!(
            "{field}.proxyProtocol: Unsupported value: {other:?}: supported values: \"Direct\", \"GRPC\", \"HTTPConnect\""
        ),
    };
    Ok(Way::Proxy(Arc::new(Proxy {
        protocol,
        metrics: Some(metrics.clone()),
    })))
}

fn by_connect(transport: &ConfiguredTransport, field: &str) -> anyhow::Result<Transport> {
    match (&transport.tcp, &transport.uds) {
        (Some(tcp), None) => by_tcp(tcp, &format!("{field}.tcp")),
        (None, Some(uds)) => Ok(Transport::Unix(socket(uds, field)?)),
        (Some(_), Some(_)) => bail!("{field}.tcp: Invalid value: TCP and UDS cannot both be set"),
        (None, None) => bail!("{field}.tcp: Required value: One of TCP or UDS must be set"),
    }
}

/// As with upstream only a Unix socket leads there.
fn by_grpc(transport: &ConfiguredTransport, field: &str) -> anyhow::Result<grpc::Proxy> {
    let uds = transport.uds.as_ref();
    let uds = uds.with_context(|| format!("{field}.uds: Required value: UDS must be set with GRPC"))?;
    Ok(grpc::Proxy {
        socket: socket(uds, field)?,
    })
}

fn socket(uds: &UdsTransport, field: &str) -> anyhow::Result<PathBuf> {
    if uds.uds_name.is_empty() {
        bail!("{field}.uds.udsName: Invalid value: UDSName should be present for UDS connections");
    }
    Ok(PathBuf::from(&uds.uds_name))
}

fn by_tcp(tcp: &TcpTransport, field: &str) -> anyhow::Result<Transport> {
    let url =
        url::Url::parse(&tcp.url).with_context(|| format!("{field}.url: Invalid value: {:?}", tcp.url))?;
    let tls = match (url.scheme(), &tcp.tls_config) {
        ("https", Some(files)) => {
            let field = format!("{field}.tlsConfig");
            check_files(files, &field)?;
            Some(Tls::load(files).context(field)?)
        }
        ("https", None) => {
            bail!("{field}.tlsConfig: Required value: TLSConfig must be present when using HTTPS")
        }
        ("http", None) => None,
        ("http", Some(_)) => {
            bail!("{field}.tlsConfig: Invalid value: TLSConfig config should not be present when using HTTP")
        }
        _ => bail!(
            "{field}.url: Invalid value: {:?}: supported connection protocols are http:// and https://",
            tcp.url
        ),
    };
    let host = url
        .host_str()
        .with_context(|| format!("{field}.url: Invalid value: {:?}: has no host", tcp.url))?;
    Ok(Transport::Tcp {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or(443),
        tls,
        login: None,
    })
}

/// A proxy behind TLS is to know who comes; the authority may be one that the system believes.
fn check_files(files: &TlsConfig, field: &str) -> anyhow::Result<()> {
    for (file, name, what, is_needed) in [
        (&files.ca_bundle, "caBundle", "TLS config ca bundle", false),
        (&files.client_cert, "clientCert", "TLS client cert", true),
        (&files.client_key, "clientKey", "TLS client key", true),
    ] {
        match file.as_deref().filter(|file| !file.as_os_str().is_empty()) {
            Some(file) if !file.exists() => {
                let path = file.display();
                bail!("{field}.{name}: Invalid value: \"{path}\": {what} does not exist")
            }
            None if is_needed => bail!("{field}.{name}: Invalid value: Using TLS requires {name}"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections:\n- ";

    fn parsed(entry: &str) -> anyhow::Result<Egress> {
        Egress::parse(&format!("{HEAD}{entry}"))
    }

    fn connect(transport: &str) -> String {
        format!("{{name: cluster, connection: {{proxyProtocol: HTTPConnect, transport: {transport}}}}}")
    }

    #[test]
    fn ways() {
        let socket = connect("{uds: {udsName: /run/proxy}}");
        let egress = parsed(&socket).unwrap();
        assert!(matches!(egress.cluster, Way::Proxy(_)) && matches!(egress.control_plane, Way::Direct));
        assert!(parsed(&connect("{tcp: {url: 'http://127.0.0.1:1'}}")).is_ok());
        assert!(parsed(&socket.replace("HTTPConnect", "GRPC")).is_ok());
        assert!(parsed("{name: etcd, connection: {proxyProtocol: Direct}}").is_ok());
        let etcd = parsed(&socket.replace("cluster", "etcd")).unwrap();
        assert!(matches!(etcd.etcd, Way::Proxy(_)) && matches!(etcd.cluster, Way::Direct));
        let upper = parsed(&socket.replace("cluster", "ControlPlane")).unwrap();
        assert!(matches!(upper.control_plane, Way::Proxy(_)));
        let master = socket.replace("cluster", "master");
        let first = Egress::parse(&format!("{}{master}", HEAD.replace("v1beta1", "v1alpha1"))).unwrap();
        assert!(matches!(first.control_plane, Way::Proxy(_)));
        assert!(parsed(&master).is_err(), "later versions don't know the word");
    }

    #[test]
    fn mistakes_are_told_in_upstreams_words() {
        let tls = |files: &str| connect(&format!("{{tcp: {{url: 'https://h:1', tlsConfig: {files}}}}}"));
        let grpc = |transport: &str| {
            let entry = "{name: cluster, connection: {proxyProtocol: GRPC, transport: ";
            format!("{entry}{transport}}}}}")
        };
        let twice = format!(
            "{}\n- {}",
            "{name: etcd, connection: {proxyProtocol: Direct}}",
            "{name: ETCD, connection: {proxyProtocol: Direct}}"
        );
        for (entry, said) in [
            (
                connect("{}"),
                "transport.tcp: Required value: One of TCP or UDS must be set",
            ),
            (
                connect("{tcp: {url: 'http://h:1'}, uds: {udsName: x}}"),
                "transport.tcp: Invalid value: TCP and UDS cannot both be set",
            ),
            (
                connect("{tcp: {url: 'https://h:1'}}"),
                "tlsConfig: Required value: TLSConfig must be present when using HTTPS",
            ),
            (
                connect("{tcp: {url: 'http://h:1', tlsConfig: {}}}"),
                "tlsConfig: Invalid value: TLSConfig config should not be present when using HTTP",
            ),
            (
                connect("{tcp: {url: 'ftp://h:1'}}"),
                "url: Invalid value: \"ftp://h:1\": supported connection protocols are http:// and https://",
            ),
            (
                tls("{}"),
                "tlsConfig.clientCert: Invalid value: Using TLS requires clientCert",
            ),
            (
                tls("{clientCert: '', clientKey: /k}"),
                "tlsConfig.clientCert: Invalid value: Using TLS requires clientCert",
            ),
            (
                tls("{clientCert: /dev/null}"),
                "tlsConfig.clientKey: Invalid value: Using TLS requires clientKey",
            ),
            (
                tls("{caBundle: /none}"),
                "tlsConfig.caBundle: Invalid value: \"/none\": TLS config ca bundle does not exist",
            ),
            (
                tls("{clientCert: /none}"),
                "tlsConfig.clientCert: Invalid value: \"/none\": TLS client cert does not exist",
            ),
            (
                connect("{uds: {}}"),
                "udsName: Invalid value: UDSName should be present for UDS connections",
            ),
            (
                grpc("{}"),
                "connection.transport.uds: Required value: UDS must be set with GRPC",
            ),
            (
                grpc("{tcp: {url: 'http://h:1'}}"),
                "connection.transport.uds: Required value: UDS must be set with GRPC",
            ),
            (
                "{name: etcd, connection: {proxyProtocol: GRPC}}".to_owned(),
                "connection.transport: Required value: transport must be set for GRPC",
            ),
            (
                connect("{uds: {udsName: x}}").replace("HTTPConnect", "Direct"),
                "Transport config should be absent for direct connect",
            ),
            (
                "{name: moon, connection: {proxyProtocol: Direct}}".to_owned(),
                "egressSelections[0].name: Unsupported value: \"moon\": supported values: \"cluster\", \"controlplane\", \"etcd\"",
            ),
            (twice, "egressSelections[1].name: Duplicate value: \"etcd\""),
        ] {
            let error = format!("{:#}", parsed(&entry).unwrap_err());
            assert!(error.contains(said), "{entry}: {error}");
        }
    }
}
