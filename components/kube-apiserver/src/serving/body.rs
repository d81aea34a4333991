//! Response bodies: bytes that are ready, a list of slices, or a stream.

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

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

/// Slices are copied together up to this size: a frame costs more than the copy, and the encryption copies anyway.
const CHUNK: usize = 64 * 1024;

/// The next slice, or several small ones as one.
fn next_chunk(slices: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = slices.pop_front()?;
    let mut length = first.len();
    let joined = slices.iter().take_while(|slice| {
        length += slice.len();
        length <= CHUNK
    });
    let count = joined.count();
    if count == 0 {
        return Some(first);
    }
    let mut chunk =
        Vec::with_capacity(first.len() + slices.iter().take(count).map(Bytes::len).sum::<usize>());
    chunk.extend_from_slice(&first);
    for slice in slices.drain(..count) {
        chunk.extend_from_slice(&slice);
    }
    Some(chunk.into())
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Slices { slices, left } => Poll::Ready(next_chunk(slices).map(|chunk| {
                *left -= chunk.len() as u64;
                Ok(Frame::data(chunk))
            })),
            Self::Stream(stream) => stream
                .as_mut()
                .poll_next(context)
                .map(|item| item.map(|item| item.map(Frame::data))),
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

/// Reads a whole request body, up to [`MAX_REQUEST_BODY`].
pub async fn read<B>(body: B) -> Result<Bytes, ReadError>
where
    B: HttpBody<Data = Bytes, Error = hyper::Error> + Unpin,
{
    if body.size_hint().lower() > MAX_REQUEST_BODY as u64 {
        return Err(ReadError::TooLarge);
    }
    match http_body_util::Limited::new(body, MAX_REQUEST_BODY)
        .collect()
        .await
    {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ReadError::TooLarge),
        Err(_) => Err(ReadError::Broken),
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
            while let Some(chunk) = next_chunk(&mut slices) {
                found.push(chunk.len());
            }
            assert_eq!(found, want, "{sizes:?}");
        }
    }
}
