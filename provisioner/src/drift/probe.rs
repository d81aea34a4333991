use std::collections::BTreeMap;

use crate::ports::Listener;
use crate::render::all_names;
use crate::ssh::{Connection, SshError};

/// What a host really holds and runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Probe {
    /// Path in the current generation -> file.
    pub files: BTreeMap<String, FoundFile>,
    /// Path in the current release, for example `bin/kubelet`.
    pub programs: BTreeMap<String, FoundFile>,
    pub units: BTreeMap<String, FoundUnit>,
    /// Destination, for example `10.200.1.0/24` -> next hop, when it has one.
    pub routes: BTreeMap<String, Option<String>>,
    pub listening: Vec<Listener>,
    /// What the current generation says of itself: its `meta/release`, `meta/units` and `meta/links`.
    pub own_release: String,
    pub own_units: String,
    pub own_links: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundFile {
    /// sha256; `other` when it is no regular file.
    pub hash: String,
    pub mode: u32,
    pub owner: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundUnit {
    pub fragment: String,
    pub drop_ins: Vec<String>,
    pub needs_reload: bool,
    pub file_state: String,
    /// Of the main process; None when it does not run.
    pub exe: Option<String>,
    pub command: Vec<String>,
}

const SCRIPT: &str = include_str!("../../../templates/scripts/verify.sh");

/// Asks one host.
pub fn gather(connection: &Connection) -> Result<Probe, SshError> {
    let units: Vec<&str> = all_names().collect();
    let doing = "reading what is on the host";
    let text = connection.script(doing, &SCRIPT.replace("@UNITS@", &units.join(" ")))?;
    parse(&text).ok_or_else(|| SshError::Lost {
        doing: doing.to_owned(),
        reason: "the host's answer is incomplete".to_owned(),
    })
}

/// Reads the script's answer; None when its last line is missing.
pub fn parse(text: &str) -> Option<Probe> {
    let mut probe = Probe::default();
    let mut complete = false;
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        match key {
            "file" => drop(file(value).map(|(path, file)| probe.files.insert(path, file))),
            "program" => drop(file(value).map(|(path, file)| probe.programs.insert(path, file))),
            "show" => show(&mut probe, value),
            "dropin" => {
                if let Some((unit, path)) = value.split_once(' ') {
                    let known = &mut probe.units.entry(unit.to_owned()).or_default().drop_ins;
                    if !known.iter().any(|one| one == path) {
                        known.push(path.to_owned());
                    }
                }
            }
            "exe" => {
                if let Some((unit, exe)) = value.split_once(' ') {
                    probe.units.entry(unit.to_owned()).or_default().exe = Some(exe.to_owned());
                }
            }
            "command" => {
                if let Some((unit, words)) = value.split_once(' ') {
                    let words = words.trim_end_matches('\u{1f}').split('\u{1f}');
                    probe.units.entry(unit.to_owned()).or_default().command =
                        words.map(str::to_owned).collect();
                }
            }
            "route" => {
                let mut words = value.split(' ').map(str::to_owned);
                let destination = words.next();
                let hop = words
                    .next()
                    .filter(|word| word == "via")
                    .and_then(|_| words.next());
                probe
                    .routes
                    .extend(destination.map(|destination| (destination, hop)));
            }
            "listen" => probe.listening.extend(Listener::parse(value)),
            "own-release" => add_line(&mut probe.own_release, value),
            "own-units" => add_line(&mut probe.own_units, value),
            "own-links" => add_line(&mut probe.own_links, value),
            "complete" => complete = true,
            _ => {}
        }
    }
    complete.then_some(probe)
}

fn add_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// `HASH MODE OWNER PATH`.
fn file(value: &str) -> Option<(String, FoundFile)> {
    let mut words = value.splitn(4, ' ');
    let (hash, mode, owner, path) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let file = FoundFile {
        hash: hash.to_owned(),
        mode: u32::from_str_radix(mode, 8).unwrap_or_default(),
        owner: owner.to_owned(),
    };
    Some((path.to_owned(), file))
}

fn show(probe: &mut Probe, value: &str) {
    let Some((unit, (key, value))) = value
        .split_once(' ')
        .and_then(|(unit, rest)| Some((unit, rest.split_once('=')?)))
    else {
        return;
    };
    let unit = probe.units.entry(unit.to_owned()).or_default();
    match key {
        "FragmentPath" => unit.fragment = value.to_owned(),
        "DropInPaths" => unit.drop_ins = value.split_whitespace().map(str::to_owned).collect(),
        "NeedDaemonReload" => unit.needs_reload = value == "yes",
        "UnitFileState" => unit.file_state = value.to_owned(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let text = "file=abc 644 root config/a b.yaml\nprogram=def 755 root bin/kubelet\n\
                    show=etcd.service FragmentPath=/etc/systemd/system/etcd.service\n\
                    show=etcd.service DropInPaths=/a/b.conf /c/d.conf\n\
                    dropin=etcd.service /c/d.conf\ndropin=etcd.service /c/e.conf\nexe=etcd.service /usr/bin/etcd\n\
                    command=etcd.service /usr/bin/etcd\u{1f}--name=a b\u{1f}\nroute=10.200.1.0/24 via 10.77.0.2\n\
                    listen=*:6443 users:((\"kube-apiserver\",pid=1,fd=3))\nown-units=3 a b\nown-units=3 c d\n\
                    nonsense\nfile=short\ncomplete=yes\n";
        let probe = parse(text).unwrap();
        assert_eq!(probe.files["config/a b.yaml"].mode, 0o644);
        let etcd = &probe.units["etcd.service"];
        assert_eq!(etcd.command, ["/usr/bin/etcd", "--name=a b"]);
        assert_eq!(etcd.drop_ins, ["/a/b.conf", "/c/d.conf", "/c/e.conf"]);
        assert_eq!(probe.listening[0].port, 6443);
        assert_eq!(probe.routes["10.200.1.0/24"].as_deref(), Some("10.77.0.2"));
        assert_eq!(probe.own_units, "3 a b\n3 c d\n");
        assert_eq!(parse("file=abc 644 root a\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_panic(text in "(?s)((file|show|exe|command|listen|route)=)?.{0,200}") {
            let _ = parse(&text);
        }
    }
}
