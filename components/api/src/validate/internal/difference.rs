//! What differs between two values, as upstream's messages show it: a unified diff of the internal Go structs as
//! indented JSON, with three lines around each change. Lines are matched as Python's difflib does, which upstream
//! uses a copy of: the longest run that both sides share first, then what is left and right of it.
use std::collections::HashMap;
use std::fmt::Write;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;
/// From this many lines on, lines that are in more than one in a hundred places don't begin a match.
const MANY_LINES: usize = 200;
/// Pairs of equal lines that are looked at before everything between the first and the last difference counts as
/// changed: what is sent is not ours, and matching lines takes the square of their number.
const MOST_PAIRS: usize = 2_000_000;

/// A run of lines that both sides have: where it begins on either side, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    old: usize,
    new: usize,
    length: usize,
}

/// A part of both sides, from one line up to another, that is the same or not.
#[derive(Clone, Copy, Debug)]
struct Part {
    same: bool,
    old: (usize, usize),
    new: (usize, usize),
}

/// The difference of two values that are given as JSON text.
pub(super) fn of(old: &str, new: &str) -> String {
    let (old, new) = (indented(old), indented(new));
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    for group in groups(parts(&old, &new)) {
        write_group(&group, &old, &new, &mut out);
    }
    out
}

/// JSON text with one value a line, one blank a level, and the characters escaped that Go escapes.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    };
    while let Some(c) = chars.next() {
        if quoted {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                _ => out.push(c),
            }
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            _ => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

fn parts(old: &[&str], new: &[&str]) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut at_old, mut at_new) = (0, 0);
    let end = Run {
        old: old.len(),
        new: new.len(),
        length: 0,
    };
    for run in runs(old, new).into_iter().chain([end]) {
        if at_old < run.old || at_new < run.new {
            parts.push(Part {
                same: false,
                old: (at_old, run.old),
                new: (at_new, run.new),
            });
        }
        (at_old, at_new) = (run.old + run.length, run.new + run.length);
        if run.length > 0 {
            parts.push(Part {
                same: true,
                old: (run.old, at_old),
                new: (run.new, at_new),
            });
        }
    }
    parts
}

/// The runs of lines that both sides have, in order, none beside another.
fn runs(old: &[&str], new: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, line) in new.iter().enumerate() {
        places.entry(*line).or_default().push(place);
    }
    if new.len() >= MANY_LINES {
        places.retain(|_, places| places.len() <= new.len() / 100 + 1);
    }
    let mut found = Vec::new();
    let mut left = vec![((0, old.len()), (0, new.len()))];
    let mut pairs = 0;
    while let Some((within_old, within_new)) = left.pop() {
        let Some(run) = longest(old, new, &places, within_old, within_new, &mut pairs) else {
            return ends(old, new);
        };
        if run.length == 0 {
            continue;
        }
        left.push(((within_old.0, run.old), (within_new.0, run.new)));
        left.push((
            (run.old + run.length, within_old.1),
            (run.new + run.length, within_new.1),
        ));
        found.push(run);
    }
    found.sort_unstable();
    found.dedup_by(|next, run| {
        let joined = run.old + run.length == next.old && run.new + run.length == next.new;
        if joined {
            run.length += next.length;
        }
        joined
    });
    found
}

/// The longest run in a part of both sides, the first of equals. None when that takes too long.
fn longest(
    old: &[&str],
    new: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    within_old: (usize, usize),
    within_new: (usize, usize),
    pairs: &mut usize,
) -> Option<Run> {
    let mut best = Run {
        old: within_old.0,
        new: within_new.0,
        length: 0,
    };
    // How long the run is that ends with the line before, by its place on the new side.
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    let lines = old.iter().enumerate().take(within_old.1).skip(within_old.0);
    for (at, line) in lines {
        let mut next = HashMap::new();
        let places = places.get(line).map_or(&[][..], Vec::as_slice);
        let from = places.partition_point(|place| *place < within_new.0);
        for &place in places[from..].iter().take_while(|place| **place < within_new.1) {
            *pairs += 1;
            let before = place.checked_sub(1).and_then(|before| lengths.get(&before));
            let length = before.unwrap_or(&0) + 1;
            next.insert(place, length);
            if length > best.length {
                best = Run {
                    old: at + 1 - length,
                    new: place + 1 - length,
                    length,
                };
            }
        }
        lengths = next;
        if *pairs > MOST_PAIRS {
            return None;
        }
    }
    // Lines that are all over the place may still be part of a run.
    while best.old > within_old.0 && best.new > within_new.0 && old[best.old - 1] == new[best.new - 1] {
        best.old -= 1;
        best.new -= 1;
        best.length += 1;
    }
    while best.old + best.length < within_old.1
        && best.new + best.length < within_new.1
        && old[best.old + best.length] == new[best.new + best.length]
    {
        best.length += 1;
    }
    Some(best)
}

/// Only what both sides begin and end with.
fn ends(old: &[&str], new: &[&str]) -> Vec<Run> {
    let most = old.len().min(new.len());
    let first = std::iter::zip(old, new)
        .take_while(|(old, new)| old == new)
        .count();
    let last = std::iter::zip(old.iter().rev(), new.iter().rev())
        .take_while(|(old, new)| old == new)
        .count()
        .min(most - first);
    let begin = Run {
        old: 0,
        new: 0,
        length: first,
    };
    let end = Run {
        old: old.len() - last,
        new: new.len() - last,
        length: last,
    };
    [begin, end].into_iter().filter(|run| run.length > 0).collect()
}

