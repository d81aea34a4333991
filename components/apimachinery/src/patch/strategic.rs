//! Strategic merge patch: like merge patch, but lists are merged by the keys that the schema names.
//!
//! What directives do where, and which mistakes are whose, is as in upstream's `strategicpatch`.
mod lists;

use super::PatchError;
use crate::go;
use crate::schema::{Field, PatchRule, SchemaId, SchemaSet, Type};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";
const RETAIN_KEYS: &str = "$retainKeys";

/// Merges `patch` into an object of the struct `id`.
pub fn apply(set: &SchemaSet, id: SchemaId, target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let patch = match patch {
        Value::Object(patch) => patch,
        // Go reads null as a map without members.
        Value::Null => return Ok(()),
        other => {
            return malformed(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                super::go_kind(other)
            ));
        }
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    Merger { set }.map(target, patch, Some(&Type::Struct(id)))
}

struct Merger<'a> {
    set: &'a SchemaSet,
}

fn malformed<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Malformed(message.into()))
}

fn failed<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Failed(message.into()))
}

fn no_merge_key<T>(item: &Value, merge_key: &str) -> Result<T, PatchError> {
    let item = go::print(item);
    failed(format!(
        "map: {item} does not contain declared merge key: {merge_key}"
    ))
}

fn unknown_directive<T>(directive: &Value, map: &Map<String, Value>) -> Result<T, PatchError> {
    let map = go::print(&Value::Object(map.clone()));
    failed(format!(
        "unknown patch type: {} in map: {map}",
        go::print(directive)
    ))
}

