//! Where a host's cgroups are: below this process's own, one group per hierarchy.
//!
//! The machine's mounts are used as they are. cgroup v1 has a hierarchy per controller, v2 a single one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

/// One mounted hierarchy: where it is mounted, and this process's place in it.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    controllers: String,
    own: PathBuf,
}

/// v2 when the only hierarchy that is mounted is the unified one.
pub fn version() -> anyhow::Result<Version> {
    let hierarchies = hierarchies()?;
    if hierarchies.is_empty() {
        anyhow::bail!("no cgroup file system is mounted on this machine");
    }
    let unified = hierarchies
        .iter()
        .all(|hierarchy| hierarchy.controllers.is_empty());
    Ok(if unified { Version::V2 } else { Version::V1 })
}

fn hierarchies() -> anyhow::Result<Vec<Hierarchy>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("cannot read mountinfo")?;
    let own = std::fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    Ok(parse(&mounts, &own))
}

fn parse(mounts: &str, own: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let mount = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut fields = left.split(' ');
            let root = fields.nth(3)?;
            let mount = fields.next()?;
            let mut right = right.split(' ');
            let kind = right.next()?;
            let options = right.nth(1)?;
            let matches = match kind {
                "cgroup2" => controllers.is_empty(),
                "cgroup" => {
                    !controllers.is_empty()
                        && controllers
                            .split(',')
                            .all(|controller| options.split(',').any(|option| option == controller))
                }
                _ => false,
            };
            (matches && root == "/").then(|| PathBuf::from(mount))
        });
        if let Some(mount) = mount {
            let own = path.trim_start_matches('/');
            found.push(Hierarchy {
                mount,
                controllers: controllers.to_owned(),
                own: PathBuf::from(own),
            });
        }
    }
    found
}

/// Moves the calling process into a group called `name` in every hierarchy.
pub fn enter(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let parent = hierarchy.parent();
        let group = parent.join(name);
        if hierarchy.is_unified() {
            pass_controllers_on(&hierarchy.mount);
        }
        std::fs::create_dir_all(&group)
            .with_context(|| format!("cannot make the cgroup {}", group.display()))?;
        if hierarchy
            .controllers
            .split(',')
            .any(|controller| controller == "cpuset")
        {
            // A new cpuset is empty, and nothing can run in an empty one.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = std::fs::read_to_string(parent.join(file)).unwrap_or_default();
                std::fs::write(group.join(file), value.trim())
                    .with_context(|| format!("cannot set {file} of {}", group.display()))?;
            }
            std::fs::write(group.join("cgroup.clone_children"), "1")
                .context("cannot set cgroup.clone_children")?;
        }
        std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())
            .with_context(|| format!("cannot enter the cgroup {}", group.display()))?;
    }
    Ok(())
}

impl Hierarchy {
    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Where the hosts' groups are. In the unified hierarchy that is the top: this process's own group, a login
    /// session for example, has processes and so cannot hand controllers down (no-internal-process rule).
    fn parent(&self) -> PathBuf {
        if self.is_unified() {
            self.mount.clone()
        } else {
            self.mount.join(&self.own)
        }
    }
}

/// The hosts get all controllers that the top has. In a container the top is an ordinary group, which cannot hand
/// down what it has while it has processes; then the hosts run without limits, which is what the warning says.
fn pass_controllers_on(top: &Path) {
    let read = |file: &str| std::fs::read_to_string(top.join(file)).unwrap_or_default();
    let passed = read("cgroup.subtree_control");
    for controller in read("cgroup.controllers").split_whitespace() {
        if passed.split_whitespace().any(|name| name == controller) {
            continue;
        }
        if let Err(error) = std::fs::write(top.join("cgroup.subtree_control"), format!("+{controller}")) {
            eprintln!(
                "hardway-lab: {} does not hand {controller} down: {error}",
                top.display()
            );
        }
    }
}

/// Removes the group called `name` and what is below it. Processes must be gone; one that is just dying is
/// waited for.
pub fn remove(name: &str) -> anyhow::Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.parent().join(name);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while group.exists() {
            match remove_tree(&group) {
                Ok(()) => break,
                Err(error) if std::time::Instant::now() > deadline => {
                    return Err(error)
                        .with_context(|| format!("cannot remove the cgroup {}", group.display()));
                }
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
    }
    Ok(())
}

fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_by_their_controllers() {
        let mounts = "30 20 0:26 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      31 20 0:27 / /sys/fs/cgroup/systemd rw,relatime shared:9 - cgroup cgroup rw,name=systemd\n";
        let own = "4:memory:/x\n2:cpu:/a/b\n1:name=systemd:/\n0::/\n";
        let found = parse(mounts, own);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].own, PathBuf::from("a/b"));
        assert_eq!(found[0].parent(), PathBuf::from("/sys/fs/cgroup/cpu/a/b"));
        let unified = "25 20 0:22 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = parse(unified, "0::/user.slice\n");
        assert_eq!(
            found,
            [Hierarchy {
                mount: PathBuf::from("/sys/fs/cgroup"),
                controllers: String::new(),
                own: PathBuf::from("user.slice"),
            }]
        );
        assert_eq!(found[0].parent(), PathBuf::from("/sys/fs/cgroup"));
    }
}
