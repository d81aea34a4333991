use super::*;
use proptest::prelude::*;

/// Label, headers and contents of every block.
fn read(text: &str) -> Vec<(String, bool, String)> {
    blocks(text.as_bytes())
        .map(|block| {
            let contents = String::from_utf8(block.contents).unwrap();
            (block.label, block.has_headers, contents)
        })
        .collect()
}

#[test]
fn blocks_are_found_as_go_finds_them() {
    // YQ== is "a", Yg== is "b".
    let second = "-----BEGIN B-----\nYg==\n-----END B-----\n";
    for (first, want) in [
        ("", "b"),
        ("-----BEGIN A-----\nYQ==\n-----END A-----\n", "ab"),
        (
            "text before\n-----BEGIN A-----\r\nYQ==\r\n-----END A-----\r\n",
            "ab",
        ),
        // Blanks in and behind lines, line breaks anywhere, bits that don't count.
        ("-----BEGIN A----- \t\n Y\tQ\n=\n=\n\n-----END A----- \n", "ab"),
        ("-----BEGIN A-----\nYR==\n-----END A-----\n", "ab"),
        // Headers.
        (
            "-----BEGIN A-----\nProc-Type: 4\nX:\n\nYQ==\n-----END A-----\n",
            "ab",
        ),
        ("-----BEGIN A-----\nX: y\n\n-----END A-----\n", "b"),
        // END lines of something else, or with more behind them.
        ("-----BEGIN A-----\nYQ==\n-----END C-----\n", "b"),
        ("-----BEGIN A-----\nYQ==\n-----END A-----x\n", "b"),
        ("-----BEGIN A-----\nYQ==\n-----END  A-----\n", "b"),
        ("-----BEGIN A-----\nYQ==\n -----END A-----\n", "b"),
        // BEGIN lines that aren't: within a line, unfinished, without an END.
        ("x-----BEGIN A-----\nYQ==\n-----END A-----\n", "b"),
        ("  -----BEGIN A-----\nYQ==\n-----END A-----\n", "b"),
        ("-----BEGIN A----\nYQ==\n-----END A----\n", "b"),
        ("-----BEGIN A-----\nYQ==\n", "b"),
        // Bodies that aren't base64.
        ("-----BEGIN A-----\n!!!!\n-----END A-----\n", "b"),
        ("-----BEGIN A-----\nYQ\n-----END A-----\n", "b"),
        ("-----BEGIN A-----\nYQ=a\n-----END A-----\n", "b"),
        ("-----BEGIN A-----\nYQ==YQ==\n-----END A-----\n", "b"),
        ("-----BEGIN A-----\n====\n-----END A-----\n", "b"),
        // An END line that is read as a header ends it all.
        ("-----BEGIN A:-----\nX: y\n-----END A:-----\n", ""),
    ] {
        let found: String = read(&format!("{first}{second}"))
            .into_iter()
            .map(|(_, _, contents)| contents)
            .collect();
        assert_eq!(found, want, "{first:?}");
    }
}

#[test]
fn blocks_may_be_empty_and_say_whether_they_have_headers() {
    let block = |label: &str, headers, contents: &str| (label.to_owned(), headers, contents.to_owned());
    for (text, want) in [
        ("-----BEGIN A-----\n-----END A-----", vec![block("A", false, "")]),
        ("-----BEGIN -----\n\n-----END -----\n", vec![block("", false, "")]),
        (
            "-----BEGIN A B-----\nX: y\n\nYQ==\n-----END A B-----",
            vec![block("A B", true, "a")],
        ),
        ("-----BEGIN A-----\nYQ==", vec![]),
        ("-----BEGIN A-----\n", vec![]),
        ("", vec![]),
    ] {
        assert_eq!(read(text), want, "{text:?}");
    }
}

#[test]
fn what_follows_the_last_block_is_kept() {
    let mut blocks = blocks(b"-----BEGIN A-----\nYQ==\n-----END A-----\nmore");
    assert_eq!(blocks.by_ref().count(), 1);
    assert_eq!(blocks.rest(), b"more");
}

proptest! {
    #[test]
    fn any_text_can_be_read(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "-----BEGIN ", "-----END ", "A", "-----", "\n", "\r\n", " ", ":", "YQ==", "x",
            ]),
            0..24,
        )
    ) {
        let text = parts.concat();
        prop_assert!(blocks(text.as_bytes()).count() <= text.len());
    }
}
