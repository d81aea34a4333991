//! The order of merged lists.
use super::PatchError;
use serde_json::Value;

fn identity<'a>(item: &'a Value, merge_key: Option<&str>) -> Option<&'a Value> {
    match merge_key {
        Some(key) => item.get(key),
        None => Some(item),
    }
}

/// Puts `items` in the order that a `$setElementOrder` list says; the rest keeps its place relative to its neighbours.
pub(super) fn order(
    items: &mut Vec<Value>,
    before: &[Value],
    order: &Value,
    merge_key: Option<&str>,
) -> Result<(), PatchError> {
    let Some(order) = order.as_array() else {
        return Err(PatchError::Malformed("$setElementOrder must be a list".into()));
    };
    order_by(items, before, order, merge_key);
    Ok(())
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

/// A value as Go's `%v` prints it.
pub(super) fn go_map(value: &Value) -> String {
    crate::go::print(value)
}