/// The parts around each change, those that are near each other together.
fn groups(mut parts: Vec<Part>) -> Vec<Vec<Part>> {
    let head = |part: &mut Part| {
        part.old.1 = part.old.1.min(part.old.0 + CONTEXT);
        part.new.1 = part.new.1.min(part.new.0 + CONTEXT);
    };
    let tail = |part: &mut Part| {
        part.old.0 = part.old.0.max(part.old.1.saturating_sub(CONTEXT));
        part.new.0 = part.new.0.max(part.new.1.saturating_sub(CONTEXT));
    };
    if let Some(first) = parts.first_mut().filter(|part| part.same) {
        tail(first);
    }
    if let Some(last) = parts.last_mut().filter(|part| part.same) {
        head(last);
    }
    let mut groups = Vec::new();
    let mut group = Vec::new();
    for mut part in parts {
        if part.same && part.old.1 - part.old.0 > 2 * CONTEXT {
            let mut end = part;
            head(&mut end);
            group.push(end);
            groups.push(std::mem::take(&mut group));
            tail(&mut part);
        }
        group.push(part);
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|part| !part.same));
    groups
}

fn write_group(group: &[Part], old: &[&str], new: &[&str], out: &mut String) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return;
    };
    let range = |from: usize, to: usize| match to - from {
        0 => format!("{from},0"),
        1 => format!("{}", from + 1),
        length => format!("{},{length}", from + 1),
    };
    let _ = writeln!(
        out,
        "@@ -{} +{} @@",
        range(first.old.0, last.old.1),
        range(first.new.0, last.new.1)
    );
    for part in group {
        let (old, new) = (&old[part.old.0..part.old.1], &new[part.new.0..part.new.1]);
        let sides: &[(char, &[&str])] = if part.same {
            &[(' ', old)]
        } else {
            &[('-', old), ('+', new)]
        };
        for (sign, lines) in sides {
            for line in *lines {
                let _ = writeln!(out, "{sign}{line}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn json_is_indented_as_go_does() {
        for (compact, expected) in [
            ("{}", "{}"),
            ("[]", "[]"),
            ("null", "null"),
            (r#"{"a":[],"b":{}}"#, "{\n \"a\": [],\n \"b\": {}\n}"),
            (r#"{"a":["x, y",1]}"#, "{\n \"a\": [\n  \"x, y\",\n  1\n ]\n}"),
            (
                r#"["\"{","<&>"]"#,
                "[\n \"\\\"{\",\n \"\\u003c\\u0026\\u003e\"\n]",
            ),
        ] {
            assert_eq!(indented(compact), expected);
        }
    }

    #[test]
    fn changes_are_shown_with_the_lines_around_them() {
        let numbers = |numbers: &[u32]| serde_json::to_string(numbers).unwrap_or_default();
        let all: Vec<u32> = (0..20).collect();
        let without = |number: u32| all.iter().copied().filter(|n| *n != number).collect::<Vec<_>>();
        let near = "@@ -3,7 +3,6 @@\n  1,\n  2,\n  3,\n- 4,\n  5,\n  6,\n  7,\n";
        for (old, new, expected) in [
            ("{}".to_owned(), "{}".to_owned(), ""),
            ("1".to_owned(), "2".to_owned(), "@@ -1 +1 @@\n-1\n+2\n"),
            (numbers(&all), numbers(&without(4)), near),
            (
                numbers(&[1, 2]),
                numbers(&[1, 3, 2]),
                "@@ -1,4 +1,5 @@\n [\n  1,\n+ 3,\n  2\n ]\n",
            ),
            (
                numbers(&without(0)),
                numbers(&without(18)),
                "@@ -1,4 +1,5 @@\n [\n+ 0,\n  1,\n  2,\n  3,\n@@ -16,6 +17,5 @@\n  15,\n  16,\n  17,\n- 18,\n  19\n ]\n",
            ),
        ] {
            assert_eq!(of(&old, &new), expected, "{old} {new}");
        }
    }

    #[test]
    fn what_would_take_too_long_is_one_change() {
        let lines = |odd: &str| {
            let mut lines: Vec<String> = (0..100_000).map(|line| format!("{}", line % 200)).collect();
            lines[50_000] = odd.to_owned();
            format!("[{}]", lines.join(","))
        };
        let found = of(&lines("\"a\""), &lines("\"b\""));
        assert!(found.contains("\n- \"a\",\n+ \"b\",\n"), "{}", found.len());
    }

    proptest! {
        #[test]
        fn parts_cover_both_sides(old in proptest::collection::vec(0_u8..4, 0..40), new in proptest::collection::vec(0_u8..4, 0..40)) {
            let text = |side: &[u8]| side.iter().map(u8::to_string).collect::<Vec<_>>();
            let (old, new) = (text(&old), text(&new));
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for part in parts(&old, &new) {
                before.extend_from_slice(&old[part.old.0..part.old.1]);
                after.extend_from_slice(&new[part.new.0..part.new.1]);
                prop_assert_eq!(part.same, old[part.old.0..part.old.1] == new[part.new.0..part.new.1]);
            }
            prop_assert_eq!(before, old);
            prop_assert_eq!(after, new);
        }
    }
}
