use std::collections::BTreeMap;

use crate::apply::WentBack;
use crate::inventory::Inventory;
use crate::state::{State, UpgradedRelease};
use crate::survey::Survey;

/// After hosts went back: an upgrade's release that none of them is on any more is asked for no longer. Returns it.
pub fn forget_if_left(
    state: &State,
    inventory: &Inventory,
    survey: &Survey,
    done: &BTreeMap<String, WentBack>,
) -> anyhow::Result<Option<UpgradedRelease>> {
    let mut record = state.record()?;
    let in_force = |upgraded: &UpgradedRelease| upgraded.instead_of == inventory.release.binaries;
    if !record.release.as_ref().is_some_and(in_force) {
        return Ok(None);
    }
    let mut releases = inventory.hosts.iter().map(|host| {
        let before = || {
            survey.facts[&host.name]
                .release
                .rsplit('/')
                .next()
                .unwrap_or_default()
        };
        let now = done
            .get(&host.name)
            .map_or_else(before, |back| back.release.as_str());
        (now, survey.desired[&host.name].release_hash())
    });
    if releases.any(|(now, upgraded)| now == upgraded) {
        return Ok(None);
    }
    let left = record.release.take();
    state.save(&record)?;
    Ok(left)
}
