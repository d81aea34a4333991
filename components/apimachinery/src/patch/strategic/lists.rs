//! The order of merged lists.
use super::PatchError;
use crate::go;
use serde_json::Value;

fn identity<'a>(item: &'a Value, merge_key: Option<&str>) -> Option<&'a Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

/// Whether these are lists of maps, and not of scalars: both is refused, and so are lists of lists.
pub(super) fn of_maps(current: &[Value], patch: &[Value]) -> Result<bool, PatchError> {
    let mut all = current.iter().chain(patch);
    let Some(first) = all.next() else {
        return Ok(false);
    };
    if first.is_array() {
        return Err(PatchError::Rejected("lists of lists are not supported".into()));
    }
    if all.any(|other| go::type_of(other) != go::type_of(first)) {
        let shown = |list: &[Value]| go::print(&Value::Array(list.to_vec()));
        return Err(PatchError::Failed(format!(
            "list element types are not identical: [{} {}]",
            shown(current),
            shown(patch)
        )));
    }
    Ok(first.is_object())
}

/// Each item must have the key that they are told apart by.
pub(super) fn check_keys(items: &[Value], merge_key: &str) -> Result<(), PatchError> {
    let nameless = items.iter().find(|item| item.get(merge_key).is_none());
    nameless.map_or(Ok(()), |item| super::no_merge_key(item, merge_key))
}

/// The items of a patch must be among those that `$setElementOrder` names, in its order.
pub(super) fn check_order(
    patch: &[Value],
    order: &[Value],
    merge_key: Option<&str>,
) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let plain = |item: &&Value| item.get(super::DIRECTIVE).is_none();
    let mut items = patch.iter().filter(plain).peekable();
    let key = |item: &Value| match merge_key {
        None => Ok(item.clone()),
        Some(merge_key) => match item.get(merge_key) {
            Some(key) => Ok(key.clone()),
            None => super::no_merge_key(item, merge_key),
        },
    };
    for named in order {
        let Some(item) = items.peek() else { break };
        if key(item)? == key(named)? {
            items.next();
        }
    }
    if items.peek().is_none() {
        return Ok(());
    }
    let list = |items: &[Value]| go::print(&Value::Array(items.to_vec()));
    Err(PatchError::Failed(format!(
        "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
        list(patch),
        list(order)
    )))
}

/// Makes of the list before the patch what upstream has in its place when it orders the result: the places at the end that became free by
/// deletions are taken by the first new items, which by that have an order among what only the server has.
pub(super) fn reuse_places(before: &mut Vec<Value>, patch: &[Value], merge_key: &str) {
    let is_deletion = |item: &Value| {
        item.get(super::DIRECTIVE)
            .is_some_and(|directive| directive == "delete")
    };
    let (places, key) = (before.len(), |item: &Value| item.get(merge_key).cloned());
    for gone in patch.iter().filter(|item| is_deletion(item)).map(key) {
        before.retain(|item| key(item) != gone);
    }
    let new = patch.iter().filter(|item| item.get(super::DIRECTIVE).is_none());
    for item in new {
        let known = before.iter().any(|other| key(other) == key(item));
        if before.len() < places && !known {
            before.push(item.clone());
        }
    }
}

/// Sorts `items`: what `order` names comes in its order; what only the server has is put in by its old place.
pub(super) fn order_by(items: &mut Vec<Value>, before: &[Value], order: &[Value], merge_key: Option<&str>) {
    let rank = |list: &[Value], item: &Value| {
        let own = identity(item, merge_key)?;
        list.iter()
            .position(|other| identity(other, merge_key) == Some(own))
    };
    let (named, server): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| rank(order, item).is_some());
    let ranked = |all: Vec<Value>, list: &[Value]| {
        let ranked = all.into_iter().map(|item| (rank(list, &item), item)).collect();
        sorted(ranked).into_iter().peekable()
    };
    let (mut named, mut server) = (ranked(named, order), ranked(server, before));
    while let (Some((_, left)), Some((right, _))) = (named.peek(), server.peek()) {
        // A server-only item goes first when it stood before this named one.
        let right_first = match (rank(before, left), right) {
            (Some(left), Some(right)) => *right < left,
            _ => false,
        };
        let next = if right_first { server.next() } else { named.next() };
        items.extend(next.map(|(_, item)| item));
    }
    items.extend(named.chain(server).map(|(_, item)| item));
}

/// By rank. One without a rank goes before all that stand before it, as where upstream sorts: there it is less than whatever it is
/// compared with, and so is what it is compared with.
fn sorted(mut all: Vec<(Option<usize>, Value)>) -> Vec<(Option<usize>, Value)> {
    let less = |one: Option<usize>, other: Option<usize>| match (one, other) {
        (Some(one), Some(other)) => one < other,
        _ => true,
    };
    for begin in 1..all.len() {
        let mut at = begin;
        while at > 0 && less(all[at].0, all[at - 1].0) {
            all.swap(at, at - 1);
            at -= 1;
        }
    }
    all
}
