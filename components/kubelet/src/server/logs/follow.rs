//! A log as a stream, to its end or as it grows.

use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{LogLine, LogOptions, ServerState, tail_offset};
use crate::runtime::{ObservedContainer, RunState};

/// A growing log is looked at this often; upstream watches the file, which costs a descriptor per reader.
const LOOK: Duration = Duration::from_millis(100);
/// How many looks without new content until the container is asked about.
const LOOKS_PER_CHECK: u32 = 10;
const BLOCK: usize = 32 << 10;
/// Blocks that wait for a slow client.
const WAITING: usize = 4;

pub(super) fn stream(
    state: Arc<ServerState>,
    path: PathBuf,
    container: ObservedContainer,
    options: LogOptions,
) -> ReceiverStream<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    // Ends when the client goes: sending fails then.
    tokio::spawn(async move {
        let mut reader = Reader {
            state,
            path,
            container,
            options,
            sender: sender.clone(),
            sent: 0,
        };
        if let Err(error) = reader.run().await {
            let _ = sender.send(Err(error)).await;
        }
    });
    ReceiverStream::new(receiver)
}

struct Reader {
    state: Arc<ServerState>,
    path: PathBuf,
    container: ObservedContainer,
    options: LogOptions,
    sender: mpsc::Sender<io::Result<Bytes>>,
    sent: usize,
}

/// The reader has nobody to read for, or has read enough.
struct Done;

impl Reader {
    async fn run(&mut self) -> io::Result<()> {
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            // A container that has written nothing may have no file yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.options.follow => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.wait_for_file().await {
                Some(file) => file,
                None => return Ok(()),
            },
            Err(error) => return Err(error),
        };
        let start = match self.options.tail {
            Some(lines) => tail_offset(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(start))?;
        let mut pending = Vec::new();
        let mut quiet = 0;
        let mut ended = !self.options.follow;
        loop {
            let mut block = vec![0; BLOCK];
            let length = file.read(&mut block)?;
            if length > 0 {
                quiet = 0;
                pending.extend_from_slice(&block[..length]);
                if self.send_lines(&mut pending).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            if let Some(rotated) = self.rotated(&file)? {
                file = rotated;
                continue;
            }
            if ended {
                return Ok(());
            }
            quiet += 1;
            if quiet % LOOKS_PER_CHECK == 0 {
                // What was written before the end is still read once more.
                ended = !self.is_running().await;
                continue;
            }
            tokio::select! {
                () = self.sender.closed() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn wait_for_file(&self) -> Option<std::fs::File> {
        loop {
            if let Ok(file) = std::fs::File::open(&self.path) {
                return Some(file);
            }
            if !self.is_running().await {
                return None;
            }
            tokio::select! {
                () = self.sender.closed() => return None,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn is_running(&self) -> bool {
        match self
            .state
            .context
            .runtime
            .container_status(&self.container.id)
            .await
        {
            Ok(status) => crate::runtime::run_state(status.state) == RunState::Running,
            Err(error) => !error.is_not_found(),
        }
    }

    /// The new file, if the one that is read has been renamed away.
    fn rotated(&self, current: &std::fs::File) -> io::Result<Option<std::fs::File>> {
        let Ok(found) = std::fs::metadata(&self.path) else {
            return Ok(None);
        };
        let own = current.metadata()?;
        if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
            return Ok(None);
        }
        std::fs::File::open(&self.path).map(Some)
    }

    /// Sends all complete lines of `pending` and leaves the rest.
    async fn send_lines(&mut self, pending: &mut Vec<u8>) -> Result<(), Done> {
        let Some(end) = pending.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(());
        };
        let mut out = Vec::with_capacity(end);
        for line in pending[..end].split(|byte| *byte == b'\n') {
            let Some(line) = LogLine::parse(line) else {
                continue;
            };
            let wanted = self.options.stream.is_none_or(|stream| stream == line.stream);
            if !wanted || !line.is_since(self.options.since) {
                continue;
            }
            if self.options.timestamps {
                out.extend_from_slice(line.time.as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(line.content);
            if !line.partial {
                out.push(b'\n');
            }
        }
        pending.drain(..=end);
        let mut full = false;
        if let Some(limit) = self.options.limit {
            let left = limit.saturating_sub(self.sent);
            full = out.len() >= left;
            out.truncate(left);
        }
        self.sent += out.len();
        if !out.is_empty() && self.sender.send(Ok(Bytes::from(out))).await.is_err() {
            return Err(Done);
        }
        if full { Err(Done) } else { Ok(()) }
    }
}
