use super::*;
use jiff::ToSpan as _;

fn elsewhere(expires: jiff::Timestamp) -> Vec<u8> {
    let holder = Holder {
        user: "ada".to_owned(),
        host: "another-machine".to_owned(),
        pid: 7,
        command: "upgrade".to_owned(),
        since: expires,
        expires,
    };
    holder.encode()
}

#[test]
fn leases_are_judged() {
    let now = jiff::Timestamp::now();
    let me = Holder::here("bootstrap");
    let (past, future) = (now - 1.second(), now + 1.second());
    assert_eq!(judge(b" \n", &me, now), Verdict::Free);
    assert_eq!(judge(b"{", &me, now), Verdict::Damaged);
    assert_eq!(judge(&me.encode(), &me, now), Verdict::Free);
    assert!(matches!(judge(&elsewhere(past), &me, now), Verdict::Stale(_)));
    assert!(matches!(judge(&elsewhere(future), &me, now), Verdict::Held(_)));
}

#[test]
fn the_second_operator_is_told_who_holds_it_and_may_wait() {
    let folder = tempfile::tempdir().unwrap();
    let first = Lock::take(folder.path(), "bootstrap", LockOptions::default()).unwrap();
    first.check().unwrap();
    let refused = Lock::take(folder.path(), "plan", LockOptions::default())
        .err()
        .unwrap();
    assert!(
        refused
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{refused}"
    );
    let path = folder.path().to_owned();
    let waiting = std::thread::spawn(move || {
        let options = LockOptions {
            wait: Duration::from_secs(20),
            ..LockOptions::default()
        };
        Lock::take(&path, "plan", options).map(drop)
    });
    drop(first);
    waiting.join().unwrap().unwrap();
    assert_eq!(std::fs::read(folder.path().join("lock")).unwrap(), b"");
}

#[test]
fn only_a_stale_lock_is_broken_and_only_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let breaking = LockOptions {
        break_stale: true,
        ..LockOptions::default()
    };
    let take = |options| Lock::take(folder.path(), "bootstrap", options);
    let now = jiff::Timestamp::now();
    std::fs::write(&path, elsewhere(now + 1.hour())).unwrap();
    assert!(take(LockOptions::default()).is_err());
    assert!(take(breaking).is_err(), "a lease that still runs was broken");
    std::fs::write(&path, elsewhere(now - 1.hour())).unwrap();
    let refused = take(LockOptions::default()).err().unwrap().to_string();
    assert!(
        refused.contains("ada@another-machine") && refused.contains("--break-lock"),
        "{refused}"
    );
    take(breaking).unwrap();
    std::fs::write(&path, "nonsense").unwrap();
    assert!(take(LockOptions::default()).is_err());
    let taken = take(breaking).unwrap();
    // Somebody with force takes it away: the first one must stop.
    std::fs::write(&path, elsewhere(now)).unwrap();
    let stopped = taken.check().unwrap_err().to_string();
    assert!(stopped.contains("ada@another-machine"), "{stopped}");
}

#[test]
fn a_renewal_is_not_taken_for_a_theft() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::take(folder.path(), "bootstrap", LockOptions::default()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2_000).for_each(|_| lock.lease.renew().unwrap()));
        (0..2_000).for_each(|_| lock.check().unwrap());
    });
}

proptest::proptest! {
    #[test]
    fn no_lock_file_makes_it_panic(text in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = judge(&text, &Holder::here("x"), jiff::Timestamp::now());
    }
}
