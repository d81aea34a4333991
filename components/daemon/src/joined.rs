//! Two connections joined into one: what comes on one goes out on the other.

use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::Instant;

const BLOCK: usize = 16 << 10;
/// A client has this long to close after its server has; what it still sends is read and dropped, since closing a connection
/// with something unread in it takes from the other side what it has not read yet.
const PARTING: Duration = Duration::from_secs(5);

/// Blocks of a second at the least, so that a slow connection is slow all the time and not now and then.
const BLOCKS_PER_SECOND: u64 = 10;

/// Carries bytes both ways until the server has ended, or both have. What has been read is passed on before an end, also
/// an end by an error: a server that drops a TLS connection has said everything it wanted to.
pub async fn join<C, S>(client: C, server: S)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    join_at(client, server, 0).await;
}

/// The same with at most `bytes_per_second` in each direction; 0 is no limit. What comes faster is not read, so its sender has
/// to wait.
pub async fn join_at<C, S>(client: C, server: S, bytes_per_second: u64)
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    let requests = carry(from_client, to_server, Pace::of(bytes_per_second));
    tokio::pin!(requests);
    let answers = carry(from_server, to_client, Pace::of(bytes_per_second));
    tokio::pin!(answers);
    tokio::select! {
        () = &mut answers => drop(tokio::time::timeout(PARTING, requests).await),
        () = &mut requests => answers.await,
    }
}

/// When the next block may be read.
struct Pace {
    bytes_per_second: u64,
    next: Instant,
}

impl Pace {
    fn of(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            next: Instant::now(),
        }
    }

    /// Bytes that may be read at once.
    fn block(&self) -> usize {
        let block = match self.bytes_per_second {
            0 => return BLOCK,
            rate => usize::try_from(rate.div_ceil(BLOCKS_PER_SECOND)),
        };
        block.unwrap_or(BLOCK).min(BLOCK)
    }

    /// Waits until the bytes before have had their time.
    async fn wait(&self) {
        if self.bytes_per_second > 0 {
            tokio::time::sleep_until(self.next).await;
        }
    }

    /// A pause before is not made up for.
    fn count(&mut self, length: usize) {
        if self.bytes_per_second > 0 {
            let time = Duration::from_secs_f64(length as f64 / self.bytes_per_second as f64);
            self.next = self.next.max(Instant::now()) + time;
        }
    }
}

/// Until the reader's end, which the writer is told. After a failure of the writer what is read is dropped.
async fn carry(mut reader: impl AsyncRead + Unpin, writer: impl AsyncWrite + Unpin, mut pace: Pace) {
    let mut writer = Some(writer);
    let mut block = vec![0; pace.block()];
    loop {
        pace.wait().await;
        let length = match reader.read(&mut block).await {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) => {
                tracing::debug!(%error, "a joined connection ended");
                break;
            }
        };
        pace.count(length);
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

    #[tokio::test(start_paused = true)]
    async fn no_direction_is_faster_than_allowed() {
        let (mut client, near) = duplex(64 << 10);
        let (far, mut server) = duplex(64 << 10);
        let joined = tokio::spawn(join_at(near, far, 1000));
        client.write_all(&[b'q'; 5000]).await.unwrap();
        server.write_all(&[b'a'; 3000]).await.unwrap();
        let began = Instant::now();
        let mut bytes = [0; 5000];
        client.read_exact(&mut bytes[..3000]).await.unwrap();
        let answered = began.elapsed().as_millis();
        server.read_exact(&mut bytes).await.unwrap();
        let asked = began.elapsed().as_millis();
        // The first block of a tenth of a second goes at once.
        assert!((2900..3000).contains(&answered), "{answered} ms");
        assert!((4900..5000).contains(&asked), "{asked} ms");
        drop((client, server));
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
