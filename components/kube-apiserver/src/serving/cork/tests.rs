use super::*;
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Sends what it was given as it is, and notes how long each record would be.
struct Plain {
    stream: DuplexStream,
    sealed: Vec<u8>,
    records: Vec<usize>,
}

impl Sealing for Plain {
    fn seal(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.sealed.len();
        slices
            .iter()
            .for_each(|slice| self.sealed.extend_from_slice(slice));
        let mut left = self.sealed.len() - before;
        while left > 0 {
            let record = left.min(RECORD);
            self.records.push(record);
            left -= record;
        }
        Ok(self.sealed.len() - before)
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        assert!(self.sealed.is_empty());
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, sealed, .. } = &mut *self;
        while !sealed.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(context, sealed))?;
            sealed.drain(..count);
        }
        Pin::new(stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A stream whose other end is given too, and that holds so many bytes.
fn pair(holds: usize, is_http2: bool) -> (Corked<Plain>, Cork<Plain>, DuplexStream) {
    let (stream, far) = tokio::io::duplex(holds);
    let plain = Plain {
        stream,
        sealed: Vec::new(),
        records: Vec::new(),
    };
    let (near, cork) = corked(plain, is_http2);
    (near, cork, far)
}

async fn flush(cork: &Cork<Plain>) {
    std::future::poll_fn(|context| cork.poll_flush(context))
        .await
        .unwrap();
}

#[tokio::test]
async fn writes_wait_for_the_flush_and_arrive_whole() {
    let (mut near, cork, mut far) = pair(1 << 20, true);
    near.write_all(b"one ").await.unwrap();
    near.flush().await.unwrap();
    let large = vec![b'x'; LARGE];
    near.write_all(&large).await.unwrap();
    near.write_all(b" two").await.unwrap();
    let want = [b"one ", large.as_slice(), b" two"].concat();
    let mut found = vec![0; want.len()];
    // Zero time: whatever had been sent would be there.
    let nothing = tokio::time::timeout(Duration::ZERO, far.read(&mut found)).await;
    assert!(nothing.is_err(), "nothing is sent before the flush");
    flush(&cork).await;
    far.read_exact(&mut found).await.unwrap();
    assert_eq!(found, want);
}

#[tokio::test]
async fn an_upgraded_stream_that_is_dropped_has_sent_everything() {
    let (mut near, cork, mut far) = pair(1 << 20, false);
    near.write_all(b"last words").await.unwrap();
    drop((near, cork));
    let mut found = Vec::new();
    far.read_to_end(&mut found).await.unwrap();
    assert_eq!(found, b"last words");
}

#[tokio::test]
async fn a_threads_connections_gather_in_one_buffer() {
    let spare = || {
        let spare = SPARE.take();
        let found = (spare.as_ptr(), spare.capacity());
        SPARE.set(spare);
        found
    };
    let mut seen = Vec::new();
    for size in [1, LARGE - 1, 1000] {
        let (mut near, cork, mut far) = pair(1 << 20, true);
        near.write_all(&vec![7; size]).await.unwrap();
        assert_eq!(spare().1, 0, "it is taken");
        // The second flush finds nothing to write.
        for _ in 0..2 {
            flush(&cork).await;
        }
        far.read_exact(&mut vec![0; size]).await.unwrap();
        assert_eq!(cork.0.lock().waiting.capacity(), 0, "an idle connection has none");
        seen.push(spare());
    }
    assert!(
        seen[0].1 >= RECORD && seen.iter().all(|found| *found == seen[0]),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_slow_peer_holds_the_writer_up() {
    let (mut near, cork, mut far) = pair(1000, true);
    let data: Vec<u8> = (0..300_000u32).map(|number| number as u8).collect();
    let sent = data.clone();
    let writer = tokio::spawn(async move {
        near.write_all(&sent).await.unwrap();
        flush(&cork).await;
    });
    let mut found = vec![0; data.len()];
    far.read_exact(&mut found).await.unwrap();
    writer.await.unwrap();
    assert_eq!(found, data);
}

/// As HTTP/2 writes a long response: frames of a record's size, each with its header.
#[tokio::test]
async fn frames_of_a_long_response_fill_their_records() {
    let (mut near, cork, mut far) = pair(1 << 20, true);
    for _ in 0..20 {
        let (header, mut body) = ([1; 9], vec![2; RECORD].into_boxed_slice());
        let mut frame = &mut [IoSlice::new(&header), IoSlice::new(&body)][..];
        while !frame.is_empty() {
            let count = near.write_vectored(frame).await.unwrap();
            IoSlice::advance_slices(&mut frame, count);
        }
        body.fill(0);
    }
    flush(&cork).await;
    let all = 20 * (RECORD + 9);
    far.read_exact(&mut vec![0; all]).await.unwrap();
    let records = cork.0.lock().stream.records.clone();
    assert_eq!(records.iter().sum::<usize>(), all);
    assert_eq!(records.len(), all.div_ceil(RECORD), "{records:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bytes arrive in the order in which they were written, whatever the sizes, the flushes and the peer's pace.
    #[test]
    fn nothing_is_lost_or_changes_places(
        writes in proptest::collection::vec(
            (proptest::collection::vec(0..40_000usize, 1..80), proptest::bool::ANY), 1..12),
        holds in 1_000..200_000usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut near, cork, mut far) = pair(holds, true);
            let reader = tokio::spawn(async move {
                let mut found = Vec::new();
                far.read_to_end(&mut found).await.unwrap();
                found
            });
            let mut want = Vec::new();
            for (number, (sizes, flushes)) in writes.into_iter().enumerate() {
                let parts: Vec<Vec<u8>> = sizes
                    .iter()
                    .enumerate()
                    .map(|(index, size)| vec![(number * 31 + index) as u8; size / (1 + index % 50)])
                    .collect();
                let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
                let mut left = &mut slices[..];
                IoSlice::advance_slices(&mut left, 0);
                while !left.is_empty() {
                    let count = near.write_vectored(left).await.unwrap();
                    assert!(count > 0);
                    IoSlice::advance_slices(&mut left, count);
                }
                want.extend(parts.concat());
                if flushes {
                    flush(&cork).await;
                }
            }
            near.shutdown().await.unwrap();
            drop((near, cork));
            let found = reader.await.unwrap();
            assert!(found == want, "{} bytes of {}", found.len(), want.len());
        });
    }
}
