//! Where the metadata of an object sits in its bytes, and what of it is indexed.

use std::ops::Range;

use super::scan::{ScanError, Scanner};
use crate::resource::FieldSpec;

/// An owner reference, as the garbage collector and selectors of owners need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerUid(pub Box<str>);

/// Result of the one pass over an object's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    pub name: Box<str>,
    pub namespace: Box<str>,
    pub uid: Box<str>,
    pub owners: Box<[OwnerUid]>,
    pub labels: Box<[(Box<str>, Box<str>)]>,
    pub fields: Box<[Box<str>]>,
    /// What its writer noted.
    pub notes: Box<[u32]>,
    /// The members `"kind": …` and `"apiVersion": …`, which are written first.
    kind: Option<Range<usize>>,
    api_version: Option<Range<usize>>,
    /// Runs of the other members, each with the commas inside of it.
    runs: Vec<Range<usize>>,
    /// The value of metadata.resourceVersion.
    version_value: Option<Range<usize>>,
    /// What to remove so that the member is gone and the commas are right.
    version_cut: Option<Range<usize>>,
    /// Where the member is put when there is none, and whether a comma precedes or follows it.
    insert_at: usize,
    insert_comma: Comma,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Comma {
    #[default]
    None,
    Before,
    After,
}

impl Shape {
    /// Walks the object once; what is in `spans` and not looked for is passed at once. Fails when it isn't an object with
    /// metadata.
    pub(crate) fn scan(bytes: &[u8], spans: &[Range<u32>], fields: &[FieldSpec]) -> Result<Shape, ScanError> {
        let mut scanner = Scanner::new(bytes, spans);
        let mut shape = Shape::default();
        let mut values: Vec<Vec<Option<Box<str>>>> =
            fields.iter().map(|field| vec![None; field.paths.len()]).collect();
        scanner.peek();
        let start = scanner.position();
        if !scanner.enter_object() {
            return Err(ScanError {
                what: "not a JSON object",
                at: start,
            });
        }
        let mut metadata_seen = false;
        let mut first = true;
        let mut run: Option<Range<usize>> = None;
        loop {
            let member_start = scanner.member_start(first);
            let Some(key) = scanner.next_key(&mut first)? else {
                break;
            };
            let type_member = match key.as_ref() {
                "kind" => Some(&mut shape.kind),
                "apiVersion" => Some(&mut shape.api_version),
                _ => None,
            };
            if let Some(member) = type_member {
                scanner.skip_value()?;
                *member = Some(member_start..scanner.position());
                shape.runs.extend(run.take());
                continue;
            }
            if key == "metadata" && scanner.peek() == Some(b'{') && !metadata_seen {
                metadata_seen = true;
                shape.metadata(&mut scanner)?;
            } else {
                let wanted = wanted_below(fields, &[], &key);
                walk_fields(&mut scanner, fields, &mut values, vec![key.into_owned()], wanted)?;
            }
            run.get_or_insert(member_start..member_start).end = scanner.position();
        }
        shape.runs.extend(run);
        if scanner.peek().is_some() {
            return Err(ScanError {
                what: "text after the object",
                at: scanner.position(),
            });
        }
        if !metadata_seen {
            return Err(ScanError {
                what: "object without metadata",
                at: start,
            });
        }
        shape.fields = fields
            .iter()
            .zip(values)
            .map(|(field, found)| {
                found
                    .into_iter()
                    .flatten()
                    .find(|value| !value.is_empty())
                    .unwrap_or_else(|| field.default.as_str().into())
            })
            .collect();
        Ok(shape)
    }

