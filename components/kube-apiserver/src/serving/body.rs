//! Response bodies: bytes that are ready, a list of slices, or a stream.

use bytes::{Buf, Bytes};
use futures::Stream;
use futures::stream::BoxStream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Largest request body that is read; larger ones get 413.
pub const MAX_REQUEST_BODY: usize = 3 * 1024 * 1024;

/// What a response carries.
pub enum Body {
    /// Slices written in order; a list is a header, stored objects and commas.
    Slices { slices: VecDeque<Bytes>, left: u64 },
    /// Open-ended, for watches, logs and proxied responses.
    Stream(BoxStream<'static, Result<Bytes, std::io::Error>>),
}

pub type Response = http::Response<Body>;

impl Body {
    pub fn empty() -> Self {
        Self::Slices {
            slices: VecDeque::new(),
            left: 0,
        }
    }

    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::slices([bytes.into()])
    }

    pub fn slices(slices: impl IntoIterator<Item = Bytes>) -> Self {
        let slices: VecDeque<Bytes> = slices.into_iter().filter(|slice| !slice.is_empty()).collect();
        let left = slices.iter().map(|slice| slice.len() as u64).sum();
        Self::Slices { slices, left }
    }

    pub fn stream(stream: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static) -> Self {
        Self::Stream(Box::pin(stream))
    }

    /// Length, if it is known.
    pub fn known_length(&self) -> Option<u64> {
        match self {
            Self::Slices { left, .. } => Some(*left),
            Self::Stream(_) => None,
        }
    }
}

/// Slices that travel together have up to so many bytes: HTTP/1 keeps copies of what it has been given.
const CHUNK: usize = 64 * 1024;
/// Room for so many slices is made at first: small objects of a list, each with a comma.
const TOGETHER: usize = 16;

/// What is written next: one slice, or several small ones, none of them copied.
pub enum Chunk {
    One(Bytes),
    Several { slices: VecDeque<Bytes>, left: usize },
}

impl Chunk {
    /// Takes the first slice, and those after it as long as they are small.
    fn next(slices: &mut VecDeque<Bytes>) -> Option<Self> {
        let first = slices.pop_front()?;
        let mut left = first.len();
        let mut taken = VecDeque::new();
        // One by one: what is left of a list is long, and splitting would move all of it for each chunk.
        while let Some(slice) = slices.pop_front_if(|slice| left + slice.len() <= CHUNK) {
            if taken.is_empty() {
                taken.reserve(TOGETHER);
            }
            left += slice.len();
            taken.push_back(slice);
        }
        if taken.is_empty() {
            return Some(Self::One(first));
        }
        taken.push_front(first);
        Some(Self::Several { slices: taken, left })
    }
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        match self {
            Self::One(slice) => slice.len(),
            Self::Several { left, .. } => *left,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::One(slice) => slice,
            Self::Several { slices, .. } => slices.front().map_or(&[], |slice| slice),
        }
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        match self {
            Self::One(slice) => slice.chunks_vectored(into),
            Self::Several { slices, .. } => {
                let mut count = 0;
                for (place, slice) in into.iter_mut().zip(slices) {
                    *place = IoSlice::new(slice);
                    count += 1;
                }
                count
            }
        }
    }

    fn advance(&mut self, mut count: usize) {
        match self {
            Self::One(slice) => slice.advance(count),
            Self::Several { slices, left } => {
                *left -= count;
                while let Some(front) = slices.front_mut().filter(|_| count > 0) {
                    let step = count.min(front.len());
                    if step == front.len() {
                        slices.pop_front();
                    } else {
                        front.advance(step);
                    }
                    count -= step;
                }
            }
        }
    }
}

