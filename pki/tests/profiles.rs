//! Every row of the profile table is issued and read back.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use pki::{
    ApiNames, Authority, CertificateAuthority, HostNames, KeyMaterial, LEAF_LIFETIME, PROFILES, Renewal,
    RequestTerms, Scope, ServiceAccountKeys, inspect, profile, renewal,
};

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn api() -> ApiNames {
    ApiNames {
        cluster_domain: "cluster.local".to_owned(),
        service_address: ip("10.32.0.1"),
        dns_names: vec![
            "cp-1".to_owned(),
            "cp-2".to_owned(),
            "api.example.test".to_owned(),
        ],
        addresses: vec![ip("10.77.0.11"), ip("10.77.0.12"), ip("10.77.0.11")],
    }
}

fn host() -> HostNames {
    HostNames {
        name: "cp-1".to_owned(),
        addresses: vec![ip("10.77.0.11")],
    }
}

fn authority(which: Authority) -> CertificateAuthority {
    CertificateAuthority::generate(which, "lab", now()).unwrap()
}

#[test]
fn every_profile_is_issued_as_its_row_says() {
    for row in PROFILES {
        let authority = authority(row.authority);
        let request = row.request(&host(), &api());
        let issued = authority.issue(&request, now()).unwrap();
        let found = inspect(&issued.certificate).unwrap();
        assert_eq!(
            found.common_name,
            row.common_name.replace("{node}", "cp-1"),
            "{}",
            row.name
        );
        assert_eq!(
            found.organizations,
            row.organization
                .map(str::to_owned)
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(
            (found.client, found.server),
            (row.usage.client(), row.usage.server()),
            "{}",
            row.name
        );
        assert!(!found.authority, "{}", row.name);
        assert_eq!(found.issuer, format!("lab-{}", row.authority.name()));
        assert_eq!(found.remaining(now()), LEAF_LIFETIME);
        assert!(found.not_before < now());
        assert_eq!(
            renewal(&issued, &request, authority.certificate(), now()),
            None,
            "{}",
            row.name
        );
    }
}

#[test]
fn identities_are_upstreams() {
    for (name, common_name, organization) in [
        ("kubelet-client", "system:node:cp-1", Some("system:nodes")),
        ("scheduler", "system:kube-scheduler", None),
        ("controller-manager", "system:kube-controller-manager", None),
        ("kube-proxy", "system:kube-proxy", None),
        ("admin", "hardway:admin", Some("hardway:cluster-admins")),
        ("break-glass", "hardway:break-glass", Some("system:masters")),
    ] {
        let request = profile(name).unwrap().request(&host(), &api());
        assert_eq!(request.common_name, common_name);
        assert_eq!(request.organization.as_deref(), organization);
        assert!(request.usage.client() && !request.usage.server(), "{name}");
    }
    let masters: Vec<_> = PROFILES
        .iter()
        .filter(|row| row.organization == Some("system:masters"))
        .collect();
    assert_eq!(masters.len(), 1);
    assert_eq!(masters[0].scope, Scope::Operator);
}

#[test]
fn api_server_answers_to_every_name_clients_use() {
    let request = profile("apiserver").unwrap().request(&host(), &api());
    for name in [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "cp-1",
        "cp-2",
        "api.example.test",
    ] {
        assert!(request.dns_names.iter().any(|have| have == name), "{name}");
    }
    assert_eq!(
        request.addresses,
        [
            ip("10.32.0.1"),
            ip("127.0.0.1"),
            ip("10.77.0.11"),
            ip("10.77.0.12")
        ]
    );
}

#[test]
fn kubelet_and_etcd_carry_their_own_address() {
    let kubelet = profile("kubelet-server").unwrap().request(&host(), &api());
    assert_eq!(
        (kubelet.dns_names, kubelet.addresses),
        (
            vec!["cp-1".to_owned(), "localhost".to_owned()],
            vec![ip("10.77.0.11"), ip("127.0.0.1")]
        )
    );
    for name in ["etcd-server", "etcd-peer"] {
        let request = profile(name).unwrap().request(&host(), &api());
        assert_eq!(request.addresses, [ip("10.77.0.11"), ip("127.0.0.1")]);
        assert!(request.usage.client() && request.usage.server());
    }
}

#[test]
fn renewal_names_its_reason() {
    let (first, other) = (authority(Authority::Kubernetes), authority(Authority::Kubernetes));
    let row = profile("kubelet-server").unwrap();
    let request = row.request(&host(), &api());
    let issued = first.issue(&request, now()).unwrap();
    let ask = |request: &_, authority: &CertificateAuthority, at| {
        renewal(&issued, request, authority.certificate(), at)
    };
    assert_eq!(ask(&request, &first, now() + LEAF_LIFETIME / 2), None);
    assert_eq!(
        ask(&request, &first, now() + LEAF_LIFETIME * 3 / 4),
        Some(Renewal::ExpiresSoon)
    );
    assert_eq!(
        ask(&request, &first, now() + LEAF_LIFETIME * 2),
        Some(Renewal::ExpiresSoon)
    );
    assert_eq!(ask(&request, &other, now()), Some(Renewal::OtherAuthority));
    let moved = HostNames {
        addresses: vec![ip("10.77.0.99")],
        ..host()
    };
    assert_eq!(
        ask(&row.request(&moved, &api()), &first, now()),
        Some(Renewal::Changed("names"))
    );
    let client = profile("kubelet-client").unwrap().request(&host(), &api());
    assert_eq!(ask(&client, &first, now()), Some(Renewal::Changed("subject")));
    let other_key = pki::Issued {
        key: first.issue(&request, now()).unwrap().key,
        ..issued.clone()
    };
    assert_eq!(
        renewal(&other_key, &request, first.certificate(), now()),
        Some(Renewal::OtherKey)
    );
    let broken = pki::Issued {
        certificate: "x".to_owned(),
        ..issued.clone()
    };
    assert!(matches!(
        renewal(&broken, &request, first.certificate(), now()),
        Some(Renewal::Unreadable(_))
    ));
}

#[test]
fn authority_survives_its_files() {
    let first = authority(Authority::Etcd);
    let again =
        CertificateAuthority::load(first.certificate(), KeyMaterial::from_pem(first.key().pem())).unwrap();
    let request = profile("etcd-peer").unwrap().request(&host(), &api());
    let issued = again.issue(&request, now()).unwrap();
    assert_eq!(renewal(&issued, &request, first.certificate(), now()), None);
    assert!(inspect(first.certificate()).unwrap().authority);
    assert_eq!(format!("{:?}", first.key()), "KeyMaterial(hidden)");
}

#[test]
fn service_account_public_key_follows_from_the_private_one() {
    let keys = ServiceAccountKeys::generate().unwrap();
    let again = ServiceAccountKeys::from_private(keys.private.clone()).unwrap();
    assert_eq!(keys.public, again.public);
    assert!(keys.public.starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(keys.private.pem().starts_with("-----BEGIN PRIVATE KEY-----"));
}

#[test]
fn signing_requests_get_the_signers_terms() {
    let authority = authority(Authority::Kubernetes);
    let pair = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["node-1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "system:node:node-1");
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "system:nodes");
    let request = params.serialize_request(&pair).unwrap();
    let csr = request.der().as_ref();
    let terms = RequestTerms {
        client: true,
        server: false,
        digital_signature: true,
        key_encipherment: false,
        lifetime: Duration::from_secs(3600),
    };
    let found = inspect(&authority.sign_request(csr, &terms, now()).unwrap()).unwrap();
    assert_eq!(found.common_name, "system:node:node-1");
    assert_eq!(found.organizations, ["system:nodes"]);
    assert!(found.client && !found.server && !found.authority);
    assert_eq!(found.remaining(now()), Duration::from_secs(3600));
    let forever = RequestTerms {
        lifetime: Duration::from_secs(u32::MAX.into()),
        ..terms
    };
    let capped = inspect(&authority.sign_request(csr, &forever, now()).unwrap()).unwrap();
    assert_eq!(
        capped.not_after,
        inspect(authority.certificate()).unwrap().not_after
    );
    assert!(authority.sign_request(b"nonsense", &forever, now()).is_err());
}

#[test]
fn a_successor_has_a_name_and_a_key_of_its_own() {
    let now = SystemTime::now();
    let mut authority = CertificateAuthority::generate(Authority::Etcd, "lab", now).unwrap();
    for name in ["lab-etcd-ca-2", "lab-etcd-ca-3"] {
        let next = authority.successor(Authority::Etcd, "lab", now).unwrap();
        let (old, new) = (
            inspect(authority.certificate()).unwrap(),
            inspect(next.certificate()).unwrap(),
        );
        assert_eq!(new.common_name, name);
        assert!(new.key_id.is_some() && old.key_id != new.key_id && old.fingerprint != new.fingerprint);
        authority = next;
    }
    let bundle = format!("{0}{0}", authority.certificate());
    assert_eq!(pki::inspect_all(&bundle).unwrap().len(), 2);
}
