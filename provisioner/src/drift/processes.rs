use super::probe::{FoundUnit, Probe};
use super::{Found, Kind, Remedy};
use crate::desired::{Desired, RELEASE, Unit};
use crate::facts::Facts;

const SHOWN_FLAGS: usize = 4;

/// Units as systemd has loaded them, and their processes as they run.
pub(super) fn compare(desired: &Desired, facts: &Facts, probe: &Probe, found: &mut Found) {
    for unit in &desired.units {
        let state = facts.unit(unit.name).state;
        let restart = || Remedy::Restart(unit.name.to_owned());
        let Some(loaded) = probe.units.get(unit.name) else {
            found.add(Kind::Unit, unit.name, "is not known to systemd", restart());
            continue;
        };
        definition(unit, loaded, found);
        if state != "active" {
            found.add(Kind::Unit, unit.name, format!("is {state}"), restart());
            continue;
        }
        if facts.unit(unit.name).content != unit.content {
            found.add(
                Kind::Unit,
                unit.name,
                "runs with what is no longer current",
                restart(),
            );
        }
        process(desired, unit, loaded, found);
    }
}

fn definition(unit: &Unit, loaded: &FoundUnit, found: &mut Found) {
    let packaged = unit.link.ends_with(".conf");
    if loaded.file_state == "masked" {
        found.add(
            Kind::Unit,
            unit.name,
            "is masked",
            Remedy::Restart(unit.name.to_owned()),
        );
    } else if !packaged && loaded.fragment != unit.link {
        let problem = format!("is loaded from {}, not from {}", loaded.fragment, unit.link);
        found.add(
            Kind::Unit,
            unit.name,
            problem,
            Remedy::Restart(unit.name.to_owned()),
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
                unit: unit.name.to_owned(),
            },
        );
    }
    if loaded.needs_reload {
        let problem = "systemd has not read its files since they were changed";
        found.add(
            Kind::Unit,
            unit.name,
            problem,
            Remedy::Restart(unit.name.to_owned()),
        );
    }
}

fn process(desired: &Desired, unit: &Unit, loaded: &FoundUnit, found: &mut Found) {
    let wanted = exec_start(&desired.text(&unit.file));
    let remedy = || Remedy::Restart(unit.name.to_owned());
    // haproxy's master adds words of its own when it is reloaded.
    let flexible = unit.name == "hardway-haproxy.service";
    if !flexible && !wanted.is_empty() && loaded.command != wanted {
        let extra = loaded.command.iter().filter(|word| !wanted.contains(word));
        let lacking = wanted.iter().filter(|word| !loaded.command.contains(word));
        let words: Vec<String> = extra
            .map(|word| format!("has {word}"))
            .chain(lacking.map(|word| format!("lacks {word}")))
            .collect();
        let problem = if words.is_empty() {
            "runs with its flags in another order".to_owned()
        } else {
            let more = words.len().saturating_sub(SHOWN_FLAGS);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            let shown = &words[..words.len().min(SHOWN_FLAGS)];
            format!("runs with other flags: {}{more}", shown.join(", "))
        };
        found.add(Kind::Flags, unit.name, problem, remedy());
    }
    let Some(exe) = &loaded.exe else { return };
    let program = wanted.first().map(String::as_str).unwrap_or_default();
    let Some(name) = program.strip_prefix(RELEASE) else {
        if exe.ends_with(" (deleted)") {
            found.add(
                Kind::Unit,
                unit.name,
                format!("runs {exe}: a newer one was installed"),
                remedy(),
            );
        }
        return;
    };
    let release = format!("/opt/hardway/releases/{}{name}", desired.release_hash());
    if *exe != release {
        found.add(
            Kind::Unit,
            unit.name,
            format!("runs {exe}, not {release}"),
            remedy(),
        );
    }
}

/// The words of the last `ExecStart=` of a unit file; hardway's templates quote nothing.
fn exec_start(unit: &str) -> Vec<String> {
    let joined = unit.replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.strip_prefix("ExecStart="))
        .next_back()
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_counts() {
        let unit = "[Service]\nExecStart=\nExecStart=/a/b \\\n  --c=d \\\n  --e\nRestart=always\n";
        assert_eq!(exec_start(unit), ["/a/b", "--c=d", "--e"]);
        assert!(exec_start("[Unit]\n").is_empty());
    }
}
