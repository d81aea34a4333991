use super::{Difference, Remedy};
use crate::facts::Facts;

/// Facts as a plan has to see them to put the differences right.
pub fn corrected(facts: &Facts, differences: &[Difference]) -> Facts {
    let mut facts = facts.clone();
    let restart = |facts: &mut Facts, unit: &str| {
        if let Some(unit) = facts.units.get_mut(unit) {
            unit.content = "drifted".to_owned();
        }
    };
    for difference in differences {
        match &difference.remedy {
            Remedy::Plan => {}
            Remedy::Write(path) => drop(facts.damaged.insert(path.clone())),
            Remedy::Send(hash) => {
                facts.blobs.remove(hash);
                facts.release.clear();
            }
            Remedy::Restart(unit) => restart(&mut facts, unit),
            Remedy::PutAside { path, unit } => {
                facts.foreign_drop_ins.insert(path.clone());
                restart(&mut facts, unit);
            }
            Remedy::Kernel => facts.ip_forward = false,
        }
    }
    facts
}
