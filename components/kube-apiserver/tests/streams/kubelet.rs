//! A kubelet that takes connections, hands them out, and speaks SPDY/3.1 if the test wants it to. It reads what is sent with
//! zlib and a parser of its own, so that both sides can't be wrong in the same way.

use flate2::{Decompress, FlushDecompress};
use std::collections::BTreeMap;
use testkit::cluster_pki::ClusterPki;
use testkit::tls_front::TlsFront;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::PATIENCE;

use crate::wire;

/// Listens behind TLS.
pub struct Kubelet {
    listener: TcpListener,
    front: TlsFront,
}

impl Kubelet {
    pub async fn start(pki: &ClusterPki) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let front = TlsFront::start(pki, port).await.unwrap();
        Self { listener, front }
    }

    pub fn port(&self) -> u16 {
        self.front.port()
    }

    /// The next request, in lower case but for its first line, and its connection.
    pub async fn asked(&self) -> (String, TcpStream) {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (mut stream, _) = accepted.unwrap().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (first, rest) = head.split_once("\r\n").unwrap();
        (format!("{first}\r\n{}", rest.to_ascii_lowercase()), stream)
    }

    /// The next request, which must be for SPDY, and what is said after it was granted with the version `protocol`.
    pub async fn speaks_spdy(&self, protocol: &str) -> (String, Spdy) {
        let (head, mut stream) = self.asked().await;
        for line in [
            "upgrade: spdy/3.1".to_owned(),
            format!("x-stream-protocol-version: {protocol}"),
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        assert!(!head.contains("sec-websocket"), "{head}");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        (head, Spdy::new(stream))
    }
}

/// What a client of SPDY says.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A stream is opened, with its headers.
    Open(u32, BTreeMap<String, String>),
    Data(u32, Vec<u8>),
    /// Nothing more comes on a stream.
    Finished(u32),
}

/// The server's side of a connection.
pub struct Spdy {
    pub stream: TcpStream,
    headers: Decompress,
}

impl Spdy {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            headers: Decompress::new(true),
        }
    }

    /// Pings aside; an end without any data is one message.
    pub async fn next(&mut self) -> Said {
        tokio::time::timeout(PATIENCE, self.frame()).await.unwrap()
    }

    async fn frame(&mut self) -> Said {
        loop {
            let (first, second) = (
                self.stream.read_u32().await.unwrap(),
                self.stream.read_u32().await.unwrap(),
            );
            let (flags, length) = (second >> 24, second & 0x00ff_ffff);
            let mut body = vec![0; length as usize];
            self.stream.read_exact(&mut body).await.unwrap();
            match first {
                0x8003_0001 => {
                    let stream = u32::from_be_bytes(body[..4].try_into().unwrap());
                    return Said::Open(stream, self.read_headers(&body[10..]));
                }
                0x8003_0006 => {}
                control if control >> 31 == 1 => panic!("frame {control:x}"),
                stream if flags & 1 == 1 => {
                    assert!(body.is_empty(), "data in the last frame");
                    return Said::Finished(stream);
                }
                stream => return Said::Data(stream, body),
            }
        }
    }

    fn read_headers(&mut self, block: &[u8]) -> BTreeMap<String, String> {
        let mut plain = Vec::with_capacity(4096);
        self.headers
            .decompress_vec(block, &mut plain, FlushDecompress::Sync)
            .unwrap();
        let mut rest = plain.as_slice();
        let number = |rest: &mut &[u8]| {
            let (head, tail) = rest.split_first_chunk::<4>().unwrap();
            *rest = tail;
            u32::from_be_bytes(*head) as usize
        };
        let count = number(&mut rest);
        let mut text = || {
            let length = number(&mut rest);
            let (head, tail) = rest.split_at(length);
            rest = tail;
            String::from_utf8(head.to_vec()).unwrap()
        };
        (0..count).map(|_| (text(), text())).collect()
    }

    /// The streams that a client opens, by their types.
    pub async fn streams(&mut self, count: usize) -> BTreeMap<String, u32> {
        let mut streams = BTreeMap::new();
        for _ in 0..count {
            match self.next().await {
                Said::Open(stream, headers) => {
                    streams.insert(headers["streamtype"].clone(), stream);
                }
                other => panic!("{other:?}"),
            }
        }
        streams
    }

    /// Says something on a stream, and perhaps nothing more.
    pub async fn say(&mut self, stream: u32, bytes: &[u8], last: bool) {
        self.stream.write_u32(stream).await.unwrap();
        let flags = u32::from(last) << 24;
        self.stream
            .write_u32(flags | u32::try_from(bytes.len()).unwrap())
            .await
            .unwrap();
        self.stream.write_all(bytes).await.unwrap();
    }
}
