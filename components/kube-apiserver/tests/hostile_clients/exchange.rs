//! One request, sent as it stands, and what became of it.

use super::wire::{PATIENCE, Target};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// 0 when the connection ended without an answer.
    pub code: u16,
    /// Whether the server ended the connection soon after.
    pub closed: bool,
}

impl Target {
    /// Sends bytes as HTTP/1.1 and reads the first answer.
    pub async fn exchange(&self, bytes: &[u8]) -> Answer {
        let (mut reader, mut writer) = tokio::io::split(self.connect(b"http/1.1").await);
        // The server may answer and go before it has read everything.
        let writing = async {
            let _ = writer.write_all(bytes).await;
            let _ = writer.flush().await;
        };
        let reading = async {
            let (mut text, mut chunk) = (Vec::new(), [0; 4096]);
            while !text.windows(4).any(|end| end == b"\r\n\r\n") {
                match reader.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => text.extend(&chunk[..read]),
                }
            }
            let head = String::from_utf8_lossy(&text).into_owned();
            let code = head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0);
            let closed = code == 0 || {
                let rest = async { while matches!(reader.read(&mut chunk).await, Ok(1..)) {} };
                tokio::time::timeout(Duration::from_secs(2), rest).await.is_ok()
            };
            Answer { code, closed }
        };
        let both = async { tokio::join!(writing, reading).1 };
        tokio::time::timeout(PATIENCE, both)
            .await
            .expect("an answer or the end of the connection")
    }
}
