//! An object has so many updaters at most.
use super::entry::{Entry, Managers, Operation};
use std::collections::BTreeMap;

/// Updaters beyond this many are folded into one for each version.
const MAX_UPDATERS: usize = 10;

const FOLDED: &str = "ancient-changes";

/// Folds the oldest updaters of a version into one while there are too many.
pub(super) fn fold(managers: &mut Managers) {
    let mut updaters: Vec<(String, Entry)> = managers
        .0
        .iter()
        .filter(|(entry, _)| entry.operation == Operation::Update)
        .map(|(entry, owned)| (owned.time.clone(), entry.clone()))
        .collect();
    let mut excess = updaters.len().saturating_sub(MAX_UPDATERS);
    if excess == 0 {
        return;
    }
    updaters.sort();
    let mut oldest: BTreeMap<String, Entry> = BTreeMap::new();
    for (time, entry) in updaters {
        if excess == 0 {
            return;
        }
        let Some(first) = oldest.get(&entry.api_version) else {
            oldest.insert(entry.api_version.clone(), entry);
            continue;
        };
        let bucket = Entry::new(Operation::Update, FOLDED, &entry.api_version, "");
        if !managers.0.contains_key(&bucket)
            && let Some(owned) = managers.0.remove(first)
        {
            managers.0.insert(bucket.clone(), owned);
        }
        let younger = if entry == bucket { first } else { &entry };
        if let Some(owned) = managers.0.remove(younger)
            && let Some(folded) = managers.0.get_mut(&bucket)
        {
            folded.fields.add(&owned.fields.to_set());
            folded.time = time;
            excess -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Owned;
    use super::*;
    use crate::fieldset::{FieldSet, FieldsV1};

    fn managers(list: &[(&str, &str)]) -> Managers {
        let entries = list.iter().enumerate().map(|(at, (name, version))| {
            let owned = Owned {
                fields: FieldsV1::from(FieldSet::of_names(&[name])),
                api_version: (*version).to_owned(),
                time: format!("2026-01-01T00:00:{at:02}Z"),
            };
            (Entry::new(Operation::Update, name, version, ""), owned)
        });
        Managers(entries.collect())
    }

    fn folded(list: &[(&str, &str)]) -> Vec<(String, String, Vec<String>)> {
        let mut managers = managers(list);
        fold(&mut managers);
        let mut all: Vec<_> = managers.0.into_iter().collect();
        all.sort_by(|(_, a), (_, b)| a.time.cmp(&b.time));
        all.into_iter()
            .map(|(entry, owned)| (entry.manager, entry.api_version, owned.fields.to_set().paths()))
            .collect()
    }

    #[test]
    fn the_oldest_updaters_of_a_version_become_one() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| (name, "v1"));
        assert_eq!(folded(&names).len(), 10);
        let with = |first: &[(&'static str, &'static str)]| folded(&[first, &names[..]].concat());
        let bucket = |fields: &[&str]| {
            let fields = fields.iter().map(|field| (*field).to_owned()).collect();
            ("ancient-changes".to_owned(), "v1".to_owned(), fields)
        };
        let one = with(&[("x", "v1")]);
        assert_eq!((one.len(), &one[0]), (10, &bucket(&[".a", ".x"])));
        let two = with(&[("x", "v1"), ("y", "v1")]);
        assert_eq!((two.len(), &two[0]), (10, &bucket(&[".a", ".x", ".y"])));
        // What is alone of its version stays.
        let other = with(&[("x", "v2"), ("y", "v1")]);
        assert_eq!(other.len(), 10);
        assert_eq!(other[0].0, "x");
        assert_eq!(other[1], bucket(&[".a", ".b", ".y"]));
        // Those that were folded before go on, wherever they are.
        let before = with(&[("ancient-changes", "v1")]);
        assert_eq!(
            (before.len(), &before[0]),
            (10, &bucket(&[".a", ".ancient-changes"]))
        );
        let later = with(&[("x", "v1"), ("ancient-changes", "v1")]);
        assert_eq!(
            (later.len(), &later[0]),
            (10, &bucket(&[".a", ".ancient-changes", ".x"]))
        );
    }
}
