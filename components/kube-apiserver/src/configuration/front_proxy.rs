//! From flags to the proxies that are believed about who sends a request.

use crate::authentication::front_proxy::FrontProxy;
use crate::serving::certificates::{ClientAuthority, read_certificates};
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use std::path::Path;
use std::sync::Arc;

pub fn load(flags: &ApiServerFlags) -> anyhow::Result<Option<FrontProxy>> {
    let Some(file) = &flags.requestheader_client_ca_file else {
        if !flags.requestheader_username_headers.is_empty() {
            bail!(
                "--requestheader-username-headers needs --requestheader-client-ca-file, else anybody could set them"
            );
        }
        return Ok(None);
    };
    if !flags.requestheader_uid_headers.is_empty() && !crate::server::has_feature(flags, super::UIDS) {
        bail!("--requestheader-uid-headers needs the feature {}", super::UIDS);
    }
    let mut names = flags.requestheader_allowed_names.clone();
    names.retain(|name| !name.is_empty());
    if let Some(clients) = &flags.client_ca_file
        && names.is_empty()
        && overlap(clients, file)?
    {
        bail!(
            "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; --requestheader-allowed-names must be specified to ensure regular client certificates cannot set authenticating proxy headers for arbitrary users"
        );
    }
    let authority = Arc::new(ClientAuthority::load(file).context("--requestheader-client-ca-file")?);
    Ok(Some(FrontProxy {
        authority,
        allowed_names: names,
        username_headers: flags.requestheader_username_headers.clone(),
        uid_headers: flags.requestheader_uid_headers.clone(),
        group_headers: flags.requestheader_group_headers.clone(),
        extra_prefixes: flags.requestheader_extra_headers_prefix.clone(),
    }))
}

/// Whether one authority vouches both for clients and for proxies.
fn overlap(clients: &Path, proxies: &Path) -> anyhow::Result<bool> {
    let clients = read_certificates(clients).context("--client-ca-file")?;
    let proxies = read_certificates(proxies).context("--requestheader-client-ca-file")?;
    Ok(clients.iter().any(|authority| proxies.contains(authority)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::cluster_pki::ClusterPki;

    #[test]
    fn clients_of_a_shared_authority_are_not_all_proxies() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            ClusterPki::write(&folder).unwrap().file("ca.crt")
        };
        let (clients, proxies) = (write("clients"), write("proxies"));
        let both = folder.path().join("both.crt");
        let text = [&proxies, &clients].map(|file| std::fs::read_to_string(file).unwrap());
        std::fs::write(&both, text.concat()).unwrap();
        for (authorities, names, good) in [
            (&clients, "", false),
            (&clients, "--requestheader-allowed-names=", false),
            (&both, "", false),
            (&clients, "--requestheader-allowed-names=front-proxy-client", true),
            (&both, "--requestheader-allowed-names=front-proxy-client", true),
            (&proxies, "", true),
        ] {
            let line = [
                "kube-apiserver".to_owned(),
                "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                "--service-account-issuer=https://x".to_owned(),
                format!("--client-ca-file={}", clients.display()),
                format!("--requestheader-client-ca-file={}", authorities.display()),
                names.to_owned(),
            ];
            let line = line.into_iter().filter(|word| !word.is_empty());
            let flags = component_config::kube_apiserver::parse(line).unwrap();
            match load(&flags) {
                Ok(_) => assert!(good, "{authorities:?} {names:?}"),
                Err(error) => {
                    assert!(!good && error.to_string().contains("overlapping"), "{error:#}");
                }
            }
        }
    }
}
