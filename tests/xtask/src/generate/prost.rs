//! Messages of the k8s-pb crate: field numbers and texts, read from its sources.
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub tag: u32,
    pub message: bool,
    pub map: bool,
    /// Last segment of the field's Rust type.
    pub ty: String,
    pub text: String,
}

/// One message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub text: String,
    pub fields: Vec<Field>,
}

/// Messages by `api.core.v1.Pod`.
pub type Messages = BTreeMap<String, Message>;

/// Reads every message below the crate's `src`.
pub fn read(root: &Path) -> Result<Messages> {
    let mut messages = Messages::new();
    walk(root, "", &mut messages)?;
    Ok(messages)
}

fn walk(directory: &Path, module: &str, messages: &mut Messages) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            let below = if module.is_empty() {
                name
            } else {
                format!("{module}.{name}")
            };
            walk(&entry.path(), &below, messages)?;
        } else if name == "mod.rs" {
            parse(&std::fs::read_to_string(entry.path())?, module, messages);
        }
    }
    Ok(())
}

fn parse(source: &str, module: &str, messages: &mut Messages) {
    let mut text: Vec<&str> = Vec::new();
    let mut current: Option<String> = None;
    let mut attribute = String::new();
    for line in source.lines() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("///") {
            text.push(comment.strip_prefix(' ').unwrap_or(comment));
        } else if let Some(rest) = line.strip_prefix("pub struct ") {
            let name = format!("{module}.{}", rest.trim_end_matches([' ', '{', '}']).trim());
            messages.insert(
                name.clone(),
                Message {
                    text: tidy(&text),
                    fields: Vec::new(),
                },
            );
            current = (!rest.ends_with("{}")).then_some(name);
            text.clear();
        } else if line.starts_with("#[prost(") {
            attribute = line.to_owned();
        } else if line == "}" {
            current = None;
            text.clear();
        } else if let (Some(message), Some(rest)) = (
            current.as_ref().and_then(|name| messages.get_mut(name)),
            line.strip_prefix("pub "),
        ) {
            let Some((name, ty)) = rest.split_once(':') else {
                continue;
            };
            let tag = attribute
                .split("tag = \"")
                .nth(1)
                .and_then(|rest| rest.split('"').next())
                .and_then(|tag| tag.parse().ok())
                .unwrap_or(0);
            message.fields.push(Field {
                name: name.trim_start_matches("r#").to_owned(),
                tag,
                message: attribute.contains("(message"),
                map: attribute.contains("map = ") || attribute.contains("map("),
                ty: ty
                    .trim()
                    .trim_end_matches([',', '>'])
                    .rsplit([':', '<', ' '])
                    .next()
                    .unwrap_or("")
                    .to_owned(),
                text: tidy(&text),
            });
            text.clear();
        }
    }
}

/// Joins comment lines the way the reference joins them into one text; markers and what follows `---` are left out.
fn tidy(lines: &[&str]) -> String {
    let mut out = String::new();
    for line in lines {
        let line = line.trim_end();
        if line == "---" {
            break;
        }
        if line.starts_with('+') || line.starts_with("TODO") {
            continue;
        }
        if line.is_empty() {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push_str("\n\n");
            }
            continue;
        }
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(if line.starts_with([' ', '-', '*']) {
                '\n'
            } else {
                ' '
            });
        }
        out.push_str(
            &line
                .replace("\\[", "[")
                .replace("\\]", "]")
                .replace("\\<", "<")
                .replace("\\>", ">")
                .replace("\\_", "_"),
        );
    }
    plain_links(out.trim_end())
}

/// Addresses stand between angle brackets in the crate, and in the reference don't.
fn plain_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("<http") {
        out.push_str(before);
        let (link, after) = link.split_once('>').unwrap_or((link, ""));
        out.push_str("http");
        out.push_str(link);
        rest = after;
    }
    out + rest
}
