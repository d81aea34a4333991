//! From flags to the proxies that are believed about who sends a request.

use crate::authentication::front_proxy::FrontProxy;
use crate::serving::certificates::{ClientAuthority, read_certificates};
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use std::path::Path;
use std::sync::Arc;

/// The header that front proxies tell users' uids in.
const UID_HEADER: &str = "X-Remote-Uid";

pub fn load(flags: &ApiServerFlags) -> anyhow::Result<Option<FrontProxy>> {
    let username_headers = listed(
        "requestheader-username-headers",
        &flags.requestheader_username_headers,
    )?;
    let group_headers = listed("requestheader-group-headers", &flags.requestheader_group_headers)?;
    let extra_prefixes = listed(
        "requestheader-extra-headers-prefix",
        &flags.requestheader_extra_headers_prefix,
    )?;
    let names = listed("requestheader-allowed-names", &flags.requestheader_allowed_names)?;
    let uid_headers = listed("requestheader-uid-headers", &flags.requestheader_uid_headers)?;
    if !uid_headers.is_empty() && !crate::server::has_feature(flags, super::UIDS) {
        bail!("--requestheader-uid-headers needs the feature {}", super::UIDS);
    }
    let has_usual = uid_headers
        .iter()
        .any(|header| header.eq_ignore_ascii_case(UID_HEADER));
    if !uid_headers.is_empty() && !has_usual {
        bail!(
            "--requestheader-uid-headers is set without specifying the standard {UID_HEADER} header - API aggregation will not work"
        );
    }
    let Some(file) = &flags.requestheader_client_ca_file else {
        if !username_headers.is_empty() {
            bail!(
                "--requestheader-username-headers needs --requestheader-client-ca-file, else anybody could set them"
            );
        }
        return Ok(None);
    };
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
        username_headers,
        uid_headers,
        group_headers,
        extra_prefixes,
    }))
}

/// What a flag lists; nothing, if it is given empty.
fn listed(flag: &str, given: &[String]) -> anyhow::Result<Vec<String>> {
    match given {
        [only] if only.is_empty() => Ok(Vec::new()),
        all if all.iter().any(|text| text.trim().is_empty()) => bail!("empty value in {flag:?}"),
        all => Ok(all.to_vec()),
    }
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

    #[test]
    fn lists_of_headers_have_no_gaps() {
        let folder = tempfile::tempdir().unwrap();
        let authority = ClusterPki::write(folder.path()).unwrap().file("ca.crt");
        for (flag, expected) in [
            ("--requestheader-group-headers=", ""),
            (
                "--requestheader-group-headers=,",
                "empty value in \"requestheader-group-headers\"",
            ),
            (
                "--requestheader-username-headers=a, ",
                "empty value in \"requestheader-username-headers\"",
            ),
            ("--requestheader-uid-headers=x-remote-uid,X-Foo", ""),
            (
                "--requestheader-uid-headers=X-Foo",
                "--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - API aggregation will not work",
            ),
        ] {
            let line = [
                "kube-apiserver".to_owned(),
                "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                "--service-account-issuer=https://x".to_owned(),
                format!("--requestheader-client-ca-file={}", authority.display()),
                flag.to_owned(),
            ];
            let flags = component_config::kube_apiserver::parse(line).unwrap();
            let told = load(&flags).err().map(|error| error.to_string());
            assert_eq!(told.unwrap_or_default(), expected, "{flag}");
        }
    }
}
