use std::fs::File;
use std::io::Read as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

const PIECE: usize = 256 * 1024;

/// A file as the body of a request, read piece by piece.
pub struct Upload {
    file: Option<File>,
    left: u64,
}

impl Upload {
    pub fn of(file: File, bytes: u64) -> Upload {
        Upload {
            file: Some(file),
            left: bytes,
        }
    }

    pub fn nothing() -> Upload {
        Upload { file: None, left: 0 }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let wanted = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        let mut piece = vec![0u8; wanted];
        let Some(file) = &mut self.file else {
            return Poll::Ready(None);
        };
        // The announced length is kept: a file that shrinks meanwhile is an error.
        let read = file.read_exact(&mut piece).map(|()| Frame::data(piece.into()));
        self.left -= wanted as u64;
        Poll::Ready(Some(read))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