/// A value with nothing to merge with: nulls of maps are left out, and so is what has a directive.
fn fresh(value: &Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            let kept = kept.filter_map(|(key, value)| Some((key.clone(), fresh(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.iter().filter_map(fresh).collect())),
        other => Some(other.clone()),
    }
}

/// Whether both are of one kind to Go: maps, lists, texts, numbers or booleans.
fn alike(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| value.is_i64() || value.is_u64();
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => number(one) == number(other),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

impl Merger<'_> {
    fn field(&self, ty: Option<&Type>, key: &str) -> Option<&Field> {
        match ty {
            Some(Type::Struct(id)) => self.set.get(*id).field(key),
            _ => None,
        }
    }

    /// The type of the value under `key`, and the patch rule of the field.
    fn below<'b>(
        &'b self,
        ty: Option<&'b Type>,
        key: &str,
    ) -> Result<(Option<&'b Type>, PatchRule), PatchError> {
        match ty {
            Some(Type::Map(inner, _)) => Ok((Some(inner), PatchRule::default())),
            Some(Type::Struct(id)) => match self.field(ty, key) {
                Some(field) => Ok((Some(&field.ty), field.patch.clone().unwrap_or_default())),
                None => {
                    let name = &self.set.get(*id).name;
                    let name = name.rsplit('.').next().unwrap_or(name);
                    failed(format!(
                        "unable to find api field in struct {name} for the json field {key:?}"
                    ))
                }
            },
            _ => Ok((None, PatchRule::default())),
        }
    }

    fn map(
        &self,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        ty: Option<&Type>,
    ) -> Result<(), PatchError> {
        match patch.get(DIRECTIVE) {
            None => {}
            // Taken as it is, whatever is inside.
            Some(Value::String(directive)) if directive == "replace" => {
                *target = patch.clone();
                target.remove(DIRECTIVE);
                return Ok(());
            }
            Some(Value::String(directive)) if directive == "delete" => {
                target.clear();
                return Ok(());
            }
            Some(other) => return unknown_directive(other, patch),
        }
        retain_keys(target, patch)?;
        // Lists with an order are merged first, and then not again.
        for (key, order) in patch {
            if let Some(field) = key.strip_prefix(ORDER_PREFIX) {
                self.ordered(target, field, patch.get(field), order, ty)?;
            }
        }
        for (key, value) in patch {
            if key == RETAIN_KEYS || key.starts_with(ORDER_PREFIX) {
                continue;
            }
            if let Some(field) = key.strip_prefix(DELETE_PREFIX) {
                self.delete_primitives(target, field, value)?;
                continue;
            }
            if patch.contains_key(&format!("{ORDER_PREFIX}{key}")) {
                continue;
            }
            if value.is_null() {
                target.remove(key);
                continue;
            }
            self.member(target, key, value, ty)?;
        }
        Ok(())
    }

    fn member(
        &self,
        target: &mut Map<String, Value>,
        key: &str,
        value: &Value,
        ty: Option<&Type>,
    ) -> Result<(), PatchError> {
        let current = target.get_mut(key).filter(|current| alike(current, value));
        let merged = match (current, value) {
            (Some(Value::Object(current)), Value::Object(patch)) => {
                let (below, rule) = self.below(ty, key)?;
                if !rule.replace {
                    return self.map(current, patch, below);
                }
                Some(value.clone())
            }
            (Some(Value::Array(current)), Value::Array(patch)) => {
                let (below, rule) = self.below(ty, key)?;
                Some(Value::Array(self.list(
                    std::mem::take(current),
                    patch,
                    below,
                    &rule,
                )?))
            }
            _ => fresh(value),
        };
        match merged {
            Some(merged) => target.insert(key.to_owned(), merged),
            None => target.remove(key),
        };
        Ok(())
    }

    /// A list whose order the patch says.
    fn ordered(
        &self,
        target: &mut Map<String, Value>,
        field: &str,
        patch: Option<&Value>,
        order: &Value,
        ty: Option<&Type>,
    ) -> Result<(), PatchError> {
        let list = |value: &Value| match value {
            Value::Array(_) => Ok(()),
            other => failed(format!(
                "expected a []interface {{}}, but received a {}",
                go::type_of(other)
            )),
        };
        list(order)?;
        target.get(field).map(list).transpose()?;
        patch.map(list).transpose()?;
        let (below, rule) = self.below(ty, field)?;
        let order = order.as_array().map_or(&[][..], Vec::as_slice);
        let items = patch.and_then(Value::as_array).map(Vec::as_slice);
        let merge_key = rule.merge_key.as_deref();
        lists::check_order(items.unwrap_or_default(), order, merge_key)?;
        let before = target.get(field).and_then(Value::as_array).cloned();
        let mut merged = match (before.clone(), items) {
            (None, None) => return Ok(()),
            (Some(before), None) => before,
            (None, Some(items)) => items.iter().filter_map(fresh).collect(),
            (Some(before), Some(items)) => self.list(before, items, below, &rule)?,
        };
        if let Some(merge_key) = merge_key {
            lists::check_keys(&merged, merge_key)?;
        }
        let mut before = before.unwrap_or_default();
        if before.is_empty() && items.is_none_or(<[Value]>::is_empty) {
            return failed("no elements in any of the given slices");
        }
        if let (Some(merge_key), true) = (merge_key, rule.merge) {
            lists::reuse_places(&mut before, items.unwrap_or_default(), merge_key);
        }
        lists::order_by(&mut merged, &before, order, merge_key);
        target.insert(field.to_owned(), Value::Array(merged));
        Ok(())
    }

    fn list(
        &self,
        current: Vec<Value>,
        patch: &[Value],
        ty: Option<&Type>,
        rule: &PatchRule,
    ) -> Result<Vec<Value>, PatchError> {
        if !rule.merge {
            // Taken as it is, directives and all.
            return Ok(patch.to_vec());
        }
        if !lists::of_maps(&current, patch)? {
            let mut items = current.clone();
            for value in patch {
                if !items.contains(value) {
                    items.push(value.clone());
                }
            }
            lists::order_by(&mut items, &current, patch, None);
            return Ok(items);
        }
        let item = match ty {
            Some(Type::List(item, _)) => Some(&**item),
            _ => None,
        };
        let Some(merge_key) = rule.merge_key.as_deref() else {
            return failed("cannot merge lists without merge key for type struct");
        };
        let mut items = current;
        let (mut plain, mut replacing) = (Vec::with_capacity(patch.len()), false);
        for value in patch {
            let Value::Object(map) = value else { continue };
            match map.get(DIRECTIVE) {
                None => plain.push(value.clone()),
                Some(Value::String(directive)) if directive == "delete" => {
                    let Some(key) = map.get(merge_key) else {
                        return no_merge_key(value, merge_key);
                    };
                    items.retain(|item| item.get(merge_key) != Some(key));
                }
                Some(Value::String(directive)) if directive == "replace" => replacing = true,
                Some(Value::String(directive)) if directive == "merge" => {
                    return failed("merging lists cannot yet be specified in the patch");
                }
                Some(other) => return unknown_directive(other, map),
            }
        }
        if replacing {
            lists::check_keys(&plain, merge_key)?;
            return Ok(plain);
        }
        let left = items.clone();
        for value in &plain {
            let (Some(key), Value::Object(map)) = (value.get(merge_key), value) else {
                return no_merge_key(value, merge_key);
            };
            match items.iter_mut().find(|item| item.get(merge_key) == Some(key)) {
                Some(Value::Object(current)) => self.map(current, map, item)?,
                // As it is: directives inside of it are fields that nobody knows.
                _ => items.push(value.clone()),
            }
        }
        lists::check_keys(&items, merge_key)?;
        lists::order_by(&mut items, &left, &plain, Some(merge_key));
        Ok(items)
    }

    fn delete_primitives(
        &self,
        target: &mut Map<String, Value>,
        field: &str,
        removed: &Value,
    ) -> Result<(), PatchError> {
        let Some(removed) = removed.as_array() else {
            return malformed("invalid patch format of primitive list");
        };
        if let Some(Value::Array(items)) = target.get_mut(field) {
            items.retain(|item| !removed.contains(item));
        }
        Ok(())
    }
}

/// Members that `$retainKeys` doesn't name go; those that the patch has must be named.
fn retain_keys(target: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), PatchError> {
    let Some(keep) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let wrong = || PatchError::Malformed("invalid patch format of retainKeys".into());
    let keep = keep.as_array().ok_or_else(wrong)?;
    let named = |key: &str| keep.iter().any(|kept| kept == key);
    let directive =
        |key: &str| key == RETAIN_KEYS || key.starts_with(DELETE_PREFIX) || key.starts_with(ORDER_PREFIX);
    let mut members = patch
        .iter()
        .filter(|(key, value)| !value.is_null() && !directive(key));
    if members.any(|(key, _)| !named(key)) {
        return Err(wrong());
    }
    target.retain(|key, _| named(key));
    Ok(())
}

#[cfg(test)]
mod tests;
