//! Acknowledgements of pings travel with the next call.
//!
//! etcd measures the bandwidth of a connection by a ping for each message that it receives. An acknowledgement written
//! by itself costs a system call and wakes etcd, as much as the question for the newest revision does; held back until
//! the next call it costs nothing, and etcd asks for no other meanwhile.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long one waits for a call at most; etcd gives a silent client up after 20 s.
const HELD: Duration = Duration::from_secs(1);
/// Length, type, flags and stream of a frame that acknowledges a ping; eight bytes of the ping follow.
const HEAD: [u8; 9] = [0, 0, 8, 6, 1, 0, 0, 0, 0];
const LENGTH: usize = HEAD.len() + 8;

/// The stream below a connection.
pub(super) struct Acknowledging<S> {
    stream: S,
    /// Written to by the connection and not yet to the stream.
    held: Vec<u8>,
    /// When they go by themselves. It isn't set anew for each, which would cost more than it is worth.
    due: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Acknowledging<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            held: Vec::new(),
            due: Box::pin(sleep(HELD)),
        }
    }

    /// Takes a lone acknowledgement. Whatever else looks like one is late, not lost.
    fn hold(&mut self, bytes: &[u8]) -> bool {
        let lone = bytes.len() == LENGTH && bytes.starts_with(&HEAD);
        if lone && self.held.is_empty() && self.due.is_elapsed() {
            self.due.as_mut().reset(Instant::now() + HELD);
        }
        if lone {
            self.held.extend_from_slice(bytes);
        }
        lone
    }

    /// Writes what is held and then `slices`; gives how much of those.
    fn poll_write_behind(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let mut all = Vec::with_capacity(1 + slices.len());
            all.push(IoSlice::new(&self.held));
            all.extend_from_slice(slices);
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, &all))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let behind = written.saturating_sub(self.held.len());
            self.held.drain(..written.min(self.held.len()));
            if behind > 0 {
                return Poll::Ready(Ok(behind));
            }
        }
        if slices.is_empty() {
            return Poll::Ready(Ok(0));
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn poll_release(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_behind(context, &[]).map_ok(|_| ())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Acknowledging<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Acknowledging<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            [alone] if self.hold(alone) => Poll::Ready(Ok(alone.len())),
            _ => self.poll_write_behind(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// What is held stays until it is due, and then the connection is woken to flush again.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.held.is_empty() && self.due.as_mut().poll(context).is_ready() {
            ready!(self.poll_release(context))?;
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_release(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn acknowledgement(number: u8) -> Vec<u8> {
        [&HEAD[..], &[number; 8]].concat()
    }

    #[tokio::test(start_paused = true)]
    async fn they_go_with_the_next_call_or_when_they_are_due() {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut stream = Acknowledging::new(near);
        let mut found = [0; 256];
        for call in ["one", "two"] {
            for number in [1, 2] {
                stream.write_all(&acknowledgement(number)).await.unwrap();
                stream.flush().await.unwrap();
            }
            let nothing = tokio::time::timeout(Duration::ZERO, far.read(&mut found)).await;
            assert!(nothing.is_err(), "held");
            stream.write_all(call.as_bytes()).await.unwrap();
            let want = [&acknowledgement(1)[..], &acknowledgement(2), call.as_bytes()].concat();
            far.read_exact(&mut found[..want.len()]).await.unwrap();
            assert_eq!(found[..want.len()], want);
        }
        stream.write_all(&acknowledgement(3)).await.unwrap();
        let flushing = async {
            // As a connection does that is woken by what it was told to wait for.
            while !stream.held.is_empty() {
                stream.flush().await.unwrap();
                stream.due.as_mut().await;
            }
        };
        let before = Instant::now();
        flushing.await;
        assert!(before.elapsed() <= HELD);
        far.read_exact(&mut found[..LENGTH]).await.unwrap();
        assert_eq!(found[..LENGTH], acknowledgement(3));
    }

    #[tokio::test]
    async fn a_slow_peer_gets_everything_in_order() {
        let (near, mut far) = tokio::io::duplex(5);
        let mut stream = Acknowledging::new(near);
        let mut want = Vec::new();
        for number in 0..20 {
            want.extend(acknowledgement(number));
            want.extend(vec![number; usize::from(number)]);
        }
        let sent = want.clone();
        let writer = tokio::spawn(async move {
            let mut rest = &sent[..];
            for number in 0..20 {
                let (acknowledgement, behind) = rest.split_at(LENGTH);
                stream.write_all(acknowledgement).await.unwrap();
                let (call, behind) = behind.split_at(number);
                stream.write_all(call).await.unwrap();
                rest = behind;
            }
            stream.shutdown().await.unwrap();
        });
        let mut found = Vec::new();
        far.read_to_end(&mut found).await.unwrap();
        writer.await.unwrap();
        assert_eq!(found, want);
    }
}
