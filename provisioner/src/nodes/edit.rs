//! The inventory's text without one host; comments and everything else stay as they are. No I/O.

/// None when the host has no `[[hosts]]` table of its own.
pub fn without_host(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut start = None;
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim();
        let begins = line.starts_with("[[hosts]]");
        let another = line.starts_with('[') && !line.starts_with("[hosts.");
        if another
            && let Some(begun) = start.take()
            && is_named(&lines[begun..index], name)
        {
            return Some(joined(&lines, begun, index));
        }
        if begins {
            start = Some(index);
        }
    }
    let begun = start?;
    is_named(&lines[begun..], name).then(|| joined(&lines, begun, lines.len()))
}

fn is_named(block: &[&str], name: &str) -> bool {
    let parsed: Result<toml::Value, _> = toml::from_str(&block.concat());
    parsed.is_ok_and(|table| table["hosts"][0].get("name").and_then(toml::Value::as_str) == Some(name))
}

fn joined(lines: &[&str], from: usize, to: usize) -> String {
    let mut text = lines[..from].concat();
    text.push_str(&lines[to..].concat());
    text.trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\n[cluster]\nname = \"c\"\n\n[[hosts]]\nname = \"a\"\nroles = [\"worker\"]\n[hosts.ssh]\nport = 1\n\n\
                        # the second\n[[hosts]]\nname = \"b\"\n";

    #[test]
    fn one_host_goes_and_the_rest_stays() {
        let left = without_host(TEXT, "a").unwrap();
        assert_eq!(
            left,
            "# mine\n[cluster]\nname = \"c\"\n\n[[hosts]]\nname = \"b\"\n"
        );
        let left = without_host(TEXT, "b").unwrap();
        assert!(
            left.ends_with("port = 1\n\n# the second\n") && left.contains("name = \"a\""),
            "{left}"
        );
        assert_eq!(without_host(TEXT, "c"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s)(\\[\\[hosts\\]\\]|name = \"a\"|\\[x\\]|\n|.){0,60}") {
            let _ = without_host(&text, "a");
        }
    }
}