    fn metadata(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ScanError> {
        scanner.enter_object();
        self.insert_at = scanner.position();
        self.insert_comma = if scanner.peek() == Some(b'}') {
            Comma::None
        } else {
            Comma::After
        };
        let mut first = true;
        let mut member_before = false;
        let mut previous_end = scanner.position();
        loop {
            let is_first = first;
            let Some(key) = scanner.next_key(&mut first)? else {
                return Ok(());
            };
            let value_start = scanner.position();
            match key.as_ref() {
                "name" => self.name = scanner.scalar()?.into(),
                "namespace" => self.namespace = scanner.scalar()?.into(),
                "uid" => {
                    self.uid = scanner.scalar()?.into();
                    self.insert_at = scanner.position();
                    self.insert_comma = Comma::Before;
                }
                "resourceVersion" => {
                    scanner.skip_value()?;
                    let end = scanner.position();
                    self.version_value = Some(value_start..end);
                    // With a member before it the cut takes the comma before, else the one after.
                    let mut cut = previous_end..end;
                    if !member_before && scanner.peek() == Some(b',') {
                        cut.end = scanner.position() + 1;
                    }
                    self.version_cut = Some(cut);
                    if is_first {
                        previous_end = scanner.position();
                        continue;
                    }
                }
                "labels" if scanner.peek() == Some(b'{') => self.labels = string_map(scanner)?,
                "ownerReferences" if scanner.peek() == Some(b'[') => self.owners = owner_uids(scanner)?,
                _ => scanner.skip_value()?,
            }
            member_before = true;
            previous_end = scanner.position();
        }
    }

    /// The object with this resourceVersion, between `before` and `after`, kind and apiVersion in front.
    pub(crate) fn with_version(&self, bytes: &[u8], version: i64, before: &[u8], after: &[u8]) -> Versioned {
        let (replaced, member) = self.version_member(version);
        let mut text = Vec::with_capacity(bytes.len() + before.len() + after.len() + member.len());
        text.extend_from_slice(before);
        let places = self.render(bytes, &replaced, member.as_bytes(), |part| {
            text.extend_from_slice(part);
        });
        text.extend_from_slice(after);
        // The number stands between the last two quotes of its member.
        let number = member.rfind(':').map_or(1, |colon| colon + 2);
        Versioned {
            version_at: places.replaced.map(|at| before.len() + at + number),
            untyped_start: places.untyped,
            text,
        }
    }

    /// Whether this is the object with that resourceVersion, kind and apiVersion in front.
    pub(crate) fn is_with_version(&self, bytes: &[u8], version: i64, other: &[u8]) -> bool {
        let (replaced, member) = self.version_member(version);
        let mut rest = Some(other);
        self.render(bytes, &replaced, member.as_bytes(), |part| {
            rest = rest.and_then(|rest| rest.strip_prefix(part));
        });
        rest == Some(&[])
    }

    /// The object as it is stored: without resourceVersion, kind and apiVersion in front.
    pub(crate) fn without_version(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let cut = self.version_cut.clone().unwrap_or(0..0);
        self.render(bytes, &cut, b"", |part| out.extend_from_slice(part));
        out
    }

    /// What is exchanged for a resourceVersion, and for what.
    fn version_member(&self, version: i64) -> (Range<usize>, String) {
        let member = match self.insert_comma {
            _ if self.version_value.is_some() => format!("\"{version}\""),
            Comma::None => format!("\"resourceVersion\":\"{version}\""),
            Comma::Before => format!(",\"resourceVersion\":\"{version}\""),
            Comma::After => format!("\"resourceVersion\":\"{version}\","),
        };
        let replaced = self.version_value.clone();
        (replaced.unwrap_or(self.insert_at..self.insert_at), member)
    }

    /// Gives the object part by part with the bytes of `replaced` exchanged.
    fn render(&self, bytes: &[u8], replaced: &Range<usize>, by: &[u8], mut put: impl FnMut(&[u8])) -> Places {
        let mut length = 0;
        let mut put = |part: &[u8]| {
            put(part);
            length += part.len();
            length
        };
        let mut places = Places {
            untyped: put(b"{"),
            replaced: None,
        };
        for member in [&self.kind, &self.api_version].into_iter().flatten() {
            put(&bytes[member.clone()]);
            places.untyped = put(b",");
        }
        for (position, run) in self.runs.iter().enumerate() {
            if position > 0 {
                put(b",");
            }
            // At the end of a run there is no metadata to put it in.
            if (run.start..run.end).contains(&replaced.start) {
                places.replaced = Some(put(&bytes[run.start..replaced.start]));
                put(by);
                put(&bytes[replaced.end..run.end]);
            } else {
                put(&bytes[run.clone()]);
            }
        }
        put(b"}");
        places
    }
}

/// Where parts of a rendered object begin.
struct Places {
    /// Its first member besides kind and apiVersion.
    untyped: usize,
    /// What was put in.
    replaced: Option<usize>,
}

/// An object with a resourceVersion.
#[derive(Debug)]
pub(crate) struct Versioned {
    pub text: Vec<u8>,
    /// Bytes of the object before its first member besides kind and apiVersion.
    pub untyped_start: usize,
    /// Where in the text the number of the resourceVersion begins.
    pub version_at: Option<usize>,
}

fn string_map(scanner: &mut Scanner<'_>) -> Result<Box<[(Box<str>, Box<str>)]>, ScanError> {
    let mut found = Vec::new();
    scanner.enter_object();
    let mut first = true;
    while let Some(key) = scanner.next_key(&mut first)? {
        let value = scanner.scalar()?;
        found.push((key.into(), value.into()));
    }
    Ok(found.into_boxed_slice())
}

fn owner_uids(scanner: &mut Scanner<'_>) -> Result<Box<[OwnerUid]>, ScanError> {
    let mut found = Vec::new();
    scanner.enter_array();
    let mut first = true;
    while scanner.next_element(&mut first)? {
        if !scanner.enter_object() {
            scanner.skip_value()?;
            continue;
        }
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            if key == "uid" {
                found.push(OwnerUid(scanner.scalar()?.into()));
            } else {
                scanner.skip_value()?;
            }
        }
    }
    Ok(found.into_boxed_slice())
}

/// Whether any field lies at or below `parent.key`.
fn wanted_below(fields: &[FieldSpec], parent: &[String], key: &str) -> bool {
    fields
        .iter()
        .flat_map(|field| &field.paths)
        .any(|path| path.len() > parent.len() && path[..parent.len()] == *parent && path[parent.len()] == key)
}

/// Collects field values under `path`; the depth is bounded by the longest field path.
fn walk_fields(
    scanner: &mut Scanner<'_>,
    fields: &[FieldSpec],
    values: &mut [Vec<Option<Box<str>>>],
    path: Vec<String>,
    wanted: bool,
) -> Result<(), ScanError> {
    if !wanted {
        return scanner.skip_value();
    }
    if scanner.peek() == Some(b'{') {
        scanner.enter_object();
        let mut first = true;
        while let Some(key) = scanner.next_key(&mut first)? {
            let wanted = wanted_below(fields, &path, &key);
            if wanted {
                let mut below = path.clone();
                below.push(key.into_owned());
                walk_fields(scanner, fields, values, below, true)?;
            } else {
                scanner.skip_value()?;
            }
        }
        return Ok(());
    }
    let value: Box<str> = scanner.scalar()?.into();
    for (field, found) in fields.iter().zip(values) {
        for (candidate, slot) in field.paths.iter().zip(found) {
            if *candidate == path {
                *slot = Some(value.clone());
            }
        }
    }
    Ok(())
}
