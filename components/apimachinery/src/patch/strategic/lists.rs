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
    if first.is_array() || all.clone().any(Value::is_array) {
        return Err(PatchError::Rejected("lists of lists are not supported".into()));
    }
    if all.any(|other| other.is_object() != first.is_object()) {
        let shown: Vec<String> = [current, patch].concat().iter().map(go::print).collect();
        let shown = shown.join(" ");
        return Err(PatchError::Failed(format!(
            "list element types are not identical: [{shown}]"
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

/// Sorts `items`: what `order` names comes in its order; what only the server has is put in by its old place.
pub(super) fn order_by(items: &mut Vec<Value>, before: &[Value], order: &[Value], merge_key: Option<&str>) {
    let rank = |list: &[Value], item: &Value| {
        let own = identity(item, merge_key)?;
        list.iter()
            .position(|other| identity(other, merge_key) == Some(own))
    };
    let (mut named, server): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| rank(order, item).is_some());
    named.sort_by_key(|item| rank(order, item));
    let (mut named, mut server) = (named.into_iter().peekable(), server.into_iter().peekable());
    while let (Some(left), Some(right)) = (named.peek(), server.peek()) {
        // A server-only item goes first when it stood before this named one.
        let right_first = match (rank(before, left), rank(before, right)) {
            (Some(left), Some(right)) => right < left,
            _ => false,
        };
        items.extend(if right_first { server.next() } else { named.next() });
    }
    items.extend(named);
    items.extend(server);
}
