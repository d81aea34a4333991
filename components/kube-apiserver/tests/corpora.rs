//! The inputs that fuzzing kept, through the decoders that it runs (`make fuzz`): each returns.

#[path = "../../../fuzz/src/decoders.rs"]
mod decoders;

fn replay(target: &str, decoder: fn(&[u8])) {
    let folder = testkit::own_folder().join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder)
        .expect("a corpus")
        .map(|entry| entry.expect("an entry"))
    {
        let input = std::fs::read(entry.path()).expect("an input");
        let outcome = std::panic::catch_unwind(|| decoder(&input));
        assert!(outcome.is_ok(), "{} {}", target, entry.path().display());
        inputs += 1;
    }
    assert!(inputs > 0, "{target} has no corpus");
}

macro_rules! corpora {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            replay(stringify!($target), decoders::$target);
        }
    )*};
}

corpora! { json yaml protobuf patches selectors expressions continue_token certificates schemas texts stored }
