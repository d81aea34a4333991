//! Claims of volumes: how many, and how much storage, of each class and in all.

use super::{Usage, amount, count, scopes};
use apimachinery::quantity::Precision;
use apimachinery::{Quantity, meta};
use serde_json::Value;

const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const COUNTED: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];

pub(super) fn covers(name: &str) -> bool {
    let of_class = || COUNTED.iter().any(|counted| ends_with(name, counted));
    COUNTED.contains(&name) || of_class()
}

fn ends_with(name: &str, counted: &str) -> bool {
    name.strip_suffix(counted)
        .is_some_and(|rest| rest.ends_with(OF_CLASS))
}

fn class(claim: &Value) -> &str {
    meta::annotation(claim, CLASS_ANNOTATION)
        .or_else(|| claim["spec"]["storageClassName"].as_str())
        .unwrap_or("")
}

fn whole(amount: Quantity) -> Quantity {
    amount.rounded_up(Precision::Whole)
}

/// What is asked for, or more, if more was promised when it grew: a volume doesn't shrink again. In whole bytes, as a
/// quota may say it.
fn storage(claim: &Value) -> Option<Quantity> {
    let asked = amount(&claim["spec"]["resources"]["requests"]["storage"]).map(whole)?;
    let allocated = amount(&claim["status"]["allocatedResources"]["storage"]);
    Some(match allocated {
        Some(allocated) if allocated > asked => whole(allocated),
        _ => asked,
    })
}

pub(super) fn usage(claim: &Value) -> Usage {
    let mut usage = Usage::from([("persistentvolumeclaims".to_owned(), count(1))]);
    let class = class(claim);
    let storage = storage(claim);
    if !class.is_empty() {
        usage.insert(format!("{class}{OF_CLASS}persistentvolumeclaims"), count(1));
        if let Some(storage) = storage {
            usage.insert(format!("{class}{OF_CLASS}requests.storage"), storage);
        }
    }
    if let Some(storage) = storage {
        usage.insert("requests.storage".to_owned(), storage);
    }
    usage
}

/// Whether a status moves a claim to another amount or scope.
pub(super) fn status_differs(old: &Value, new: &Value) -> bool {
    let allocated = |claim: &Value| amount(&claim["status"]["allocatedResources"]["storage"]);
    allocated(old) != allocated(new) || scopes::attributes_classes(old) != scopes::attributes_classes(new)
}
