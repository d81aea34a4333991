//! Frames of SPDY/3.1: pure.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u16 = 3;
const CONTROL: u16 = 0x8000;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const FIN: u8 = 1;
const HEAD: usize = 8;

/// Data of one frame, at most; its length has 24 bits, and smaller frames interleave better.
pub(crate) const MAX_DATA: usize = 32 << 10;

/// A frame as far as it matters to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Data { stream: u32, bytes: Bytes, last: bool },
    Reset { stream: u32 },
    Ping(u32),
    GoAway,
    Other,
}

/// Takes one whole frame off the front of `buffer`, if it is there.
pub(crate) fn take(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let first = u16::from_be_bytes([head[0], head[1]]);
    let kind = u16::from_be_bytes([head[2], head[3]]);
    let flags = head[4];
    let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
    let stream = u32::from_be_bytes([head[0] & 0x7f, head[1], head[2], head[3]]);
    if first & CONTROL != 0 && first & !CONTROL != VERSION {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("SPDY version {} instead of {VERSION}", first & !CONTROL),
        ));
    }
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    let mut body = buffer.split_to(length).freeze();
    if first & CONTROL == 0 {
        return Ok(Some(Frame::Data {
            stream,
            bytes: body,
            last: flags & FIN != 0,
        }));
    }
    let number = if body.len() >= 4 { body.get_u32() } else { 0 };
    Ok(Some(match kind {
        RST_STREAM => Frame::Reset {
            stream: number & 0x7fff_ffff,
        },
        PING => Frame::Ping(number),
        GO_AWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

fn control_head(out: &mut BytesMut, kind: u16, flags: u8, length: usize) {
    out.put_u16(CONTROL | VERSION);
    out.put_u16(kind);
    // Lengths have 24 bits; what we send is far shorter.
    out.put_u32(u32::from(flags) << 24 | (length as u32 & 0x00ff_ffff));
}

pub(crate) fn syn_stream(stream: u32, block: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    control_head(&mut out, SYN_STREAM, 0, 10 + block.len());
    out.put_u32(stream);
    out.put_u32(0);
    out.put_u16(0);
    out.put_slice(block);
    out.freeze()
}

pub(crate) fn data_head(stream: u32, length: usize, last: bool) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&(stream & 0x7fff_ffff).to_be_bytes());
    head[4..].copy_from_slice(&(length as u32 & 0x00ff_ffff).to_be_bytes());
    head[4] = if last { FIN } else { 0 };
    head
}

pub(crate) fn ping(id: u32) -> Bytes {
    let mut out = BytesMut::new();
    control_head(&mut out, PING, 0, 4);
    out.put_u32(id);
    out.freeze()
}

/// Header blocks of one connection: one zlib stream over all of them.
#[derive(Default)]
pub(crate) struct Headers {
    begun: bool,
}

impl Headers {
    pub(crate) fn block(&mut self, headers: &[(&str, &str)]) -> Bytes {
        let mut plain = BytesMut::new();
        plain.put_u32(headers.len() as u32);
        for (name, value) in headers {
            for text in [name.to_lowercase().as_str(), value] {
                plain.put_u32(text.len() as u32);
                plain.put_slice(text.as_bytes());
            }
        }
        let mut out = BytesMut::new();
        if !self.begun {
            self.begun = true;
            // zlib, no dictionary, fastest.
            out.put_slice(&[0x78, 0x01]);
        }
        for chunk in plain.chunks(usize::from(u16::MAX)) {
            stored(&mut out, chunk);
        }
        // An empty block makes the reader hand out what it has.
        stored(&mut out, &[]);
        out.freeze()
    }
}

fn stored(out: &mut BytesMut, chunk: &[u8]) {
    let length = chunk.len() as u16;
    out.put_u8(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.put_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_whole() {
        let mut buffer = BytesMut::new();
        buffer.put_slice(&data_head(5, 3, true));
        buffer.put_slice(b"ab");
        assert_eq!(take(&mut buffer).unwrap(), None);
        buffer.put_slice(b"c");
        buffer.put_slice(&ping(7));
        assert_eq!(
            take(&mut buffer).unwrap(),
            Some(Frame::Data {
                stream: 5,
                bytes: Bytes::from_static(b"abc"),
                last: true
            })
        );
        assert_eq!(take(&mut buffer).unwrap(), Some(Frame::Ping(7)));
        assert_eq!(take(&mut buffer).unwrap(), None);
    }

    #[test]
    fn header_blocks_are_one_zlib_stream() {
        let mut headers = Headers::default();
        let first = headers.block(&[("streamType", "stdin")]);
        assert_eq!(&first[..3], [0x78, 0x01, 0]);
        assert!(first.ends_with(&[0, 0, 0, 0xff, 0xff]));
        // The check bits of the zlib head.
        assert_eq!(u16::from_be_bytes([first[0], first[1]]) % 31, 0);
        let second = headers.block(&[("streamType", "stdout")]);
        assert_eq!(second[0], 0);
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            let _ = take(&mut BytesMut::from(&bytes[..]));
        }
    }
}
