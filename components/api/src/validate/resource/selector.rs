use super::MAX_ITEMS;
use crate::value::{at, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// An expression has at most this many bytes.
const MAX_EXPRESSION: usize = 10 * 1024;

/// Which devices fit: expressions that are all true.
pub(super) fn selectors(request: &Value, path: &Path) -> ErrorList {
    let selectors = list(request, &["selectors"]);
    let mut errors = ErrorList::new();
    if selectors.len() > MAX_ITEMS {
        errors.push(Error::too_many(path, selectors.len(), MAX_ITEMS));
    }
    for (index, selector) in selectors.iter().enumerate() {
        let path = path.index(index).child("cel");
        if !at(selector, &["cel"]).is_object() {
            errors.push(Error::required(&path, ""));
        } else if text(selector, &["cel", "expression"]).len() > MAX_EXPRESSION {
            errors.push(Error::too_long(&path.child("expression"), MAX_EXPRESSION));
        }
    }
    errors
}
