//! Whether the quotas of a namespace let an object in, and what they are charged: pure.

use super::limited::Limited;
use api::quota::{Counter, Usage, scopes};
use apimachinery::{Quantity, meta};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A new or changed object, and how it is counted.
pub(super) struct Change<'a> {
    pub counter: Counter<'a>,
    pub object: &'a Value,
    pub old: Option<&'a Value>,
    /// Who reports a status is never refused, but what it says is counted.
    pub enforced: bool,
}

/// Why an object isn't let in; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Forbidden(String),
    /// A limited scope that no quota is about.
    Uncovered(String),
}

fn amount(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
}

fn forbidden<T>(why: String) -> Result<T, Refusal> {
    Err(Refusal::Forbidden(why))
}

/// What each quota is to be charged, by its place in `quotas`.
pub(super) fn decide(
    change: &Change<'_>,
    quotas: &[Arc<Value>],
    limited: &[Limited],
) -> Result<Vec<(usize, Usage)>, Refusal> {
    let Change { counter, object, .. } = change;
    let mut concerned = Vec::new();
    let mut covered = BTreeSet::new();
    for (index, quota) in quotas.iter().enumerate() {
        let hard = &quota["status"]["hard"];
        let mut restricted: Vec<&str> = names(hard).filter(|name| counter.covers(name)).collect();
        if restricted.is_empty() || !counter.in_scope(quota, object) {
            continue;
        }
        if let Some(why) = counter.unsaid(restricted.iter().copied(), object) {
            return forbidden(format!("failed quota: {}: {why}", meta::name(quota)));
        }
        let used = &quota["status"]["used"];
        restricted.sort_unstable();
        if restricted.iter().any(|name| used.get(*name).is_none()) {
            return forbidden(format!(
                "status unknown for quota: {}, resources: {}",
                meta::name(quota),
                restricted.join(",")
            ));
        }
        concerned.push(index);
        covered.extend(restricted);
    }
    let usage = counter.usage(object);
    let negative: Vec<&str> = usage
        .iter()
        .filter(|(_, amount)| amount.sign() < 0)
        .map(|(name, _)| name.as_str())
        .collect();
    if !negative.is_empty() {
        return forbidden(format!(
            "quota usage is negative for resource(s): {}",
            negative.join(",")
        ));
    }
    let grown = change.old.map(|old| more(&usage, &counter.usage(old)));
    // What a quota wasn't about before counts in full.
    let delta = |quota: &Value| match (&grown, change.old) {
        (Some(grown), Some(old)) if counter.in_scope(quota, old) => grown,
        _ => &usage,
    };
    let used_more = |usage: &Usage| usage.values().any(|amount| amount.sign() > 0);
    let matters = if concerned.is_empty() {
        used_more(grown.as_ref().unwrap_or(&usage))
    } else {
        concerned.iter().any(|index| used_more(delta(&quotas[*index])))
    };
    if !matters {
        return Ok(Vec::new());
    }
    must_be_covered(change, quotas, limited, &usage, &covered)?;
    let mut charges = Vec::new();
    for index in concerned {
        let quota = &quotas[index];
        let hard = &quota["status"]["hard"];
        let more: Usage = delta(quota)
            .iter()
            .filter(|(name, amount)| amount.sign() > 0 && hard.get(name.as_str()).is_some())
            .map(|(name, amount)| (name.clone(), *amount))
            .collect();
        if more.is_empty() {
            continue;
        }
        if change.enforced {
            fits(quota, &more).map_err(Refusal::Forbidden)?;
        }
        charges.push((index, more));
    }
    Ok(charges)
}

/// What is used beyond what was used before.
fn more(usage: &Usage, before: &Usage) -> Usage {
    let beyond = |(name, amount): (&String, &Quantity)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name.clone(), *amount - before)
    };
    usage.iter().map(beyond).collect()
}

/// What the configuration limits needs a quota.
fn must_be_covered(
    change: &Change<'_>,
    quotas: &[Arc<Value>],
    limited: &[Limited],
    usage: &Usage,
    covered: &BTreeSet<&str>,
) -> Result<(), Refusal> {
    if limited.is_empty() {
        return Ok(());
    }
    let Change { counter, object, .. } = change;
    let own = |limited: &&Limited| limited.api_group == counter.group && limited.resource == counter.plural;
    let is_limited = |name: &str| {
        let mut parts = limited.iter().filter(own).flat_map(|one| &one.match_contains);
        parts.any(|part| name.contains(part.as_str()))
    };
    let uncovered: Vec<&str> = usage
        .iter()
        .filter(|(name, amount)| amount.sign() > 0 && is_limited(name))
        .map(|(name, _)| name.as_str())
        .filter(|name| !covered.contains(name))
        .collect();
    if !uncovered.is_empty() {
        return forbidden(format!("insufficient quota to consume: {}", uncovered.join(",")));
    }
    let met: BTreeSet<&str> = quotas
        .iter()
        .flat_map(|quota| scopes::of(quota))
        .filter(|requirement| counter.meets(requirement, object))
        .map(|requirement| requirement.scope)
        .collect();
    let uncovered: Vec<String> = limited
        .iter()
        .flat_map(|one| &one.match_scopes)
        .map(scopes::requirement)
        .filter(|requirement| counter.meets(requirement, object) && !met.contains(requirement.scope))
        .map(|requirement| {
            let values: Vec<&str> = requirement.values.iter().filter_map(Value::as_str).collect();
            format!(
                "{{{} {} [{}]}}",
                requirement.scope,
                requirement.operator,
                values.join(" ")
            )
        })
        .collect();
    if uncovered.is_empty() {
        return Ok(());
    }
    Err(Refusal::Uncovered(format!(
        "insufficient quota to match these scopes: [{}]",
        uncovered.join(" ")
    )))
}

/// Whether a quota has room for more.
fn fits(quota: &Value, more: &Usage) -> Result<(), String> {
    let status = &quota["status"];
    let of = |list: &Value, name: &str| list.get(name).and_then(amount).unwrap_or_default();
    let exceeded: Vec<(&String, [Quantity; 3])> = more
        .iter()
        .filter_map(|(name, more)| {
            let (used, hard) = (of(&status["used"], name), amount(status["hard"].get(name)?)?);
            (used + *more > hard).then_some((name, [*more, used, hard]))
        })
        .collect();
    if exceeded.is_empty() {
        return Ok(());
    }
    let column = |index: usize| {
        let cells = exceeded
            .iter()
            .map(|(name, amounts)| format!("{name}={}", amounts[index]));
        cells.collect::<Vec<_>>().join(",")
    };
    Err(format!(
        "exceeded quota: {}, requested: {}, used: {}, limited: {}",
        meta::name(quota),
        column(0),
        column(1),
        column(2)
    ))
}

/// Adds to what is used, unless that exceeds the quota.
pub(super) fn add_to(quota: &mut Value, more: &Usage, enforced: bool) -> Result<(), String> {
    if enforced {
        fits(quota, more)?;
    }
    let mut used = quota["status"]["used"].as_object().cloned().unwrap_or_default();
    for (name, more) in more {
        if quota["status"]["hard"].get(name).is_some() {
            let before = used.get(name).and_then(amount).unwrap_or_default();
            used.insert(name.clone(), json!((before + *more).to_string()));
        }
    }
    quota["status"]["used"] = Value::Object(used);
    Ok(())
}

#[cfg(test)]
mod tests;
