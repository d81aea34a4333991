//! As much of SPDY/3.1 as a client of a kubelet or of a runtime's streaming server needs.
//!
//! Header blocks are written as stored (uncompressed) deflate blocks, which every inflater reads; header
//! blocks of the server are skipped, since nothing in them matters to us. There is no flow control: neither
//! upstream's client nor its server has it.

pub(crate) mod frame;

use std::collections::HashMap;
use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use frame::{Frame, Headers};

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Data {
        stream: u32,
        bytes: Bytes,
    },
    /// The server will send nothing more on this stream.
    Finished {
        stream: u32,
    },
    /// Is to be sent back.
    Ping(u32),
}

/// The half that sends.
pub struct Sender<W> {
    writer: W,
    headers: Headers,
    next_stream: u32,
    next_ping: u32,
}

/// The half that receives.
pub struct Receiver<R> {
    reader: R,
    buffer: BytesMut,
    open: HashMap<u32, ()>,
}

impl<W: AsyncWrite + Unpin> Sender<W> {
    /// Over a connection that has just become SPDY.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            headers: Headers::default(),
            next_stream: 1,
            next_ping: 1,
        }
    }

    /// Opens a stream with headers such as `streamType: stdin`; returns its number.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = self.headers.block(headers);
        self.writer.write_all(&frame::syn_stream(stream, &block)).await?;
        self.writer.flush().await?;
        Ok(stream)
    }

    /// Sends on a stream.
    pub async fn data(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(frame::MAX_DATA) {
            self.writer
                .write_all(&frame::data_head(stream, chunk.len(), false))
                .await?;
            self.writer.write_all(chunk).await?;
        }
        self.writer.flush().await
    }

    /// Nothing more will be sent on this stream.
    pub async fn finish(&mut self, stream: u32) -> io::Result<()> {
        self.writer.write_all(&frame::data_head(stream, 0, true)).await?;
        self.writer.flush().await
    }

    /// Sends a ping of the server's back.
    pub async fn pong(&mut self, id: u32) -> io::Result<()> {
        self.writer.write_all(&frame::ping(id)).await?;
        self.writer.flush().await
    }

    /// Asks the server whether it is there; nobody waits for what it says.
    pub async fn ping(&mut self) -> io::Result<()> {
        let id = self.next_ping;
        // The pings of a client are odd.
        self.next_ping = id.wrapping_add(2);
        self.pong(id).await
    }
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    /// Over a connection that has just become SPDY.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            open: HashMap::new(),
        }
    }

    /// The next thing that matters; None at the end of the connection. May be dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            while let Some(frame) = frame::take(&mut self.buffer)? {
                match frame {
                    Frame::Data { stream, bytes, last } if !bytes.is_empty() => {
                        if last {
                            self.open.insert(stream, ());
                        }
                        return Ok(Some(Event::Data { stream, bytes }));
                    }
                    Frame::Data {
                        stream, last: true, ..
                    }
                    | Frame::Reset { stream } => return Ok(Some(Event::Finished { stream })),
                    Frame::Ping(id) if id % 2 == 0 => return Ok(Some(Event::Ping(id))),
                    Frame::GoAway => return Ok(None),
                    // An odd ping is the answer to one of ours.
                    Frame::Data { .. } | Frame::Ping(_) | Frame::Other => {}
                }
            }
            if let Some(stream) = self.open.keys().next().copied() {
                self.open.remove(&stream);
                return Ok(Some(Event::Finished { stream }));
            }
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}
