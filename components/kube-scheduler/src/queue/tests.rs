use super::*;

fn pod(name: &str, priority: i32) -> Arc<Pod> {
    Arc::new(Pod {
        uid: name.into(),
        name: name.to_owned(),
        priority,
        ..Pod::default()
    })
}

fn second(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn names(queue: &mut Queue, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now))
        .map(|popped| popped.pod.name.clone())
        .collect()
}

fn fit() -> PluginMask {
    [Plugin::NodeResourcesFit].into_iter().collect()
}

#[test]
fn higher_priority_goes_first_then_who_came_first() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    for (at, (name, priority)) in [("a", 0), ("b", 10), ("c", 0), ("d", 10)].into_iter().enumerate() {
        queue.upsert(pod(name, priority), false, now + second(at as u64));
    }
    assert_eq!(names(&mut queue, now + second(9)), ["b", "d", "a", "c"]);
}

#[test]
fn an_unschedulable_pod_waits_for_a_change_that_concerns_it() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    queue.upsert(pod("a", 0), false, now);
    assert_eq!(names(&mut queue, now), ["a"]);
    queue.unschedulable("a", fit(), now);
    queue.changed(now + second(5), |_, plugin| plugin == Plugin::NodePorts);
    assert_eq!(queue.place("a"), Some(Place::Unschedulable));
    queue.changed(now + second(5), |_, plugin| plugin == Plugin::NodeResourcesFit);
    assert_eq!(queue.place("a"), Some(Place::Active));
}

#[test]
fn back_off_doubles_up_to_its_limit() {
    let queue = Queue::new(Timing::default());
    for (attempts, seconds) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (40, 10), (u32::MAX, 10)] {
        assert_eq!(queue.backoff_of(attempts), second(seconds), "{attempts}");
    }
}

#[test]
fn an_idle_queue_does_not_wait_for_back_off_but_for_errors_it_does() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    queue.upsert(pod("a", 0), false, now);
    queue.upsert(pod("b", 0), false, now);
    assert_eq!(names(&mut queue, now).len(), 2);
    queue.failed("a", now);
    queue.unschedulable("b", fit(), now);
    queue.changed(now, |_, _| true);
    assert_eq!(
        (queue.place("a"), queue.place("b")),
        (Some(Place::Backoff), Some(Place::Backoff))
    );
    assert_eq!(names(&mut queue, now), ["b"]);
    assert_eq!(queue.next_backoff(), Some(now + second(1)));
    assert_eq!(names(&mut queue, now + second(1)), ["a"]);
}

#[test]
fn gates_hold_a_pod_back_until_they_are_gone() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    queue.upsert(pod("a", 0), true, now);
    queue.changed(now, |_, _| true);
    assert!(queue.pop(now).is_none());
    queue.upsert(pod("a", 0), false, now);
    assert_eq!(names(&mut queue, now), ["a"]);
}

#[test]
fn a_pod_is_tried_again_after_five_minutes_whatever_happens() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    queue.upsert(pod("a", 0), false, now);
    assert_eq!(names(&mut queue, now), ["a"]);
    queue.unschedulable("a", fit(), now);
    queue.flush(now + second(299));
    assert!(queue.pop(now + second(299)).is_none());
    queue.flush(now + second(300));
    assert_eq!(names(&mut queue, now + second(300)), ["a"]);
}

#[test]
fn a_removed_pod_is_not_popped() {
    let now = Instant::now();
    let mut queue = Queue::new(Timing::default());
    queue.upsert(pod("a", 0), false, now);
    queue.remove("a");
    assert!(queue.pop(now).is_none());
    assert_eq!(queue.lengths(), Lengths::default());
}
