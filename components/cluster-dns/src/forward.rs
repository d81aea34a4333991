//! Asks other resolvers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{LowerName, Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::cache::{Cache, Forwarded};

/// Time that one resolver has, each time it is asked.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How often all resolvers are asked before the client is told of a failure. Clients give up after 5 s.
const ROUNDS: usize = 2;
/// What fits into one packet on every path (DNS flag day 2020).
pub const MAX_PAYLOAD: u16 = 1232;

/// Why no resolver gave an answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("no resolver is configured")]
    NoResolver,
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("cannot talk to the resolver")]
    Talk(#[from] std::io::Error),
    #[error("the resolver's answer is malformed")]
    Malformed(#[source] hickory_proto::ProtoError),
}

/// Other resolvers with a cache of what they said.
pub struct Forwarder {
    upstreams: Vec<SocketAddr>,
    cache: Cache,
}

impl Forwarder {
    pub fn new(upstreams: Vec<SocketAddr>) -> Forwarder {
        Forwarder {
            upstreams,
            cache: Cache::default(),
        }
    }

    /// Asks one resolver after the other.
    pub async fn resolve(&self, name: &Name, record_type: RecordType) -> Result<Forwarded, ForwardError> {
        let key = LowerName::new(name);
        if let Some(known) = self.cache.get(&key, record_type, Instant::now()) {
            return Ok(known);
        }
        let mut last = Err(ForwardError::NoResolver);
        for upstream in self.upstreams.iter().cycle().take(self.upstreams.len() * ROUNDS) {
            let asked = ask(*upstream, name, record_type).await;
            match asked {
                // Another resolver may do better.
                Ok(forwarded) if matches!(forwarded.code, ResponseCode::ServFail | ResponseCode::Refused) => {
                    last = Ok(forwarded);
                }
                Ok(forwarded) => {
                    self.cache.put(key, record_type, &forwarded, Instant::now());
                    return Ok(forwarded);
                }
                Err(error) => {
                    tracing::debug!(%upstream, %name, %error, "resolver failed");
                    if last.is_err() {
                        last = Err(error);
                    }
                }
            }
        }
        last
    }
}

async fn ask(upstream: SocketAddr, name: &Name, record_type: RecordType) -> Result<Forwarded, ForwardError> {
    // A random number and, by the new socket, a random port: an answer cannot be forged blindly.
    let id: u16 = rand::random();
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), record_type));
    let mut edns = Edns::new();
    edns.set_max_payload(MAX_PAYLOAD);
    message.set_edns(edns);
    let request = message.to_vec().map_err(ForwardError::Malformed)?;

    let answer = timeout(TIMEOUT, over_udp(upstream, &request, &message))
        .await
        .map_err(|_| ForwardError::Timeout)??;
    let answer = match answer.metadata.truncation {
        true => timeout(TIMEOUT, over_tcp(upstream, &request))
            .await
            .map_err(|_| ForwardError::Timeout)??,
        false => answer,
    };
    if !matches(&answer, &message) {
        return Err(ForwardError::Talk(std::io::ErrorKind::InvalidData.into()));
    }
    Ok(Forwarded {
        code: answer.metadata.response_code,
        answers: answer.answers,
        authorities: answer.authorities,
    })
}

fn matches(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer
            .queries
            .iter()
            .all(|query| question.queries.contains(query))
}

async fn over_udp(upstream: SocketAddr, request: &[u8], question: &Message) -> Result<Message, ForwardError> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => ([0u8; 4], 0).into(),
        SocketAddr::V6(_) => ([0u8; 16], 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(upstream).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What doesn't belong to the question is ignored; the right answer may still come.
        if let Ok(answer) = Message::from_vec(&buffer[..length])
            && matches(&answer, question)
        {
            return Ok(answer);
        }
    }
}

async fn over_tcp(upstream: SocketAddr, request: &[u8]) -> Result<Message, ForwardError> {
    let mut stream = TcpStream::connect(upstream).await?;
    let length =
        u16::try_from(request.len()).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    stream
        .write_all(&[&length.to_be_bytes(), request].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Message::from_vec(&buffer).map_err(|error| ForwardError::Malformed(error.into()))
}
