//! Writes of one turn of a connection, sent together.
//!
//! HTTP/2 writes and flushes each frame by itself. When many streams have something to send, as when a hundred watches
//! get the same event, each frame became a TLS record and a system call of its own. Here a flush is only noted, and
//! done by who drives the connection when it has nothing more to do.

use parking_lot::Mutex;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that wait at most; a flush beyond is done at once.
const LIMIT: usize = 64 * 1024;
/// What a buffer is made for: what may wait, and the write that goes beyond it. HTTP/2 writes a frame, which has 16 KiB
/// unless the peer asked for larger ones.
const ROOM: usize = LIMIT + 24 * 1024;

thread_local! {
    /// The buffer of the thread's connections, which write one after another. Idle connections are many, so none keeps
    /// one; and one that grows with each response copies what it holds each time.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's buffer, or another while a slow peer holds that up.
fn take_buffer() -> Vec<u8> {
    let spare = SPARE.take();
    if spare.capacity() > 0 {
        return spare;
    }
    Vec::with_capacity(ROOM)
}

/// A written buffer is for the thread's next connection, unless a large write made it grow.
fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    // None was taken when there is nothing to write.
    if (1..=ROOM).contains(&buffer.capacity()) {
        SPARE.set(buffer);
    }
}

struct State<S> {
    stream: S,
    waiting: Vec<u8>,
    /// Bytes at the front of `waiting` that are written already.
    written: usize,
    /// Whether anything was written that the stream itself may still hold.
    dirty: bool,
    /// Whether flushes are put off.
    corked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> State<S> {
    /// Writes what waits.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.waiting.len() {
            let rest = &self.waiting[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        self.written = 0;
        give_back(std::mem::take(&mut self.waiting));
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dirty {
            ready!(self.poll_drain(context))?;
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what waits if it is much.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.len() - self.written < LIMIT {
            return Poll::Ready(Ok(()));
        }
        self.poll_drain(context)
    }

    /// Where a write goes, once there is room for it.
    fn poll_buffer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&mut Vec<u8>>> {
        ready!(self.poll_room(context))?;
        self.dirty = true;
        if self.waiting.capacity() == 0 {
            self.waiting = take_buffer();
        }
        Poll::Ready(Ok(&mut self.waiting))
    }
}

/// The stream that a connection is served on.
pub struct Corked<S>(Arc<Mutex<State<S>>>);

/// Flushes it; for who drives the connection.
pub struct Cork<S>(Arc<Mutex<State<S>>>);

/// Splits a stream into what the connection uses and what flushes it. Only HTTP/2 is worth it, and only there does
/// the stream stay with the connection: one that is upgraded has nobody to flush it.
pub fn corked<S>(stream: S, is_http2: bool) -> (Corked<S>, Cork<S>) {
    let state = Arc::new(Mutex::new(State {
        stream,
        waiting: Vec::new(),
        written: 0,
        dirty: false,
        corked: is_http2,
    }));
    (Corked(Arc::clone(&state)), Cork(state))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Cork<S> {
    /// Sends what waits; when the peer is slow the connection is woken once it can take more.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.corked {
            state.poll_flush(context)
        } else {
            Poll::Ready(Ok(()))
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        // What is upgraded may be dropped without a flush, when the other side ends with an error: nothing waits here.
        if !state.corked {
            return Pin::new(&mut state.stream).poll_write(context, bytes);
        }
        ready!(state.poll_buffer(context))?.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if !state.corked {
            return Pin::new(&mut state.stream).poll_write_vectored(context, slices);
        }
        let waiting = ready!(state.poll_buffer(context))?;
        let before = waiting.len();
        for slice in slices {
            waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(waiting.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Done later, unless much waits.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.corked {
            state.poll_room(context)
        } else {
            Pin::new(&mut state.stream).poll_flush(context)
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(state.poll_flush(context))?;
        Pin::new(&mut state.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn writes_wait_for_the_flush_and_arrive_whole() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut corked, cork) = corked(near, true);
        corked.write_all(b"one ").await.unwrap();
        corked.flush().await.unwrap();
        corked.write_all(b"two").await.unwrap();
        let mut found = [0; 7];
        // Zero time: whatever had been sent would be there.
        let nothing = tokio::time::timeout(std::time::Duration::ZERO, far.read(&mut found)).await;
        assert!(nothing.is_err(), "nothing is sent before the flush");
        std::future::poll_fn(|context| cork.poll_flush(context))
            .await
            .unwrap();
        far.read_exact(&mut found).await.unwrap();
        assert_eq!(&found, b"one two");
    }

    #[tokio::test]
    async fn an_upgraded_stream_that_is_dropped_has_sent_everything() {
        let (near, mut far) = tokio::io::duplex(1 << 20);
        let (mut plain, cork) = corked(near, false);
        plain.write_all(b"last words").await.unwrap();
        drop((plain, cork));
        let mut found = Vec::new();
        far.read_to_end(&mut found).await.unwrap();
        assert_eq!(found, b"last words");
    }

    #[tokio::test]
    async fn a_threads_connections_write_into_one_buffer() {
        let spare = || {
            let spare = SPARE.take();
            let found = (spare.as_ptr(), spare.capacity());
            SPARE.set(spare);
            found
        };
        let mut seen = Vec::new();
        for size in [1, LIMIT, 1000] {
            let (near, mut far) = tokio::io::duplex(1 << 20);
            let (mut corked, cork) = corked(near, true);
            corked.write_all(&vec![7; size]).await.unwrap();
            assert_eq!(spare().1, 0, "it is taken");
            // The second flush finds nothing to write.
            for _ in 0..2 {
                std::future::poll_fn(|context| cork.poll_flush(context))
                    .await
                    .unwrap();
            }
            far.read_exact(&mut vec![0; size]).await.unwrap();
            assert_eq!(cork.0.lock().waiting.capacity(), 0, "an idle connection has none");
            seen.push(spare());
        }
        assert!(
            seen[0].1 >= LIMIT && seen.iter().all(|found| *found == seen[0]),
            "{seen:?}"
        );
    }

    #[tokio::test]
    async fn a_slow_peer_holds_the_writer_up() {
        let (near, mut far) = tokio::io::duplex(1000);
        let (mut corked, cork) = corked(near, true);
        let data: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
        let sent = data.clone();
        let writer = tokio::spawn(async move {
            corked.write_all(&sent).await.unwrap();
            std::future::poll_fn(|context| cork.poll_flush(context))
                .await
                .unwrap();
        });
        let mut found = vec![0; data.len()];
        far.read_exact(&mut found).await.unwrap();
        writer.await.unwrap();
        assert_eq!(found, data);
    }
}
