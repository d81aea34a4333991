//! HTTP/2 frames as no honest client sends them.

use super::wire::{PATIENCE, Target};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;

/// The connection ended without a GOAWAY.
pub const CLOSED: u32 = u32::MAX;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub fn head(length: u32, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes()].concat()
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [
        head(payload.len() as u32, kind, flags, stream).as_slice(),
        payload,
    ]
    .concat()
}

/// `GET /` as a whole request.
pub fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0x5, stream, b"\x82\x84\x87\x41\x01x")
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// A header of a name of one letter and a value of this length, which the table doesn't keep.
pub fn literal(length: usize) -> Vec<u8> {
    let rest = length - 127;
    let mut field = b"\x00\x01x\x7f".to_vec();
    field.extend([(rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8]);
    field.extend(vec![b'y'; length]);
    field
}

async fn begun(target: &Target) -> TlsStream<TcpStream> {
    let mut stream = target.connect(b"h2").await;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// Sends frames on a new connection; the error code with which the server ends it.
pub async fn send(target: &Target, bytes: Vec<u8>) -> u32 {
    let (mut reader, mut writer) = tokio::io::split(begun(target).await);
    let writing = async move {
        let _ = writer.write_all(&bytes).await;
        let _ = writer.flush().await;
        // Kept open: the server is to end it.
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            let mut head = [0; 9];
            if reader.read_exact(&mut head).await.is_err() {
                return CLOSED;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            if reader.read_exact(&mut payload).await.is_err() {
                return CLOSED;
            }
            if head[3] == GOAWAY {
                return u32::from_be_bytes(payload[4..8].try_into().unwrap());
            }
        }
    };
    let ended = async {
        tokio::select! {
            code = reading => code,
            () = writing => CLOSED,
        }
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the server ends the connection")
}

/// Sends frames and reads nothing; gives up when the server takes no more, or has ended the connection.
pub async fn push_unread(target: &Target, bytes: Vec<u8>) -> TlsStream<TcpStream> {
    let mut stream = begun(target).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.write_all(&bytes)).await;
    stream
}
