use client::Informer;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn objects<T: serde::de::DeserializeOwned>(values: &[Value]) -> Vec<T> {
    values
        .iter()
        .map(|value| serde_json::from_value(value.clone()).unwrap())
        .collect()
}

fn catalog() -> Catalog {
    let service =
        |name: &str, spec: Value| json!({ "metadata": { "namespace": "ns", "name": name }, "spec": spec });
    let services: Vec<Service> = objects(&[
        service(
            "web",
            json!({ "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"], "ports": [
            { "name": "http", "port": 80 }, { "name": "dns", "port": 53, "protocol": "UDP" },
        ] }),
        ),
        service(
            "db",
            json!({ "clusterIP": "None", "clusterIPs": ["None"], "ports": [{ "name": "sql", "port": 5432 }] }),
        ),
        service("empty", json!({ "clusterIP": "None", "ports": [] })),
        service(
            "out",
            json!({ "type": "ExternalName", "externalName": "www.example.com" }),
        ),
    ]);
    let slices: Vec<EndpointSlice> = objects(&[json!({
        "metadata": { "namespace": "ns", "name": "db-1", "labels": { "kubernetes.io/service-name": "db" } },
        "addressType": "IPv4", "ports": [{ "name": "sql", "port": 15432, "protocol": "TCP" }],
        "endpoints": [
            { "addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": { "ready": true } },
            { "addresses": ["10.244.1.6"] },
            { "addresses": ["10.244.1.7"], "hostname": "db-2", "conditions": { "ready": false } },
        ],
    })]);
    let namespaces: Vec<Namespace> = objects(&[json!({ "metadata": { "name": "ns" } })]);
    Catalog::new(
        Informer::fixed(services),
        Informer::fixed(slices),
        Informer::fixed(namespaces),
    )
}

fn zone() -> Zone {
    Zone::new("cluster.local", 5, vec!["10.96.0.0/12".parse().unwrap()]).unwrap()
}

fn ask(name: &str, record_type: RecordType) -> String {
    let name = Name::from_ascii(name).unwrap();
    match zone().answer(&catalog(), &name, record_type) {
        Answer::Records(answers, additional) => {
            let texts = |records: &[Record]| {
                records
                    .iter()
                    .map(|r| r.data.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            assert!(
                answers
                    .iter()
                    .all(|record| record.name == name && record.ttl == 5)
            );
            match additional.is_empty() {
                true => texts(&answers),
                false => format!("{} + {}", texts(&answers), texts(&additional)),
            }
        }
        Answer::Alias(name) => format!("alias {name}"),
        Answer::NoData => "no data".to_owned(),
        Answer::NoName => "no name".to_owned(),
        Answer::Elsewhere => "elsewhere".to_owned(),
    }
}

#[test]
fn names_mean_what_the_specification_says() {
    use RecordType::*;
    let table = [
        ("dns-version.cluster.local.", TXT, "1.1.0"),
        ("cluster.local.", A, "no data"),
        ("svc.cluster.local.", A, "no data"),
        ("ns.svc.cluster.local.", A, "no data"),
        ("other.svc.cluster.local.", A, "no name"),
        ("nonsense.cluster.local.", A, "no name"),
        // cluster IPs
        ("web.ns.svc.cluster.local.", A, "10.96.0.1"),
        ("WEB.ns.SVC.Cluster.local.", A, "10.96.0.1"),
        ("web.ns.svc.cluster.local.", AAAA, "fd00::1"),
        ("web.ns.svc.cluster.local.", MX, "no data"),
        ("web.other.svc.cluster.local.", A, "no name"),
        ("x.web.ns.svc.cluster.local.", A, "no name"),
        (
            "_http._tcp.web.ns.svc.cluster.local.",
            SRV,
            "0 100 80 web.ns.svc.cluster.local. + 10.96.0.1, fd00::1",
        ),
        (
            "_dns._udp.web.ns.svc.cluster.local.",
            SRV,
            "0 100 53 web.ns.svc.cluster.local. + 10.96.0.1, fd00::1",
        ),
        ("_http._udp.web.ns.svc.cluster.local.", SRV, "no name"),
        ("_http._tcp.web.ns.svc.cluster.local.", A, "no data"),
        ("_tcp.web.ns.svc.cluster.local.", SRV, "no data"),
        ("_sctp.web.ns.svc.cluster.local.", SRV, "no name"),
        // headless
        ("db.ns.svc.cluster.local.", A, "10.244.0.5, 10.244.1.6"),
        ("db.ns.svc.cluster.local.", AAAA, "no data"),
        ("db-0.db.ns.svc.cluster.local.", A, "10.244.0.5"),
        ("10-244-1-6.db.ns.svc.cluster.local.", A, "10.244.1.6"),
        ("db-2.db.ns.svc.cluster.local.", A, "no name"),
        (
            "_sql._tcp.db.ns.svc.cluster.local.",
            SRV,
            "0 50 15432 db-0.db.ns.svc.cluster.local., 0 50 15432 10-244-1-6.db.ns.svc.cluster.local. + 10.244.0.5, 10.244.1.6",
        ),
        ("empty.ns.svc.cluster.local.", A, "no name"),
        // others
        ("out.ns.svc.cluster.local.", A, "alias www.example.com."),
        ("10-1-2-3.ns.pod.cluster.local.", A, "10.1.2.3"),
        ("10-1-2-3.ns.pod.cluster.local.", AAAA, "no data"),
        ("fd00--1.ns.pod.cluster.local.", AAAA, "fd00::1"),
        ("10-1-2-300.ns.pod.cluster.local.", A, "no name"),
        ("10-1-2-3.other.pod.cluster.local.", A, "no name"),
        // reverse
        ("1.0.96.10.in-addr.arpa.", PTR, "web.ns.svc.cluster.local."),
        ("2.0.96.10.in-addr.arpa.", PTR, "no name"),
        ("5.0.244.10.in-addr.arpa.", PTR, "db-0.db.ns.svc.cluster.local."),
        ("6.1.244.10.in-addr.arpa.", PTR, "elsewhere"),
        (
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "web.ns.svc.cluster.local.",
        ),
        ("96.10.in-addr.arpa.", PTR, "elsewhere"),
        ("www.example.com.", A, "elsewhere"),
        ("xcluster.local.", A, "elsewhere"),
    ];
    for (name, record_type, expected) in table {
        assert_eq!(ask(name, record_type), expected, "{name} {record_type}");
    }
}

proptest! {
    #[test]
    fn any_name_gets_an_answer(labels in prop::collection::vec("[-_a-zA-Z0-9*]{1,63}", 0..6), tail in 0..4usize) {
        let tail = ["cluster.local.", "ns.svc.cluster.local.", "in-addr.arpa.", "ns.pod.cluster.local."][tail];
        let text = labels.iter().map(|label| format!("{label}.")).collect::<String>() + tail;
        if let Ok(name) = Name::from_ascii(text) {
            for record_type in [RecordType::A, RecordType::SRV, RecordType::PTR] {
                zone().answer(&catalog(), &name, record_type);
            }
        }
    }
}