impl HttpBody for Body {
    type Data = Chunk;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, Self::Error>>> {
        match &mut *self {
            Self::Slices { slices, left } => Poll::Ready(Chunk::next(slices).map(|chunk| {
                *left -= chunk.remaining() as u64;
                Ok(Frame::data(chunk))
            })),
            Self::Stream(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|item| item.map(|item| item.map(|bytes| Frame::data(Chunk::One(bytes))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Slices { slices, .. } if slices.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        self.known_length()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Why a request body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("limit is {MAX_REQUEST_BODY}")]
    TooLarge,
    #[error("the request body ended early")]
    Broken,
}

/// Reads a whole request body, up to [`MAX_REQUEST_BODY`]. Of a longer one the rest is waited for as well, as far as it
/// is likely to end: most clients look for an answer only when they have sent all, and a connection that is closed
/// before has none for them.
pub async fn read<B>(mut body: B) -> Result<Bytes, ReadError>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    if body.size_hint().lower() > MAX_REQUEST_BODY as u64 {
        drop_rest(&mut body).await;
        return Err(ReadError::TooLarge);
    }
    match http_body_util::Limited::new(&mut body, MAX_REQUEST_BODY)
        .collect()
        .await
    {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            drop_rest(&mut body).await;
            Err(ReadError::TooLarge)
        }
        Err(_) => Err(ReadError::Broken),
    }
}

/// Bytes of a body that nobody wants which are taken all the same.
const MOST_DROPPED: usize = 16 * 1024 * 1024;

/// A client that sends nothing for so long waits for the answer already.
const PAUSE: Duration = Duration::from_secs(1);

async fn drop_rest<B>(body: &mut B)
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut dropped = 0;
    while dropped < MOST_DROPPED {
        match tokio::time::timeout(PAUSE, body.frame()).await {
            Ok(Some(Ok(frame))) => dropped += frame.data_ref().map_or(0, Bytes::len),
            _ => return,
        }
    }
}

/// A stream that never fails, as a body.
pub fn infallible(stream: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Body {
    use futures::StreamExt;
    Body::stream(stream.map(|item| item.map_err(|never| match never {})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_slices_travel_together() {
        for (sizes, want) in [
            (vec![], vec![]),
            (vec![10], vec![10]),
            (vec![10, 1, 20], vec![31]),
            (
                vec![CHUNK - 1, 1, 1, CHUNK, 2, CHUNK * 3, 1],
                vec![CHUNK, 1, CHUNK, 2, CHUNK * 3, 1],
            ),
        ] {
            let mut slices: VecDeque<Bytes> =
                sizes.iter().map(|size| Bytes::from(vec![b'x'; *size])).collect();
            let mut found = Vec::new();
            while let Some(chunk) = Chunk::next(&mut slices) {
                found.push(chunk.remaining());
            }
            assert_eq!(found, want, "{sizes:?}");
        }
    }

    proptest::proptest! {
        /// Whoever writes a chunk in whatever steps writes the slices, one after another.
        #[test]
        fn a_chunk_is_its_slices_in_order(
            slices in proptest::collection::vec(proptest::collection::vec(0..=255u8, 1..40), 1..30),
            steps in proptest::collection::vec((1..100usize, 1..5usize), 1..2000),
        ) {
            let want = slices.concat();
            let mut left: VecDeque<Bytes> = slices.into_iter().map(Bytes::from).collect();
            let mut chunk = Chunk::next(&mut left).unwrap();
            proptest::prop_assert!(left.is_empty());
            let mut found = Vec::new();
            for (bytes, places) in steps {
                let mut into = vec![IoSlice::new(&[]); places];
                let filled = chunk.chunks_vectored(&mut into);
                proptest::prop_assert_eq!(filled > 0, chunk.has_remaining());
                let offered: Vec<u8> = into[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                proptest::prop_assert!(offered.starts_with(chunk.chunk()));
                let step = bytes.min(offered.len());
                found.extend_from_slice(&offered[..step]);
                chunk.advance(step);
                proptest::prop_assert_eq!(chunk.remaining(), want.len() - found.len());
            }
            let rest = chunk.remaining();
            found.extend_from_slice(&chunk.copy_to_bytes(rest));
            proptest::prop_assert_eq!(found, want);
        }
    }
}
