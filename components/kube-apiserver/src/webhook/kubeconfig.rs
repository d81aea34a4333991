//! The kubeconfig files that describe webhooks, and who this server is towards them.

use super::credentials::{Authorization, Credentials, secret};
use crate::nulls;
use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use url::Url;

/// What may not stand in a header's name as it is.
const NO_TOKEN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The server, authorities and user of a kubeconfig's current context.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    pub server: String,
    /// PEM; empty when the file names none.
    pub bundle: Vec<u8>,
    pub credentials: Arc<Credentials>,
}

/// A kubeconfig that names identities by the host of the webhook, as AdmissionConfiguration refers to.
#[derive(Clone, Debug, Default)]
pub struct Identities(Vec<(String, Arc<Credentials>)>);

impl Kubeconfig {
    /// Reads a file; paths in it are relative to its folder.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let (file, folder) = read(path)?;
        let context = match file.contexts.as_slice() {
            [only] if file.current_context.is_empty() => only,
            all => all
                .iter()
                .find(|context| context.name == file.current_context)
                .with_context(|| format!("{}: there is no current context", path.display()))?,
        };
        let cluster = file
            .clusters
            .iter()
            .find(|cluster| cluster.name == context.context.cluster)
            .with_context(|| {
                format!(
                    "{}: there is no cluster {:?}",
                    path.display(),
                    context.context.cluster
                )
            })?;
        let cluster = &cluster.cluster;
        if cluster.insecure_skip_tls_verify {
            bail!(
                "{}: insecure-skip-tls-verify is not supported; name the authority instead",
                path.display()
            );
        }
        let bundle = material(
            &cluster.certificate_authority_data,
            &cluster.certificate_authority,
            folder,
        )?
        .unwrap_or_default();
        let user = &context.context.user;
        let mut credentials = match file.users.iter().find(|named| named.name == *user) {
            Some(named) => named.credentials(folder, path)?,
            None if user.is_empty() => Credentials::default(),
            // Going on without would be to go there as nobody.
            None => bail!(
                "{}: user {user:?} was not found for context {:?}; add it to users, or name one of those",
                path.display(),
                context.name
            ),
        };
        credentials.server_name =
            (!cluster.tls_server_name.is_empty()).then(|| cluster.tls_server_name.clone());
        credentials.proxy = cluster.proxy().with_context(|| path.display().to_string())?;
        Ok(Self {
            server: cluster.server.clone(),
            bundle,
            credentials: Arc::new(credentials),
        })
    }
}

impl Identities {
    /// Reads the users of a file; their names are hosts, with `*` for the first label or for all.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let (file, folder) = read(path)?;
        file.users
            .iter()
            .map(|user| Ok((user.name.clone(), Arc::new(user.credentials(folder, path)?))))
            .collect::<anyhow::Result<_>>()
            .map(Self)
    }

    /// Who to be towards `host:port`: by the full name, by ever shorter suffixes behind `*.`, then the same
    /// without the port if that is 443, then `*`.
    pub fn of(&self, authority: &str) -> Arc<Credentials> {
        let named = |wanted: &str| self.0.iter().find(|(name, _)| name == wanted);
        let found = std::iter::once(authority)
            .chain(authority.strip_suffix(":443"))
            .find_map(|text| {
                let suffixes = text.match_indices('.').map(|(at, _)| format!("*{}", &text[at..]));
                named(text).or_else(|| suffixes.into_iter().find_map(|suffix| named(&suffix)))
            });
        found
            .or_else(|| named("*"))
            .map(|(_, credentials)| Arc::clone(credentials))
            .unwrap_or_default()
    }
}

fn read(path: &Path) -> anyhow::Result<(File, &Path)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file = nulls::from_yaml(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok((file, path.parent().unwrap_or(Path::new(""))))
}

/// What a file holds inline (base64), or names.
fn material(data: &str, file: &str, folder: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if !data.is_empty() {
        return Ok(Some(STANDARD.decode(data).context("base64 in a kubeconfig")?));
    }
    if file.is_empty() {
        return Ok(None);
    }
    let path = folder.join(file);
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Some(bytes))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[derive(Default)]
struct Cluster {
    server: String,
    certificate_authority: String,
    certificate_authority_data: String,
    tls_server_name: String,
    insecure_skip_tls_verify: bool,
    proxy_url: String,
}

