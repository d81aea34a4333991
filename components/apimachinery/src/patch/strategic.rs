//! Strategic merge patch: like merge patch, but lists are merged by the keys that the schema names.
mod lists;

use super::PatchError;
use crate::schema::{Field, PatchRule, SchemaId, SchemaSet, Type};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList/";
const ORDER_PREFIX: &str = "$setElementOrder/";
const RETAIN_KEYS: &str = "$retainKeys";

/// Merges `patch` into an object of the struct `id`.
pub fn apply(set: &SchemaSet, id: SchemaId, target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Object(patch) = patch else {
        return Err(PatchError::Malformed("patch is not an object".into()));
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    Merger { set }.map(target, patch, Some(&Type::Struct(id)), true)
}

struct Merger<'a> {
    set: &'a SchemaSet,
}

fn malformed<T>(message: impl Into<String>) -> Result<T, PatchError> {
    Err(PatchError::Malformed(message.into()))
}

impl Merger<'_> {
    fn field(&self, ty: Option<&Type>, key: &str) -> Option<&Field> {
        match ty {
            Some(Type::Struct(id)) => self.set.get(*id).field(key),
            _ => None,
        }
    }

    /// The type of the value under `key`, and the patch rule of the field.
    fn below<'b>(&'b self, ty: Option<&'b Type>, key: &str) -> (Option<&'b Type>, PatchRule) {
        match ty {
            Some(Type::Map(inner, _)) => (Some(inner), PatchRule::default()),
            _ => match self.field(ty, key) {
                Some(field) => (Some(&field.ty), field.patch.clone().unwrap_or_default()),
                None => (None, PatchRule::default()),
            },
        }
    }

    /// `merging`: there was something to merge with, so that `null` removes and directives act.
    fn map(
        &self,
        target: &mut Map<String, Value>,
        patch: &Map<String, Value>,
        ty: Option<&Type>,
        merging: bool,
    ) -> Result<(), PatchError> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            let rest = || {
                patch
                    .iter()
                    .filter(|(key, _)| *key != DIRECTIVE)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect()
            };
            match directive.as_str() {
                Some("replace") => {
                    *target = rest();
                    return Ok(());
                }
                Some("delete") => {
                    target.clear();
                    return Ok(());
                }
                Some("merge") => {}
                _ => {
                    return malformed(format!(
                        "unrecognized directive: {}",
                        directive.as_str().unwrap_or_default()
                    ));
                }
            }
        }
        if let Some(keep) = patch.get(RETAIN_KEYS) {
            let Some(keep) = keep.as_array() else {
                return malformed("invalid format for $retainKeys: expected a list");
            };
            target.retain(|key, _| keep.iter().any(|kept| kept == key.as_str()));
        }
        for (key, value) in patch {
            if key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(ORDER_PREFIX) {
                continue;
            }
            if let Some(field) = key.strip_prefix(DELETE_PREFIX) {
                self.delete_primitives(target, field, value)?;
                continue;
            }
            if value.is_null() {
                if merging {
                    target.remove(key);
                }
                continue;
            }
            let (below, rule) = self.below(ty, key);
            let order = patch.get(&format!("{ORDER_PREFIX}{key}"));
            match (target.get_mut(key), value) {
                (Some(Value::Object(current)), Value::Object(patch)) if !rule.replace => {
                    self.map(current, patch, below, true)?;
                    // A union member that was deleted by directive is gone, not empty.
                    if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                        target.remove(key);
                    }
                }
                (Some(Value::Array(current)), Value::Array(patch)) => {
                    let merged = self.list(std::mem::take(current), patch, below, &rule, order)?;
                    target.insert(key.clone(), Value::Array(merged));
                }
                _ => {
                    if let Some(fresh) = self.fresh(value, below, &rule)? {
                        target.insert(key.clone(), fresh);
                    }
                }
            }
        }
        for (key, order) in patch
            .iter()
            .filter_map(|(key, order)| Some((key.strip_prefix(ORDER_PREFIX)?, order)))
        {
            if patch.contains_key(key) {
                continue;
            }
            let (_, rule) = self.below(ty, key);
            if let Some(Value::Array(items)) = target.get_mut(key) {
                lists::order(items, &[], order, rule.merge_key.as_deref())?;
            }
        }
        Ok(())
    }

    /// A value with nothing to merge with: directives and nulls inside are carried out and dropped.
    fn fresh(&self, value: &Value, ty: Option<&Type>, rule: &PatchRule) -> Result<Option<Value>, PatchError> {
        Ok(match value {
            Value::Object(patch) => {
                if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
                    return Ok(None);
                }
                let mut map = Map::new();
                self.map(&mut map, patch, ty, false)?;
                Some(Value::Object(map))
            }
            Value::Array(patch) => Some(Value::Array(self.list(Vec::new(), patch, ty, rule, None)?)),
            value => Some(value.clone()),
        })
    }

    fn list(
        &self,
        current: Vec<Value>,
        patch: &[Value],
        ty: Option<&Type>,
        rule: &PatchRule,
        order: Option<&Value>,
    ) -> Result<Vec<Value>, PatchError> {
        let item = match ty {
            Some(Type::List(item, _)) => Some(&**item),
            _ => None,
        };
        let directive = |value: &Value| value.get(DIRECTIVE).and_then(Value::as_str).map(str::to_owned);
        let replacing = patch
            .iter()
            .any(|value| directive(value).as_deref() == Some("replace"));
        if !rule.merge {
            // A list that isn't merged is taken as it is, directives and all.
            return Ok(patch.to_vec());
        }
        if replacing {
            let kept = patch.iter().filter(|value| {
                !(directive(value).as_deref() == Some("replace")
                    && value.as_object().is_some_and(|map| map.len() == 1))
            });
            return kept.map(|value| self.plain(value, item)).collect();
        }
        let before = current.clone();
        let mut items = current;
        match rule.merge_key.as_deref() {
            None => {
                for value in patch {
                    if value.is_object() || value.is_array() || !items.contains(value) {
                        items.push(value.clone());
                    }
                }
            }
            Some(merge_key) => {
                for value in patch {
                    self.item(&mut items, value, item, merge_key)?;
                }
            }
        }
        if let Some(order) = order {
            lists::order(&mut items, &before, order, rule.merge_key.as_deref())?;
        } else {
            lists::order_by(&mut items, &before, patch, rule.merge_key.as_deref());
        }
        Ok(items)
    }

    fn plain(&self, value: &Value, ty: Option<&Type>) -> Result<Value, PatchError> {
        Ok(self
            .fresh(value, ty, &PatchRule::default())?
            .unwrap_or(Value::Null))
    }

    fn item(
        &self,
        items: &mut Vec<Value>,
        patch: &Value,
        ty: Option<&Type>,
        merge_key: &str,
    ) -> Result<(), PatchError> {
        let Value::Object(patch_map) = patch else {
            return malformed(format!(
                "expected an object in a list that is merged by {merge_key}"
            ));
        };
        let Some(key) = patch_map.get(merge_key) else {
            return malformed(format!(
                "map: {} does not contain declared merge key: {merge_key}",
                lists::go_map(patch)
            ));
        };
        let at = items.iter().position(|item| item.get(merge_key) == Some(key));
        if patch_map.get(DIRECTIVE).and_then(Value::as_str) == Some("delete") {
            items.retain(|item| item.get(merge_key) != Some(key));
            return Ok(());
        }
        match at.and_then(|at| items.get_mut(at)) {
            Some(Value::Object(current)) => self.map(current, patch_map, ty, true),
            _ => {
                items.push(self.plain(patch, ty)?);
                Ok(())
            }
        }
    }

    fn delete_primitives(
        &self,
        target: &mut Map<String, Value>,
        field: &str,
        removed: &Value,
    ) -> Result<(), PatchError> {
        let Some(removed) = removed.as_array() else {
            return malformed(format!("expected a list in {DELETE_PREFIX}{field}"));
        };
        if let Some(Value::Array(items)) = target.get_mut(field) {
            items.retain(|item| !removed.contains(item));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
