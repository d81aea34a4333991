//! The threads that serve connections. Each has a runtime of its own, and a connection stays on one of them: what
//! belongs to a request is done by one thread, none is woken or robbed of tasks to go on with it. That is worth a
//! third of a request's CPU (docs/decisions.md).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

/// More would only cost memory: each thread serves thousands of requests a second.
const MOST: usize = 16;
/// Threads for what would keep a connection's thread busy for long.
const MOST_BLOCKING: usize = 64;

/// Less than any time limit of a request or of a call to etcd. Who sets a timer for earlier than the thread would wake
/// anyway has the thread woken by a system call, though it is awake; with this one always near, nobody does. A thread
/// without connections doesn't tick.
const TICK: Duration = Duration::from_secs(1);

/// The threads; they end when this is dropped.
pub struct Threads {
    all: Vec<Thread>,
    /// Told when one ends by a panic.
    lost: Arc<Notify>,
}

struct Thread {
    runtime: Handle,
    connections: Arc<AtomicUsize>,
    /// Told of a connection when there was none.
    busy: Arc<Notify>,
    /// Dropped to end it.
    end: Option<oneshot::Sender<()>>,
    joined: Option<JoinHandle<()>>,
}

/// Counts an open connection until dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Threads {
    /// One for each CPU.
    pub fn for_this_machine() -> io::Result<Self> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::start(cpus.min(MOST))
    }

    pub fn start(count: usize) -> io::Result<Self> {
        let lost = Arc::new(Notify::new());
        let all = (0..count.max(1))
            .map(|number| {
                let (end, ended) = oneshot::channel::<()>();
                // The sender is only ever dropped.
                let until = async {
                    let _ = ended.await;
                };
                Thread::start(number, end, until, Arc::clone(&lost))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { all, lost })
    }

    /// Waits until one of them has panicked: its connections are dead, and new ones would be.
    pub fn lost(&self) -> impl Future<Output = ()> + use<> {
        let lost = Arc::clone(&self.lost);
        async move { lost.notified().await }
    }

    /// Serves a connection on the thread that has the fewest of them.
    pub fn serve<F>(
        &self,
        stream: TcpStream,
        tracker: &TaskTracker,
        connection: impl FnOnce(TcpStream) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        let least = self
            .all
            .iter()
            .min_by_key(|thread| thread.connections.load(Ordering::Relaxed))
            .ok_or(io::ErrorKind::NotFound)?;
        if least.connections.fetch_add(1, Ordering::Relaxed) == 0 {
            least.busy.notify_one();
        }
        let open = Open(Arc::clone(&least.connections));
        // It is known to the reactor of the thread that accepted it; the other one has to get to know it.
        let stream = stream.into_std()?;
        let serving = async move {
            let _open = open;
            match TcpStream::from_std(stream) {
                Ok(stream) => connection(stream).await,
                Err(error) => tracing::warn!(%error, "a connection cannot be served"),
            }
        };
        tracker.spawn_on(serving, &least.runtime);
        Ok(())
    }
}

impl Thread {
    fn start(
        number: usize,
        end: oneshot::Sender<()>,
        until: impl Future<Output = ()> + Send + 'static,
        lost: Arc<Notify>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(MOST_BLOCKING)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (connections, busy) = (Arc::default(), Arc::default());
        let ticking = ticks(Arc::clone(&connections), Arc::clone(&busy));
        let joined = std::thread::Builder::new()
            .name(format!("serving-{number}"))
            .spawn(move || {
                // A panic of a request is caught with its task; here it is the runtime's own.
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    runtime.block_on(async {
                        runtime.spawn(ticking);
                        until.await;
                    });
                }));
                if outcome.is_err() {
                    tracing::error!(number, "a thread that serves connections panicked");
                    lost.notify_one();
                }
                runtime.shutdown_background();
            })?;
        Ok(Self {
            runtime: handle,
            connections,
            busy,
            end: Some(end),
            joined: Some(joined),
        })
    }
}

/// Ends with the runtime.
async fn ticks(connections: Arc<AtomicUsize>, busy: Arc<Notify>) {
    loop {
        if connections.load(Ordering::Relaxed) == 0 {
            busy.notified().await;
        }
        tokio::time::sleep(TICK).await;
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.end.take());
        // Its panics have been caught.
        let _ = self.joined.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn connections_are_spread_and_stay_where_they_are() {
        let threads = Threads::start(3).unwrap();
        let tracker = TaskTracker::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(TcpStream::connect(address).await.unwrap());
            let (accepted, _) = listener.accept().await.unwrap();
            let echo = |mut stream: TcpStream| async move {
                let mut byte = [0];
                while stream.read_exact(&mut byte).await.is_ok() {
                    let name = std::thread::current().name().unwrap_or("").as_bytes().to_vec();
                    stream.write_all(&name).await.unwrap();
                }
            };
            threads.serve(accepted, &tracker, echo).unwrap();
        }
        let mut served: Vec<String> = Vec::new();
        for client in &mut clients {
            let mut names = Vec::new();
            for _ in 0..3 {
                client.write_all(b"?").await.unwrap();
                let mut name = [0; "serving-0".len()];
                client.read_exact(&mut name).await.unwrap();
                names.push(String::from_utf8(name.to_vec()).unwrap());
            }
            names.dedup();
            assert_eq!(names.len(), 1, "{names:?}");
            served.append(&mut names);
        }
        served.sort();
        let want = [
            "serving-0",
            "serving-0",
            "serving-1",
            "serving-1",
            "serving-2",
            "serving-2",
        ];
        assert_eq!(served, want);
        drop(clients);
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn a_thread_that_panics_is_not_missed_by_its_owner() {
        let lost = Arc::new(Notify::new());
        let (end, ended) = oneshot::channel::<()>();
        let panicking = async move {
            let _ = ended.await;
            panic!("on purpose");
        };
        let thread = Thread::start(0, end, panicking, Arc::clone(&lost)).unwrap();
        assert!(
            futures::FutureExt::now_or_never(lost.notified()).is_none(),
            "nothing has happened yet"
        );
        // Ends it and waits for it.
        drop(thread);
        let threads = Threads {
            all: Vec::new(),
            lost,
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), threads.lost())
            .await
            .unwrap();
    }
}
