//! When a watch ends by itself.

use crate::server::Server;
use futures::future::BoxFuture;
use futures::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Comes when a watch has lasted for its time, or the server stops. It is asked with each event, hundreds of times for
/// each write of an object that many watch; so what it waits for is only looked at once that has something to say.
pub struct End {
    waits: BoxFuture<'static, ()>,
    alarm: Arc<Alarm>,
    /// The task that the alarm wakes.
    told: Option<Waker>,
}

#[derive(Default)]
struct Alarm {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl End {
    pub fn after(server: Arc<Server>, time: Duration) -> Self {
        let counted = server.lifecycle.watch_begins();
        Self::when(async move {
            let _counted = counted;
            // Its place among all watches when the server stops.
            let share = rand::random();
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = server.lifecycle.watch_ends(share) => {}
            }
        })
    }

    fn when(waits: impl Future<Output = ()> + Send + 'static) -> Self {
        // Rung at first: nothing is waited for yet.
        let alarm = Arc::new(Alarm {
            rung: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            waits: Box::pin(waits),
            alarm,
            told: None,
        }
    }

    /// Not to be asked again once it is ready.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        let task = context.waker();
        let is_told = self.told.as_ref().is_some_and(|told| told.will_wake(task));
        if is_told && !self.alarm.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before `rung` is taken back: whoever rings afterwards wakes this task. An alarm wakes once.
        self.alarm.task.register(task);
        if !is_told {
            self.told = Some(task.clone());
        }
        if !self.alarm.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let alarm = Waker::from(Arc::clone(&self.alarm));
        self.waits.as_mut().poll(&mut Context::from_waker(&alarm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::oneshot;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A future that wakes its task without being ready, as `select!` may, is heard again afterwards.
    #[test]
    fn an_alarm_for_nothing_is_not_the_last() {
        let (send, receive) = oneshot::channel::<()>();
        let (again, other) = oneshot::channel::<()>();
        let mut receive = Box::pin(receive);
        let mut end = End::when(async move {
            let _ = other.await;
            let _ = std::future::poll_fn(|context| receive.as_mut().poll(context)).await;
        });
        let task = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&task));
        let context = Context::from_waker(&waker);
        assert!(end.poll(&context).is_pending());
        drop(again);
        assert!(end.poll(&context).is_pending());
        drop(send);
        assert_eq!(task.0.load(Ordering::Relaxed), 2);
        assert!(end.poll(&context).is_ready());
    }

    #[test]
    fn what_is_waited_for_is_looked_at_once_and_when_it_comes() {
        let (send, receive) = oneshot::channel::<()>();
        let looked = Arc::new(AtomicUsize::new(0));
        let mut receive = Box::pin(receive);
        let mut end = End::when({
            let looked = Arc::clone(&looked);
            std::future::poll_fn(move |context| {
                looked.fetch_add(1, Ordering::Relaxed);
                receive.as_mut().poll(context).map(|_| ())
            })
        });
        let (first, second) = (
            Arc::new(Woken(AtomicUsize::new(0))),
            Arc::new(Woken(AtomicUsize::new(0))),
        );
        for task in [&first, &first, &second, &second] {
            let waker = Waker::from(Arc::clone(task));
            assert!(end.poll(&Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(looked.load(Ordering::Relaxed), 1);
        drop(send);
        let woken = [&first, &second].map(|task| task.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1], "the task that asked last");
        let waker = Waker::from(second);
        assert!(end.poll(&Context::from_waker(&waker)).is_ready());
    }
}
