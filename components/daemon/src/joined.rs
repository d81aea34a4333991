//! Two connections joined into one: what comes on one goes out on the other.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};

const BLOCK: usize = 16 << 10;
/// A client has this long to close after its server has; what it still sends is read and dropped, since closing a connection
/// with something unread in it takes from the other side what it has not read yet.
const PARTING: Duration = Duration::from_secs(5);

/// Carries bytes both ways until the server has ended, or both have. What has been read is passed on before an end, also
/// an end by an error: a server that drops a TLS connection has said everything it wanted to.
pub async fn join<C, S>(client: C, server: S)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let requests = carry(from_client, to_server);
    tokio::pin!(requests);
    let answers = carry(from_server, to_client);
    tokio::pin!(answers);
    tokio::select! {
        () = &mut answers => drop(tokio::time::timeout(PARTING, requests).await),
        () = &mut requests => answers.await,
    }
}

/// Until the reader's end, which the writer is told. After a failure of the writer what is read is dropped.
async fn carry(mut reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin) {
    let mut writer = Some(writer);
    let mut block = vec![0; BLOCK];
    loop {
        let length = match reader.read(&mut block).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                tracing::debug!(%error, "a joined connection ended");
                break;
            }
        };
        let Some(open) = &mut writer else { continue };
        let written = async {
            open.write_all(&block[..length]).await?;
            open.flush().await
        };
        if let Err(error) = written.await {
            tracing::debug!(%error, "a joined connection takes no more");
            writer = None;
        }
    }
    if let Some(mut writer) = writer {
        // The other side may have closed already.
        drop(writer.shutdown().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tokio::io::duplex;

    #[tokio::test]
    async fn both_directions_end_on_their_own() {
        let (mut client, near) = duplex(2048);
        let (far, mut server) = duplex(2048);
        let joined = tokio::spawn(join(near, far));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        server.write_all(&[b'a'; 1000]).await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((question.as_str(), answer.len()), ("question", 1000));
        joined.await.unwrap();
    }

    /// Says something and then fails, as a TLS connection that ends without a close does.
    struct Cut(Option<&'static [u8]>);

    impl AsyncRead for Cut {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(match self.0.take() {
                Some(said) => {
                    buffer.put_slice(said);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            })
        }
    }

    impl AsyncWrite for Cut {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }
        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }

    /// Regression: the last bytes of a command's output were lost when the kubelet closed before they had been passed on.
    #[tokio::test]
    async fn what_was_said_before_an_error_arrives() {
        // Takes less at once than there is, so that the end is seen while something is still to be written.
        let (mut client, near) = duplex(3);
        let joined = tokio::spawn(join(near, Cut(Some(b"the last words"))));
        client.write_all(b"is dropped").await.unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "the last words");
        drop(client);
        joined.await.unwrap();
    }
}
