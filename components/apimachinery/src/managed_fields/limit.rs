//! An object has so many updaters at most.
use super::entry::{Entry, Managers, Operation};

/// Updaters beyond this many are folded into one.
const MAX_UPDATERS: usize = 10;

const FOLDED: &str = "ancient-changes";

/// Folds the oldest updaters into one when there are too many.
pub(super) fn fold(managers: &mut Managers) {
    let mut updaters: Vec<(String, Entry)> = managers
        .0
        .iter()
        .filter(|(entry, _)| entry.operation == Operation::Update)
        .map(|(entry, owned)| (owned.time.clone(), entry.clone()))
        .collect();
    if updaters.len() <= MAX_UPDATERS {
        return;
    }
    updaters.sort();
    let excess = updaters.len() - MAX_UPDATERS + 1;
    for (_, entry) in updaters.into_iter().take(excess) {
        let Some(owned) = managers.0.remove(&entry) else {
            continue;
        };
        let bucket = Entry::new(Operation::Update, FOLDED, &owned.api_version, "");
        match managers.0.get_mut(&bucket) {
            Some(folded) => {
                folded.fields.add(&owned.fields.to_set());
                folded.time = folded.time.clone().max(owned.time);
            }
            None => {
                managers.0.insert(bucket, owned);
            }
        }
    }
}
