//! Counts of repetitions.

/// Reads `{2}`, `{2,}` or `{2,3}`: the least, the most (-1 without end), and what follows. A number that is too high is -1.
pub(super) fn read(text: &str) -> Option<(i64, i64, &str)> {
    let (mut least, rest) = number(text.strip_prefix('{')?)?;
    let (most, rest) = match rest.strip_prefix(',') {
        None => (least, rest),
        Some(rest) if rest.starts_with('}') => (-1, rest),
        Some(rest) => {
            let (most, rest) = number(rest)?;
            if most < 0 {
                least = -1;
            }
            (most, rest)
        }
    };
    Some((least, most, rest.strip_prefix('}')?))
}

fn number(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let value = if digits.len() > 9 {
        -1
    } else {
        digits.parse().unwrap_or(-1)
    };
    Some((value, rest))
}
