//! Flags about how the API is served: further certificates, headers for browsers, which of its versions.

use clap::Args;
use std::path::PathBuf;

/// The listener beside its address and certificate.
#[derive(Args, Clone, Debug, Default)]
pub struct ServingFlags {
    /// Host name, with a port or without, in URLs that the server tells: documents of OpenID, addresses in discovery.
    #[arg(long)]
    pub external_hostname: Option<String>,
    /// Binds with SO_REUSEADDR, which Linux programs always do.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub permit_address_sharing: bool,
    /// Binds with SO_REUSEPORT: several servers share one port.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub permit_port_sharing: bool,
    /// `certificate,key`, or `certificate,key:name,*.name`: shown to clients that ask for one of the names; without
    /// names, for those of the certificate. May be repeated.
    #[arg(long, value_parser = parse_sni_certificate)]
    pub tls_sni_cert_key: Vec<SniCertificate>,
    /// `max-age=SECONDS`, `includeSubDomains`, `preload`: sent as Strict-Transport-Security with every answer. May be empty,
    /// which says nothing.
    #[arg(long, value_delimiter = ',', value_parser = parse_transport_security)]
    pub strict_transport_security_directives: Vec<String>,
    /// Regular expressions of origins whose scripts may use the API.
    #[arg(long, value_delimiter = ',')]
    pub cors_allowed_origins: Vec<String>,
    /// Only HTTP/1.1 is offered.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub disable_http2_serving: bool,
    /// `group/version=false`, `group/version/resource=false`, `api/beta=false`: what is not served.
    #[arg(long, value_delimiter = ',', value_parser = parse_runtime_setting)]
    pub runtime_config: Vec<RuntimeSetting>,
    #[arg(long, default_value = "", value_parser = parse_storage_backend)]
    pub storage_backend: String,
    /// Objects are stored as JSON, whichever of upstream's forms is named.
    #[arg(long, default_value = "application/vnd.kubernetes.protobuf", value_parser = parse_media_type)]
    pub storage_media_type: String,
    /// Off, clients' reads are answered from etcd, and only what the server itself follows is in memory.
    #[arg(long, num_args = 0..=1, default_value_t = true, action = clap::ArgAction::Set, default_missing_value = "true", require_equals = true)]
    pub watch_cache: bool,
    /// `resource[.group]#size`: 0 turns the cache of a built-in resource off. Others are as large as what is cached, whatever
    /// is said.
    #[arg(long, value_delimiter = ',', value_parser = parse_cache_size)]
    pub watch_cache_sizes: Vec<CacheSize>,
}

/// One `resource[.group]#size` of --watch-cache-sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// With its group behind a dot.
    pub resource: String,
    pub size: i64,
}

impl ServingFlags {
    /// Whether clients' reads of a resource are answered from memory; `resource` has its group behind a dot. What was said
    /// last of a resource counts, and of custom resources nothing can be said.
    pub fn is_cached(&self, resource: &str, is_custom: bool) -> bool {
        let said = self.watch_cache_sizes.iter().rev();
        let size = said.filter(|_| !is_custom).find(|said| said.resource == resource);
        self.watch_cache && size.is_none_or(|said| said.size > 0)
    }
}

/// A certificate for clients that ask for certain names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SniCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// In lower case, may begin with `*.`; empty takes the names in the certificate.
    pub names: Vec<String>,
}

/// Parses `certificate,key[:name,…]`.
pub fn parse_sni_certificate(text: &str) -> Result<SniCertificate, String> {
    let (files, names) = match text.split_once(':') {
        Some((files, names)) => (files, names),
        None => (text, ""),
    };
    let Some((certificate, key)) = files
        .split_once(',')
        .filter(|(certificate, key)| !certificate.is_empty() && !key.is_empty() && !key.contains(','))
    else {
        return Err(format!(
            "{text:?} does not name two files; write certificate,key or certificate,key:name,name"
        ));
    };
    let names: Vec<String> = names
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    if text.contains(':') && names.is_empty() {
        return Err(format!("{text:?} has no name behind the colon"));
    }
    Ok(SniCertificate {
        certificate: certificate.into(),
        key: key.into(),
        names,
    })
}

fn parse_transport_security(text: &str) -> Result<String, String> {
    let text = text.trim();
    let known = match text.split_once('=') {
        Some((name, seconds)) => name == "max-age" && seconds.parse::<u64>().is_ok(),
        None => matches!(text, "" | "includeSubDomains" | "preload"),
    };
    if known {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is none of max-age=SECONDS, includeSubDomains and preload"
        ))
    }
}

/// One `key=bool` of --runtime-config; `true` may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSetting {
    pub key: String,
    pub enabled: bool,
}

fn parse_runtime_setting(text: &str) -> Result<RuntimeSetting, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, "true"));
    let enabled = match value {
        "true" | "" => true,
        "false" => false,
        other => return Err(format!("invalid value {other:?} of {key}: use true or false")),
    };
    Ok(RuntimeSetting {
        key: key.trim().to_owned(),
        enabled,
    })
}

fn parse_storage_backend(text: &str) -> Result<String, String> {
    match text {
        "" | "etcd3" => Ok(text.to_owned()),
        other => Err(format!("{other:?} is not supported; use etcd3, or leave it out")),
    }
}

pub(super) fn parse_secure_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "--secure-port {text} must be between 1 and 65535, inclusive. It cannot be turned off with 0"
        )),
    }
}

