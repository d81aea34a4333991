//! Names of the cgroups of QoS classes and pods, for both drivers.

use super::qos::Qos;

/// Who makes cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    Cgroupfs,
    Systemd,
}

/// The cgroup of a pod as the runtime wants it, below `root` (empty or a path such as `/x`).
pub fn pod_cgroup(driver: CgroupDriver, root: &str, qos: Qos, uid: &str) -> String {
    let mut names = class_names(qos);
    names.push(format!("pod{uid}"));
    path(driver, root, &names)
}

/// The cgroup of a QoS class.
pub fn class_cgroup(driver: CgroupDriver, root: &str, qos: Qos) -> String {
    path(driver, root, &class_names(qos))
}

fn class_names(qos: Qos) -> Vec<String> {
    let mut names = vec!["kubepods".to_owned()];
    match qos {
        Qos::Guaranteed => {}
        Qos::Burstable => names.push("burstable".to_owned()),
        Qos::BestEffort => names.push("besteffort".to_owned()),
    }
    names
}

fn path(driver: CgroupDriver, root: &str, names: &[String]) -> String {
    let parts: Vec<&str> = root
        .split('/')
        .filter(|part| !part.is_empty())
        .chain(names.iter().map(String::as_str))
        .collect();
    match driver {
        CgroupDriver::Cgroupfs => format!("/{}", parts.join("/")),
        CgroupDriver::Systemd => slice_path(&parts),
    }
}

/// `/a.slice/a-b.slice/a-b-c.slice`: a slice's name holds its ancestors' names, dashes within them escaped.
fn slice_path(parts: &[&str]) -> String {
    let mut path = String::new();
    let mut name = String::new();
    for part in parts {
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(&part.replace('-', "_"));
        path.push('/');
        path.push_str(&name);
        path.push_str(".slice");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_upstream() {
        for (driver, root, qos, path) in [
            (
                CgroupDriver::Cgroupfs,
                "",
                Qos::Burstable,
                "/kubepods/burstable/poda-b",
            ),
            (
                CgroupDriver::Cgroupfs,
                "/x",
                Qos::Guaranteed,
                "/x/kubepods/poda-b",
            ),
            (
                CgroupDriver::Systemd,
                "/",
                Qos::BestEffort,
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice",
            ),
        ] {
            assert_eq!(pod_cgroup(driver, root, qos, "a-b"), path);
        }
    }
}
