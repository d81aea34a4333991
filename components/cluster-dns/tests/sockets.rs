//! Questions over real sockets, with another resolver behind.
#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::Informer;
use cluster_dns::catalog::Catalog;
use cluster_dns::forward::Forwarder;
use cluster_dns::handler::Handler;
use cluster_dns::run::{bind, serve};
use cluster_dns::zone::Zone;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(5);

fn object<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// A catalog with one service, one alias and a headless service of 100 endpoints.
fn catalog() -> Catalog {
    let service = |name: &str, spec: Value| {
        object(json!({ "metadata": { "namespace": "ns", "name": name }, "spec": spec }))
    };
    let services: Vec<Service> = vec![
        service(
            "web",
            json!({ "clusterIP": "10.96.0.1", "ports": [{ "name": "http", "port": 80 }] }),
        ),
        service(
            "many",
            json!({ "clusterIP": "None", "ports": [{ "name": "http", "port": 80 }] }),
        ),
        service(
            "out",
            json!({ "type": "ExternalName", "externalName": "www.example" }),
        ),
        service(
            "loop",
            json!({ "type": "ExternalName", "externalName": "loop.ns.svc.cluster.local" }),
        ),
    ];
    let endpoints: Vec<Value> = (0..100)
        .map(|index| json!({ "addresses": [format!("10.244.0.{index}")] }))
        .collect();
    let slice: EndpointSlice = object(json!({
        "metadata": { "namespace": "ns", "name": "many-1", "labels": { "kubernetes.io/service-name": "many" } },
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{ "name": "http", "port": 80 }],
    }));
    let namespace: Namespace = object(json!({ "metadata": { "name": "ns" } }));
    Catalog::new(
        Informer::fixed(services),
        Informer::fixed([slice]),
        Informer::fixed([namespace]),
    )
}

/// A resolver that knows www.example and big.example, and counts what it is asked.
fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut answer = upstream_answer(&buffer[..length]);
            if answer.queries[0].name().to_ascii().starts_with("big") {
                answer.answers.clear();
                answer.metadata.truncation = true;
            }
            socket.send_to(&answer.to_vec().unwrap(), peer).unwrap();
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_tcp(&mut stream);
            let answer = upstream_answer(&request).to_vec().unwrap();
            stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    (address, count)
}