/// Forms in which upstream stores objects.
const MEDIA_TYPES: [&str; 3] = [
    "application/json",
    "application/vnd.kubernetes.protobuf",
    "application/yaml",
];

fn parse_media_type(text: &str) -> Result<String, String> {
    if MEDIA_TYPES.contains(&text) {
        return Ok(text.to_owned());
    }
    let allowed = MEDIA_TYPES.join(", ");
    Err(format!(
        "--storage-media-type {text:?} invalid, allowed values: {allowed}"
    ))
}

fn parse_cache_size(text: &str) -> Result<CacheSize, String> {
    let Some((resource, size)) = text.split_once('#').filter(|(_, size)| !size.contains('#')) else {
        return Err(format!("invalid value of watch cache size: {text}"));
    };
    match size.parse::<i64>() {
        Err(_) => Err(format!("invalid size of watch cache size: {text}")),
        Ok(size) if size < 0 => Err(format!("watch cache size cannot be negative: {text}")),
        Ok(size) => Ok(CacheSize {
            resource: resource.to_owned(),
            size,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_in_upstreams_words() {
        for (outcome, expected) in [
            (parse_secure_port("6443").map(drop), None),
            (
                parse_secure_port("0").map(drop),
                Some(
                    "--secure-port 0 must be between 1 and 65535, inclusive. It cannot be turned off with 0",
                ),
            ),
            (
                parse_secure_port("65536").map(drop),
                Some(
                    "--secure-port 65536 must be between 1 and 65535, inclusive. It cannot be turned off with 0",
                ),
            ),
            (parse_media_type("application/yaml").map(drop), None),
            (
                parse_media_type("application/foo").map(drop),
                Some(
                    "--storage-media-type \"application/foo\" invalid, allowed values: application/json, application/vnd.kubernetes.protobuf, application/yaml",
                ),
            ),
            (parse_cache_size("deployments.apps#100").map(drop), None),
            (
                parse_cache_size("foo").map(drop),
                Some("invalid value of watch cache size: foo"),
            ),
            (
                parse_cache_size("foo#x").map(drop),
                Some("invalid size of watch cache size: foo#x"),
            ),
            (
                parse_cache_size("foo#-1").map(drop),
                Some("watch cache size cannot be negative: foo#-1"),
            ),
        ] {
            assert_eq!(outcome.err().as_deref(), expected);
        }
    }

    #[test]
    fn caches_are_turned_off_all_or_by_resource() {
        for (watch_cache, sizes, resource, is_custom, cached) in [
            (true, "", "pods", false, true),
            (false, "", "pods", false, false),
            (false, "pods#10", "pods", false, false),
            (false, "", "widgets.example.com", true, false),
            (true, "pods#0", "pods", false, false),
            (true, "pods#0", "nodes", false, true),
            (true, "pods#0", "pods.metrics.k8s.io", false, true),
            (true, "deployments.apps#0", "deployments.apps", false, false),
            (true, "deployments#0", "deployments.apps", false, true),
            (true, "pods#0,pods#5", "pods", false, true),
            (true, "pods#5,pods#0", "pods", false, false),
            (true, "widgets.example.com#0", "widgets.example.com", true, true),
        ] {
            let mut words = vec![
                "kube-apiserver".to_owned(),
                "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                "--service-account-issuer=https://x".to_owned(),
                format!("--watch-cache={watch_cache}"),
            ];
            if !sizes.is_empty() {
                words.push(format!("--watch-cache-sizes={sizes}"));
            }
            let flags = super::super::parse(words).unwrap().serving;
            let found = flags.is_cached(resource, is_custom);
            assert_eq!(found, cached, "{watch_cache} {sizes} {resource}");
        }
    }

    #[test]
    fn a_pair_of_files_may_have_names() {
        for (text, files, names) in [
            ("a.crt,a.key", ("a.crt", "a.key"), &[][..]),
            (
                "a.crt,a.key:*.Foo.com, foo.com",
                ("a.crt", "a.key"),
                &["*.foo.com", "foo.com"],
            ),
            ("a.crt,a.key:fd00::1", ("a.crt", "a.key"), &["fd00::1"]),
        ] {
            let parsed = parse_sni_certificate(text).unwrap();
            assert_eq!(parsed.certificate.to_str(), Some(files.0), "{text}");
            assert_eq!(parsed.key.to_str(), Some(files.1), "{text}");
            assert_eq!(parsed.names, names, "{text}");
        }
        for text in [
            "",
            "a.crt",
            "a.crt,",
            ",a.key",
            "a,b,c",
            "a.crt,a.key:",
            "a.crt:x",
        ] {
            assert!(parse_sni_certificate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_known_directives_of_transport_security() {
        for (text, good) in [
            ("max-age=31536000", true),
            ("includeSubDomains", true),
            ("preload", true),
            ("max-age=soon", false),
            ("max-age", false),
            ("report-uri=x", false),
            // The flag of a template that has nothing to say.
            ("", true),
        ] {
            assert_eq!(parse_transport_security(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_runtime_setting_is_a_boolean() {
        let parsed = |text: &str| parse_runtime_setting(text).map(|one| (one.key, one.enabled));
        assert_eq!(parsed("apps/v1"), Ok(("apps/v1".to_owned(), true)));
        assert_eq!(parsed("api/all=false"), Ok(("api/all".to_owned(), false)));
        assert!(parsed("apps/v1=no").is_err());
    }
}
