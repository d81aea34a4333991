//! One question for the newest revision at a time, shared by all who ask meanwhile on the same runtime.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::backend::{Backend, BackendError};
use crate::revision::Revision;

type Answer = Result<Revision, BackendError>;

#[derive(Default)]
struct State {
    running: bool,
    waiting: Vec<oneshot::Sender<Answer>>,
}

#[derive(Clone, Default)]
pub(super) struct RevisionProbe {
    state: Arc<Mutex<State>>,
}

impl RevisionProbe {
    /// The newest revision by a question that was sent after this call.
    pub(super) async fn newest(&self, backend: &Arc<dyn Backend>) -> Answer {
        let (sender, receiver) = oneshot::channel();
        let start = {
            let mut state = self.state.lock();
            state.waiting.push(sender);
            !std::mem::replace(&mut state.running, true)
        };
        if start {
            // A task of its own, so that an asker that goes away doesn't take the answer from the others. It ends
            // when nobody waits.
            tokio::spawn(self.clone().answer(backend.clone()));
        }
        match receiver.await {
            Ok(answer) => answer,
            Err(_) => Err(BackendError::Unavailable {
                message: "the store is shutting down".to_owned(),
            }),
        }
    }

    async fn answer(self, backend: Arc<dyn Backend>) {
        let mut running = Running {
            probe: self,
            asked: Vec::new(),
            done: false,
        };
        loop {
            // Whoever else can run now, and what has arrived on connections, may ask as well; then one question does.
            tokio::task::yield_now().await;
            {
                let mut state = running.probe.state.lock();
                if state.waiting.is_empty() {
                    state.running = false;
                    running.done = true;
                    return;
                }
                running.asked = std::mem::take(&mut state.waiting);
            }
            let answer = backend.current_revision().await;
            for asker in running.asked.drain(..) {
                // The asker may have gone.
                let _ = asker.send(answer.clone());
            }
        }
    }
}

/// The task that asks. When it panics, those who wait get an error and the next one who asks starts another.
struct Running {
    probe: RevisionProbe,
    /// Dropped, and so told, after the next one can start.
    asked: Vec<oneshot::Sender<Answer>>,
    done: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.done {
            let mut state = self.probe.state.lock();
            state.running = false;
            self.asked.append(&mut state.waiting);
        }
    }
}
