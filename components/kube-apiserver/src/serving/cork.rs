//! Writes of one turn of a connection, sent together.
//!
//! HTTP/2 writes and flushes each frame by itself. When many streams have something to send, as when a hundred watches
//! get the same event, each frame became a TLS record and a system call of its own. Here a flush is only noted, and
//! done by who drives the connection when it has nothing more to do. What is large is encrypted at once, from where it
//! is; only small frames are gathered first, until they are worth a record.

use parking_lot::Mutex;
use std::cell::Cell;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// Bytes that wait at most, encrypted; what comes then is held up until they are sent.
const LIMIT: usize = 64 * 1024;
/// Bytes of a TLS record.
const RECORD: usize = 16 * 1024;
/// A write of so many bytes costs more to copy than a record of its own does.
const LARGE: usize = 2 * 1024;
/// Slices that are encrypted together; HTTP/2 has two for a frame, and as many as a list has objects in it.
const TOGETHER: usize = 64;

thread_local! {
    /// The buffer of the thread's connections, which write one after another. Idle connections are many, so none keeps
    /// one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The thread's buffer, or another while a slow peer holds that up.
fn take_buffer() -> Vec<u8> {
    let spare = SPARE.take();
    if spare.capacity() > 0 {
        return spare;
    }
    Vec::with_capacity(RECORD)
}

fn give_back(mut buffer: Vec<u8>) {
    buffer.clear();
    // None was taken when there is nothing to write.
    if buffer.capacity() > 0 {
        SPARE.set(buffer);
    }
}

/// A stream that encrypts what it is given, and sends it when it is flushed.
pub trait Sealing: AsyncRead + AsyncWrite + Unpin {
    /// Takes bytes without sending them, and says how many.
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sealing for TlsStream<S> {
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.get_mut().1.writer().write_vectored(slices)
    }
}

struct State<S> {
    stream: S,
    /// Small writes, not encrypted yet; at most a record.
    waiting: Vec<u8>,
    /// Bytes that the stream has encrypted and not sent.
    sealed: usize,
    /// Whether anything was written that is not sent.
    dirty: bool,
    /// Whether flushes are put off.
    corked: bool,
}

impl<S: Sealing> State<S> {
    /// Encrypts what waits and up to `room` bytes in all. The number of bytes of `slices` among it.
    fn seal(&mut self, slices: &[IoSlice<'_>], room: usize) -> io::Result<usize> {
        let mut offered = [IoSlice::new(&[]); TOGETHER];
        let (mut count, mut left) = (0, room);
        let own = [IoSlice::new(&self.waiting)];
        for slice in own.iter().chain(slices) {
            if count == TOGETHER || left == 0 {
                break;
            }
            if !slice.is_empty() {
                let bytes = &slice[..slice.len().min(left)];
                left -= bytes.len();
                offered[count] = IoSlice::new(bytes);
                count += 1;
            }
        }
        let taken = self.stream.seal(&offered[..count])?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.sealed += taken;
        let own = taken.min(self.waiting.len());
        self.waiting.drain(..own);
        Ok(taken - own)
    }

    /// Sends everything.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.seal(&[], RECORD)?;
        }
        give_back(std::mem::take(&mut self.waiting));
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.sealed = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dirty {
            ready!(self.poll_drain(context))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what waits if it is much.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.sealed < LIMIT {
            return Poll::Ready(Ok(()));
        }
        self.poll_drain(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(context))?;
        let size: usize = slices.iter().map(|slice| slice.len()).sum();
        if size == 0 {
            return Poll::Ready(Ok(0));
        }
        self.dirty = true;
        loop {
            if size < LARGE && self.waiting.len() + size <= RECORD {
                if self.waiting.capacity() == 0 {
                    self.waiting = take_buffer();
                }
                for slice in slices {
                    self.waiting.extend_from_slice(slice);
                }
                return Poll::Ready(Ok(size));
            }
            // What is more than full records is offered again with the next write.
            let all = (self.waiting.len() + size).min(LIMIT);
            let room = if all > RECORD { all - all % RECORD } else { all };
            let taken = self.seal(slices, room)?;
            // None, when what waited filled the records.
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
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
        sealed: 0,
        dirty: false,
        corked: is_http2,
    }));
    (Corked(Arc::clone(&state)), Cork(state))
}

impl<S: Sealing> Cork<S> {
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

impl<S: Sealing> AsyncRead for Corked<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(context, buffer)
    }
}

impl<S: Sealing> AsyncWrite for Corked<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        // What is upgraded may be dropped without a flush, when the other side ends with an error: nothing waits here.
        if !state.corked {
            return Pin::new(&mut state.stream).poll_write(context, bytes);
        }
        state.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if !state.corked {
            return Pin::new(&mut state.stream).poll_write_vectored(context, slices);
        }
        state.poll_write(context, slices)
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
mod tests;