fn upstream_answer(request: &[u8]) -> Message {
    let request = Message::from_vec(request).unwrap();
    let query = request.queries[0].clone();
    let mut answer = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    answer.add_query(query.clone());
    if query.name().to_ascii().ends_with("example.") {
        let data = RData::A(A("192.0.2.1".parse().unwrap()));
        answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
    } else {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    answer
}

fn read_tcp(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

async fn start(upstreams: Vec<SocketAddr>) -> SocketAddr {
    let handler = Handler {
        zone: Zone::new("cluster.local", 5, vec![]).unwrap(),
        catalog: catalog(),
        forwarder: Forwarder::new(upstreams),
    };
    let (udp, tcp) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = udp.local_addr().unwrap();
    tokio::spawn(serve(handler, udp, tcp, CancellationToken::new()));
    address
}

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

async fn ask(server: SocketAddr, message: Message) -> Message {
    let bytes = ask_raw(server, message.to_vec().unwrap()).await;
    let answer = Message::from_vec(&bytes).unwrap();
    assert_eq!(answer.metadata.id, 4711);
    answer
}

async fn ask_raw(server: SocketAddr, message: Vec<u8>) -> Vec<u8> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(&message).await.unwrap();
    let mut buffer = vec![0; 65536];
    let length = tokio::time::timeout(TIMEOUT, socket.recv(&mut buffer))
        .await
        .expect("an answer")
        .unwrap();
    buffer.truncate(length);
    buffer
}

async fn ask_tcp(server: SocketAddr, message: Message) -> Message {
    let bytes = message.to_vec().unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(server).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(&(bytes.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
        read_tcp(&mut stream)
    });
    Message::from_vec(&answer.await.unwrap()).unwrap()
}

#[tokio::test]
async fn names_of_the_cluster_are_answered_with_authority() {
    let server = start(vec![]).await;
    let answer = ask(server, question("Web.ns.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(
        answer.metadata.authoritative
            && answer.metadata.recursion_available
            && answer.metadata.recursion_desired
    );
    assert_eq!(answer.answers[0].data.to_string(), "10.96.0.1");
    assert_eq!(
        answer.queries[0].name().to_ascii(),
        "Web.ns.svc.cluster.local.",
        "in the case of the question"
    );

    let answer = ask(server, question("none.ns.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    let answer = ask(server, question("web.ns.svc.cluster.local.", RecordType::AAAA)).await;
    assert_eq!(
        (answer.metadata.response_code, answer.answers.len()),
        (ResponseCode::NoError, 0)
    );
    assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    let answer = ask(
        server,
        question("_http._tcp.web.ns.svc.cluster.local.", RecordType::SRV),
    )
    .await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (1, 1));
}

#[tokio::test]
async fn long_answers_are_cut_over_udp_and_whole_over_tcp() {
    let server = start(vec![]).await;
    let name = "many.ns.svc.cluster.local.";
    let answer = ask(server, question(name, RecordType::A)).await;
    assert!(
        answer.metadata.truncation && answer.answers.len() < 40,
        "{}",
        answer.answers.len()
    );
    let mut with_edns = question(name, RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    with_edns.set_edns(edns);
    let answer = ask(server, with_edns).await;
    assert!(answer.metadata.truncation && answer.answers.len() > 40 && answer.edns.is_some());
    let first = ask_tcp(server, question(name, RecordType::A)).await;
    assert_eq!((first.metadata.truncation, first.answers.len()), (false, 100));
    let second = ask_tcp(server, question(name, RecordType::A)).await;
    assert_ne!(first.answers, second.answers, "in changing order");
}

#[tokio::test]
async fn the_rest_is_forwarded_and_kept() {
    let (upstream, count) = upstream();
    let server = start(vec![upstream]).await;
    for _ in 0..3 {
        let answer = ask(server, question("www.example.", RecordType::A)).await;
        assert_eq!(answer.answers[0].data.to_string(), "192.0.2.1");
        assert!(!answer.metadata.authoritative);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let answer = ask(server, question("big.example.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1, "asked again over TCP");
    let answer = ask(server, question("none.test.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let answer = ask(server, question("out.ns.svc.cluster.local.", RecordType::A)).await;
    let texts: Vec<String> = answer
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    assert_eq!(texts, ["www.example.", "192.0.2.1"]);
    let answer = ask(server, question("loop.ns.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn another_resolver_is_asked_when_one_is_silent_or_none_is_there() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (upstream, _) = upstream();
    let server = start(vec![silent.local_addr().unwrap(), upstream]).await;
    let answer = ask(server, question("www.example.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
    let server = start(vec![]).await;
    let answer = ask(server, question("www.example.", RecordType::A)).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn odd_requests_are_refused_and_the_server_lives() {
    let server = start(vec![]).await;
    let mut chaos = question("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(
        ask(server, chaos).await.metadata.response_code,
        ResponseCode::Refused
    );
    assert_eq!(
        ask(server, question("cluster.local.", RecordType::AXFR))
            .await
            .metadata
            .response_code,
        ResponseCode::Refused
    );
    let update = Message::new(4711, MessageType::Query, OpCode::Update);
    assert_eq!(
        ask(server, update).await.metadata.response_code,
        ResponseCode::NotImp
    );
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for garbage in [&b""[..], b"x", &[0xff; 600]] {
        socket.send_to(garbage, server).unwrap();
    }
    let answer = ask(server, question("web.ns.svc.cluster.local.", RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
}