impl Cluster {
    fn proxy(&self) -> anyhow::Result<Option<Url>> {
        if self.proxy_url.is_empty() {
            return Ok(None);
        }
        let url = Url::parse(&self.proxy_url).context("proxy-url")?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!(
                "proxy-url: {} is not supported; name a proxy by http or https",
                url.scheme()
            );
        }
        if !self.server.starts_with("https:") {
            bail!("proxy-url is only for a server by https; leave it out, or name such a server");
        }
        Ok(Some(url))
    }
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextOf,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ContextOf {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: String,
    client_certificate_data: String,
    client_key: String,
    client_key_data: String,
    token: String,
    #[serde(rename = "tokenFile")]
    token_file: String,
    username: String,
    password: String,
    #[serde(rename = "as")]
    impersonated: String,
    as_uid: String,
    as_groups: Vec<String>,
    as_user_extra: BTreeMap<String, Vec<String>>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
}

impl NamedUser {
    fn credentials(&self, folder: &Path, path: &Path) -> anyhow::Result<Credentials> {
        let credentials = self.user.credentials(folder);
        credentials.with_context(|| format!("{}: user {:?}", path.display(), self.name))
    }
}

impl User {
    fn impersonation(&self) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
        if self.impersonated.is_empty() {
            if !(self.as_uid.is_empty() && self.as_groups.is_empty() && self.as_user_extra.is_empty()) {
                bail!("as-uid, as-groups and as-user-extra need `as`, the user who is impersonated");
            }
            return Ok(Vec::new());
        }
        let mut headers = Vec::new();
        let mut add = |name: &str, value: &str| {
            let name = HeaderName::from_bytes(name.as_bytes()).context("`as` that is no header")?;
            headers.push((
                name,
                HeaderValue::from_str(value).context("`as` that is no header")?,
            ));
            anyhow::Ok(())
        };
        add("impersonate-user", &self.impersonated)?;
        if !self.as_uid.is_empty() {
            add("impersonate-uid", &self.as_uid)?;
        }
        for group in &self.as_groups {
            add("impersonate-group", group)?;
        }
        for (key, values) in &self.as_user_extra {
            let name = format!("impersonate-extra-{}", utf8_percent_encode(key, NO_TOKEN));
            for value in values {
                add(&name, value)?;
            }
        }
        Ok(headers)
    }

    fn credentials(&self, folder: &Path) -> anyhow::Result<Credentials> {
        // Going on without would be to go there as nobody.
        if self.exec.is_some() {
            bail!(
                "exec is not supported; use tokenFile, which is read for each request, or a client certificate"
            );
        }
        if self.auth_provider.is_some() {
            bail!("auth-provider is not supported; use tokenFile, or a client certificate");
        }
        let certificate = material(&self.client_certificate_data, &self.client_certificate, folder)?;
        let key = material(&self.client_key_data, &self.client_key, folder)?;
        let authorization = if !self.token_file.is_empty() {
            Authorization::TokenFile(folder.join(&self.token_file))
        } else if !self.token.is_empty() {
            Authorization::Value(
                secret(&format!("Bearer {}", self.token)).context("a token that is no header")?,
            )
        } else if !self.username.is_empty() {
            let pair = STANDARD.encode(format!("{}:{}", self.username, self.password));
            Authorization::Value(secret(&format!("Basic {pair}")).context("a password that is no header")?)
        } else {
            Authorization::None
        };
        let certificate = match (certificate, key) {
            (Some(_), None) => bail!(
                "client-key-data or client-key must be specified to use the clientCert authentication method"
            ),
            (None, Some(_)) => {
                bail!("client-certificate-data or client-certificate must be specified to use its client key")
            }
            (certificate, key) => certificate.zip(key),
        };
        Ok(Credentials {
            certificate,
            authorization,
            impersonation: self.impersonation()?,
            server_name: None,
            proxy: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    #[test]
    fn a_kubeconfig_and_identities_by_host() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca"), "pem").unwrap();
        std::fs::write(folder.path().join("token"), "t2\n").unwrap();
        let path = folder.path().join("config");
        std::fs::write(
            &path,
            "clusters: [{name: c, cluster: {server: 'https://x', certificate-authority: ca}}]\n\
             users: [{name: s.n.svc, user: {token: t1}}, {name: '*.n.svc', user: {tokenFile: token}}, {name: '*', user: {username: u, password: p}}]\n\
             contexts: [{name: k, context: {cluster: c, user: s.n.svc}}]\ncurrent-context: k\n",
        )
        .unwrap();
        let config = Kubeconfig::load(&path).unwrap();
        assert_eq!(
            (config.server.as_str(), config.bundle.as_slice()),
            ("https://x", &b"pem"[..])
        );
        let identities = Identities::load(&path).unwrap();
        for (authority, header) in [
            ("s.n.svc:443", "Bearer t1"),
            ("o.n.svc:443", "Bearer t2"),
            ("s.n.svc:444", "Basic dTpw"),
            ("elsewhere:1", "Basic dTpw"),
        ] {
            let found = identities.of(authority).authorization();
            assert_eq!(found.unwrap(), header, "{authority}");
        }
    }

    /// What comes of a kubeconfig of one server and one user.
    fn load(cluster: &str, user: &str) -> anyhow::Result<Kubeconfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "clusters: [{{name: c, cluster: {{server: 'https://x', {cluster}}}}}]\nusers: {user}\n\
             contexts: [{{name: k, context: {{cluster: c, user: u}}}}]\ncurrent-context: k\n"
        );
        std::fs::write(file.path(), text).unwrap();
        Kubeconfig::load(file.path())
    }

    #[test]
    fn what_is_not_supported_is_not_passed_over() {
        for (cluster, user, expected) in [
            ("", "null", "user \"u\" was not found for context \"k\""),
            ("", "[{name: v, user: {token: t}}]", "user \"u\" was not found"),
            ("", "[{name: u, user: null}]", ""),
            (
                "",
                "[{name: u, user: {client-certificate-data: Yw==}}]",
                "user \"u\": client-key-data or client-key must be specified",
            ),
            (
                "",
                "[{name: u, user: {client-key-data: aw==}}]",
                "user \"u\": client-certificate-data or client-certificate must be specified",
            ),
            (
                "",
                "[{name: u, user: {client-certificate-data: Yw==, client-key-data: aw==}}]",
                "",
            ),
            ("", "[{name: u, user: {exec: null}}]", ""),
            (
                "",
                "[{name: u, user: {exec: {command: c}}}]",
                "user \"u\": exec is not supported",
            ),
            (
                "",
                "[{name: u, user: {auth-provider: {name: p}}}]",
                "user \"u\": auth-provider is not supported",
            ),
            ("", "[{name: u, user: {as-groups: [g]}}]", "need `as`"),
            (
                "proxy-url: 'socks5://p'",
                "[{name: u}]",
                "proxy-url: socks5 is not supported",
            ),
            ("proxy-url: p", "[{name: u}]", "proxy-url: relative URL"),
            (
                "insecure-skip-tls-verify: true",
                "[{name: u}]",
                "insecure-skip-tls-verify is not supported",
            ),
        ] {
            let told = load(cluster, user).err().map(|error| format!("{error:#}"));
            let told = told.unwrap_or_default();
            assert!(told.contains(expected), "{cluster} {user}: {told}");
            assert_eq!(told.is_empty(), expected.is_empty(), "{cluster} {user}: {told}");
        }
    }

    #[test]
    fn an_impersonated_user_stands_in_headers() {
        let user = "[{name: u, user: {as: jane, as-uid: '7', as-groups: [a, b], as-user-extra: {x/y: [z]}}}]";
        let config = load("proxy-url: 'http://p:3128'", user).unwrap();
        assert_eq!(
            config.credentials.proxy.as_ref().unwrap().as_str(),
            "http://p:3128/"
        );
        let mut headers = HeaderMap::new();
        config.credentials.show(&mut headers);
        let found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            found,
            [
                ("impersonate-user", "jane"),
                ("impersonate-uid", "7"),
                ("impersonate-group", "a"),
                ("impersonate-group", "b"),
                ("impersonate-extra-x%2fy", "z"),
            ]
        );
    }
}
