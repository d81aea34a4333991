//! Indexes of jobs in text: `1,3-5`, in order and below the number of completions.

/// An interval of indexes, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    first: i64,
    last: i64,
}

/// How many indexes there are.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut total = 0;
    let mut before: Option<i64> = None;
    if text.is_empty() {
        return Ok(0);
    }
    for part in text.split(',') {
        let Interval { first, last } = interval(part, completions)?;
        if let Some(before) = before.filter(|before| *before >= first) {
            return Err(format!(
                "non-increasing order, previous: {before}, current: {first}"
            ));
        }
        total += last - first + 1;
        before = Some(last);
    }
    Ok(total)
}

/// The first index that is in both texts. Parts that are no intervals are passed over: they are told of where they are read.
pub(super) fn overlap(completed: &str, failed: &str, completions: i64) -> Option<i64> {
    let read = |text: &str| -> Vec<Interval> {
        text.split(',')
            .filter_map(|part| interval(part, completions).ok())
            .collect()
    };
    let (completed, failed) = (read(completed), read(failed));
    let (mut one, mut other) = (completed.iter().peekable(), failed.iter().peekable());
    while let (Some(done), Some(lost)) = (one.peek(), other.peek()) {
        if done.first <= lost.last && lost.first <= done.last {
            return Some(done.first.max(lost.first));
        }
        if done.first <= lost.first {
            one.next();
        } else {
            other.next();
        }
    }
    None
}

fn interval(part: &str, completions: i64) -> Result<Interval, String> {
    let limits: Vec<&str> = part.split('-').collect();
    let number = |limit: &str| match limit.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {limit:?}")),
        Ok(number) if number >= completions => Err(format!("too large index: {limit:?}")),
        Ok(number) => Ok(number),
    };
    match limits[..] {
        [only] => number(only).map(|first| Interval { first, last: first }),
        [first, last] => {
            let (first, last) = (number(first)?, number(last)?);
            if first >= last {
                return Err(format!(
                    "non-increasing order, previous: {first}, current: {last}"
                ));
            }
            Ok(Interval { first, last })
        }
        _ => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated by '-'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_counted_in_order() {
        for (text, wanted) in [
            ("", Ok(0)),
            ("0,2-4", Ok(4)),
            ("2,1", Err("non-increasing order, previous: 2, current: 1")),
            ("3-3", Err("non-increasing order, previous: 3, current: 3")),
            ("1-9", Err("too large index: \"9\"")),
            ("x", Err("cannot convert string to integer for index: \"x\"")),
            ("1,", Err("cannot convert string to integer for index: \"\"")),
        ] {
            assert_eq!(count(text, 5), wanted.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn an_index_is_completed_or_failed() {
        for (completed, failed, both) in [
            ("", "", None),
            ("0-2", "3,4", None),
            ("0,2,4", "1,3", None),
            ("0-2,5", "3-5", Some(5)),
            ("0-4", "2", Some(2)),
            ("x,3", "y,3", Some(3)),
            ("0-100", "50", None),
        ] {
            assert_eq!(overlap(completed, failed, 10), both, "{completed} {failed}");
        }
    }
}
