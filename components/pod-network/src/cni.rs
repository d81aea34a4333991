//! The CNI configuration of this node.

use std::io;
use std::path::Path;

use ipnet::IpNet;
use serde_json::{Value, json};

/// What the configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniConfiguration<'a> {
    pub pod_cidrs: &'a [IpNet],
    pub bridge: &'a str,
    pub mtu: Option<u32>,
}

/// The conflist. Masquerading is not left to the plugins: theirs also covers traffic to other nodes' pods.
/// The loopback device is set up by the container runtime itself.
pub fn render(configuration: &CniConfiguration<'_>) -> String {
    let ranges: Vec<Value> = configuration
        .pod_cidrs
        .iter()
        .map(|range| json!([{ "subnet": range }]))
        .collect();
    let routes: Vec<Value> = configuration
        .pod_cidrs
        .iter()
        .map(|range| json!({ "dst": if matches!(range, IpNet::V4(_)) { "0.0.0.0/0" } else { "::/0" } }))
        .collect();
    let mut bridge = json!({
        "type": "bridge",
        "bridge": configuration.bridge,
        "isGateway": true,
        // After the node got another range, the bridge takes the new address instead of failing every pod.
        "forceAddress": true,
        "ipMasq": false,
        // A pod reaches itself through its Service.
        "hairpinMode": true,
        "ipam": {
            "type": "host-local",
            // Cleared by a reboot, as are the pods that held the addresses.
            "dataDir": "/run/hardway/cni",
            "ranges": ranges,
            "routes": routes,
        },
    });
    if let (Some(mtu), Some(bridge)) = (configuration.mtu, bridge.as_object_mut()) {
        bridge.insert("mtu".to_owned(), json!(mtu));
    }
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "hardway",
        "plugins": [bridge, { "type": "portmap", "capabilities": { "portMappings": true }, "snat": true }],
    });
    // Values of this shape always serialise.
    format!("{list:#}\n")
}

/// Writes a file by rename; returns false if it had that content already.
pub fn write_if_changed(path: &Path, content: &str) -> io::Result<bool> {
    match std::fs::read_to_string(path) {
        Ok(present) if present == content => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory)?;
    // The runtime takes any *.conf, *.conflist and *.json, so the unfinished file must have another ending.
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::create(&unfinished)?;
    io::Write::write_all(&mut file, content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    std::fs::File::open(directory)?.sync_all()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_get_a_range_and_a_default_route() {
        let pod_cidrs = [
            "10.244.3.0/24".parse().unwrap(),
            "fd01:0:0:3::/64".parse().unwrap(),
        ];
        let text = render(&CniConfiguration {
            pod_cidrs: &pod_cidrs,
            bridge: "cni0",
            mtu: Some(1400),
        });
        let value: Value = serde_json::from_str(&text).unwrap();
        let bridge = &value["plugins"][0];
        assert_eq!(bridge["mtu"], 1400);
        assert_eq!(
            bridge["ipam"]["ranges"],
            json!([[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd01:0:0:3::/64"}]])
        );
        assert_eq!(
            bridge["ipam"]["routes"],
            json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}])
        );
        assert_eq!(value["plugins"][1]["type"], "portmap");
    }

    #[test]
    fn an_equal_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("net.d/10-hardway.conflist");
        assert!(write_if_changed(&path, "a").unwrap());
        assert!(!write_if_changed(&path, "a").unwrap());
        assert!(write_if_changed(&path, "b").unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
