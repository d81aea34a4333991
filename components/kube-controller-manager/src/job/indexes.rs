//! Sets of completion indexes as text: `0-2,5`.

use std::collections::BTreeSet;

/// Reads the text; indexes of `limit` and more are dropped, as are parts that cannot be read.
pub fn parse(text: &str, limit: i32) -> BTreeSet<i32> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) {
            indexes.extend((first.max(0)..=last.min(limit - 1)).filter(|index| *index < limit));
        }
    }
    indexes
}

/// Runs of two and more are written with a dash.
pub fn format(indexes: &BTreeSet<i32>) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let text = |(first, last): (i32, i32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.into_iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn runs_are_folded_and_nonsense_is_dropped() {
        assert_eq!(format(&[0, 1, 2, 3].into()), "0-3");
        assert_eq!(format(&[0, 1, 3, 5, 6, 7].into()), "0,1,3,5-7");
        assert_eq!(parse("0-2,x,9,5-", 6), [0, 1, 2].into());
    }

    proptest! {
        #[test]
        fn text_and_set_agree(indexes in proptest::collection::btree_set(0..500i32, 0..50)) {
            prop_assert_eq!(parse(&format(&indexes), 500), indexes);
        }
    }
}
