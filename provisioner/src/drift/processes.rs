use super::expected::{Expected, ExpectedUnit};
use super::probe::{FoundUnit, Probe};
use super::{Found, Kind, Remedy};
use crate::desired::RELEASE;
use crate::facts::Facts;

const SHOWN_FLAGS: usize = 4;

/// Units as systemd has loaded them, and their processes as they run.
pub(super) fn compare(expected: &Expected, facts: &Facts, probe: &Probe, found: &mut Found) {
    for unit in &expected.units {
        let state = facts.unit(&unit.name).state;
        let restart = || Remedy::Restart(unit.name.clone());
        let Some(loaded) = probe.units.get(&unit.name) else {
            found.add(Kind::Unit, &unit.name, "is not known to systemd", restart());
            continue;
        };
        definition(unit, loaded, found);
        if state != "active" {
            found.add(Kind::Unit, &unit.name, format!("is {state}"), restart());
            continue;
        }
        if facts.unit(&unit.name).content != unit.content {
            found.add(
                Kind::Unit,
                &unit.name,
                "runs with what is no longer current",
                restart(),
            );
        }
        process(expected, unit, loaded, found);
    }
}

fn definition(unit: &ExpectedUnit, loaded: &FoundUnit, found: &mut Found) {
    let packaged = unit.link.ends_with(".conf");
    if loaded.file_state == "masked" {
        found.add(
            Kind::Unit,
            &unit.name,
            "is masked",
            Remedy::Restart(unit.name.clone()),
        );
    } else if !packaged && loaded.fragment != unit.link {
        let problem = format!("is loaded from {}, not from {}", loaded.fragment, unit.link);
        found.add(
            Kind::Unit,
            &unit.name,
            problem,
            Remedy::Restart(unit.name.clone()),
        );
    }
    // What a distribution brings for all units is its own business.
    let foreign =
        |path: &&String| **path != unit.link && !path.starts_with("/usr/") && !path.starts_with("/lib/");
    for path in loaded.drop_ins.iter().filter(foreign) {
        found.add(
            Kind::DropIn,
            path,
            format!("changes {} and is not hardway's", unit.name),
            Remedy::PutAside {
                path: path.clone(),
                unit: unit.name.clone(),
            },
        );
    }
    if loaded.needs_reload {
        let problem = "systemd has not read its files since they were changed";
        found.add(
            Kind::Unit,
            &unit.name,
            problem,
            Remedy::Restart(unit.name.clone()),
        );
    }
}

fn process(expected: &Expected, unit: &ExpectedUnit, loaded: &FoundUnit, found: &mut Found) {
    let remedy = || Remedy::Restart(unit.name.clone());
    // haproxy's master adds words of its own when it is reloaded.
    let flexible = unit.name == "hardway-haproxy.service";
    if let Some(wanted) = unit
        .command
        .as_ref()
        .filter(|words| !flexible && !words.is_empty())
        && loaded.command != *wanted
    {
        found.add(
            Kind::Flags,
            &unit.name,
            other_flags(wanted, &loaded.command),
            remedy(),
        );
    }
    let Some(exe) = &loaded.exe else { return };
    let Some(name) = unit.program.strip_prefix(RELEASE) else {
        if exe.ends_with(" (deleted)") {
            found.add(
                Kind::Unit,
                &unit.name,
                format!("runs {exe}: a newer one was installed"),
                remedy(),
            );
        }
        return;
    };
    let release = format!("{}{name}", expected.release);
    if *exe != release {
        found.add(
            Kind::Unit,
            &unit.name,
            format!("runs {exe}, not {release}"),
            remedy(),
        );
    }
}

fn other_flags(wanted: &[String], running: &[String]) -> String {
    let extra = running.iter().filter(|word| !wanted.contains(word));
    let lacking = wanted.iter().filter(|word| !running.contains(word));
    let words: Vec<String> = extra
        .map(|word| format!("has {word}"))
        .chain(lacking.map(|word| format!("lacks {word}")))
        .collect();
    if words.is_empty() {
        return "runs with its flags in another order".to_owned();
    }
    let more = words.len().saturating_sub(SHOWN_FLAGS);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let shown = &words[..words.len().min(SHOWN_FLAGS)];
    format!("runs with other flags: {}{more}", shown.join(", "))
}
