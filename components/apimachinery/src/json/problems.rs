//! What strict decoding finds wrong with a JSON text, in the order in which upstream's decoder comes across it.

use super::Parser;
use std::collections::BTreeSet;

/// Duplicate and unknown fields, as a decoder lists them that reads everything before it looks at the fields.
pub fn listed(duplicates: &[String], unknown: &[String]) -> Vec<String> {
    let said = |what: &'static str| move |path: &String| format!("{what} field {path:?}");
    duplicates
        .iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(said("duplicate"))
        .chain(unknown.iter().map(said("unknown")))
        .collect()
}

/// The same in the text's order. What is inside of an unknown field is not looked at. The text is one that was parsed.
pub fn problems(text: &[u8], duplicates: &[String], unknown: &[String]) -> Vec<String> {
    let within = |path: &str| {
        unknown.iter().any(|outer| {
            path.strip_prefix(outer.as_str())
                .is_some_and(|rest| matches!(rest.bytes().next(), None | Some(b'.' | b'[')))
        })
    };
    let duplicates: BTreeSet<&String> = duplicates.iter().filter(|path| !within(path)).collect();
    let unknown: BTreeSet<&String> = unknown.iter().collect();
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for (paths, what, time) in [(duplicates, "duplicate", 2), (unknown, "unknown", 1)] {
        wanted.extend(paths.into_iter().map(|path| Wanted {
            path,
            what,
            time,
            found: usize::MAX,
        }));
    }
    if wanted.len() > 1 {
        let mut walk = Walk {
            parser: Parser::new(text),
            found: 0,
            wanted: &mut wanted,
        };
        let all: Vec<(usize, usize)> = (0..walk.wanted.len()).map(|index| (index, 0)).collect();
        // It was parsed before.
        let _ = walk.value(&all);
        wanted.sort_by_key(|wanted| wanted.found);
    }
    wanted
        .iter()
        .map(|wanted| format!("{} field {:?}", wanted.what, wanted.path))
        .collect()
}

struct Wanted<'p> {
    path: &'p str,
    what: &'static str,
    /// At which of its keys it is found: a duplicate at the second.
    time: u8,
    found: usize,
}

struct Walk<'t, 'w, 'p> {
    parser: Parser<'t>,
    found: usize,
    wanted: &'w mut [Wanted<'p>],
}

impl Walk<'_, '_, '_> {
    /// `live` has the wanted paths that lead into this value, and how far they are gone.
    fn value(&mut self, live: &[(usize, usize)]) -> Option<()> {
        self.parser.space();
        match self.parser.text.get(self.parser.at) {
            Some(b'{') if !live.is_empty() => self.items(live, b'}', |walk, live, _| {
                let key = walk.parser.string().ok()?;
                walk.parser.space();
                walk.parser.at += 1;
                Some(walk.below(live, &key))
            }),
            Some(b'[') if !live.is_empty() => self.items(live, b']', |walk, live, position| {
                let step = format!("[{position}]");
                let into = |(index, at): &(usize, usize)| {
                    let rest = walk.wanted[*index].path[*at..].strip_prefix(&step)?;
                    Some((*index, walk.wanted[*index].path.len() - rest.len()))
                };
                Some(live.iter().filter_map(into).collect())
            }),
            _ => self.parser.value(0, false).ok().map(|_| ()),
        }
    }

    fn items(
        &mut self,
        live: &[(usize, usize)],
        end: u8,
        step: impl Fn(&mut Self, &[(usize, usize)], usize) -> Option<Vec<(usize, usize)>>,
    ) -> Option<()> {
        self.parser.at += 1;
        let mut position = 0;
        loop {
            self.parser.space();
            match self.parser.text.get(self.parser.at)? {
                byte if *byte == end => {
                    self.parser.at += 1;
                    return Some(());
                }
                b',' => {
                    self.parser.at += 1;
                    self.parser.space();
                }
                _ => {}
            }
            let into = step(self, live, position)?;
            self.value(&into)?;
            position += 1;
        }
    }

    /// Marks the paths that end at this key; gives those that go on below it.
    fn below(&mut self, live: &[(usize, usize)], key: &str) -> Vec<(usize, usize)> {
        let mut on = Vec::new();
        for &(index, at) in live {
            let wanted = &mut self.wanted[index];
            let rest = &wanted.path[at..];
            let rest = if at > 0 {
                rest.strip_prefix('.')
            } else {
                Some(rest)
            };
            let Some(rest) = rest.and_then(|rest| rest.strip_prefix(key)) else {
                continue;
            };
            if rest.is_empty() {
                wanted.time = wanted.time.saturating_sub(1);
                if wanted.time == 0 && wanted.found == usize::MAX {
                    wanted.found = self.found;
                    self.found += 1;
                }
            } else if rest.starts_with(['.', '[']) {
                on.push((index, wanted.path.len() - rest.len()));
            }
        }
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn problems_come_in_the_order_of_the_text() {
        let text = br#"{"z": 1, "spec": {"b": [{"x": 1, "x": {"y": 1}, "u": 2}], "r": 2, "r": 3, "a.b": 1, "r": 4, "\u0061": {"k": 1, "k": 2}}, "c": 1}"#;
        let parsed = super::super::parse(text).unwrap();
        assert_eq!(
            problems(
                text,
                &parsed.duplicates,
                &owned(&["c", "spec.a", "spec.a.b", "spec.b[0].u", "z"])
            ),
            [
                "unknown field \"z\"",
                "duplicate field \"spec.b[0].x\"",
                "unknown field \"spec.b[0].u\"",
                "duplicate field \"spec.r\"",
                "unknown field \"spec.a.b\"",
                "unknown field \"spec.a\"",
                "unknown field \"c\"",
            ]
        );
        assert_eq!(
            listed(&parsed.duplicates, &owned(&["z"])),
            [
                "duplicate field \"spec.a.k\"",
                "duplicate field \"spec.b[0].x\"",
                "duplicate field \"spec.r\"",
                "unknown field \"z\"",
            ]
        );
        let text = br#" [ {"op": 1, "op": 2} , {"to": 1} ] "#;
        let parsed = super::super::parse(text).unwrap();
        assert_eq!(
            problems(text, &parsed.duplicates, &owned(&["[1].to"])),
            ["duplicate field \"[0].op\"", "unknown field \"[1].to\""]
        );
    }
}
