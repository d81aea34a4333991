//! `/stats/summary`: the use of node and pods as one JSON document.

use std::path::Path;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use host::file_systems::Usage;
use http::{StatusCode, header};
use jiff::Timestamp;
use k8s_cri::v1 as cri;
use serde_json::{Map, Value, json};

use super::collect::{
    ContainerUse, GroupUse, PodStats, boot_time, group_use, node_use, own_group, pods, room, value,
};
use crate::eviction::image_file_systems;
use crate::pod::members::PodView;
use crate::server::{ServerState, refuse};

pub(in crate::server) async fn summary(State(state): State<ServerState>) -> Response {
    let pods = match pods(&state).await {
        Ok(pods) => pods,
        Err(error) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    let now = text(Timestamp::now());
    let root = room(&state.context.volumes.root);
    let (image, container) = image_file_systems(&state.context).await.unwrap_or_default();
    let of = |path: Option<&Path>| path.map(room).unwrap_or(root);
    let places = Places {
        node: root,
        image: of(image.as_deref()),
        container: of(container.as_deref().or(image.as_deref())),
    };
    let document = json!({
        "node": node(&state, &places, &now),
        "pods": pods.iter().map(|stats| pod(stats, &places, &now)).collect::<Vec<_>>(),
    });
    ([(header::CONTENT_TYPE, "application/json")], document.to_string()).into_response()
}

/// File systems of the kubelet's root, of images, and of writable layers.
struct Places {
    node: Usage,
    image: Usage,
    container: Usage,
}

fn text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn node(state: &ServerState, places: &Places, now: &str) -> Value {
    let used = node_use(state);
    let boot = boot_time(&std::fs::read_to_string("/proc/stat").unwrap_or_default()).map(text);
    let capacity = u64::try_from(state.context.settings.memory_capacity).unwrap_or(0);
    let mut memory = memory(&used, now);
    memory["availableBytes"] = json!(capacity.saturating_sub(used.used.working_set_bytes));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = [
        ("kubelet", own_group(&own).map(str::to_owned)),
        ("pods", Some(state.context.cgroups.all_pods())),
    ];
    let system = groups.into_iter().filter_map(|(name, path)| {
        let used = group_use(state, &path?)?;
        Some(json!({"name": name, "startTime": boot, "cpu": cpu(&used, now), "memory": self::memory(&used, now)}))
    });
    let number = |path: &str| {
        std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let threads = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split('/').nth(1)?.split(' ').next()?.parse::<u64>().ok());
    json!({
        "nodeName": state.node_name,
        "systemContainers": system.collect::<Vec<_>>(),
        "startTime": boot,
        "cpu": cpu(&used, now),
        "memory": memory,
        "network": interfaces(&std::fs::read_to_string("/proc/net/dev").unwrap_or_default(), now),
        "fs": file_system(&places.node, places.node.capacity.saturating_sub(places.node.available), None, now),
        "runtime": {
            "imageFs": file_system(&places.image, places.image.capacity.saturating_sub(places.image.available), None, now),
            "containerFs": file_system(&places.container, places.container.capacity.saturating_sub(places.container.available), None, now),
        },
        "rlimit": {"time": now, "maxpid": number("/proc/sys/kernel/pid_max"), "curproc": threads},
        "swap": {"time": now, "swapUsageBytes": used.used.swap_bytes},
    })
}

fn cpu(used: &GroupUse, now: &str) -> Value {
    let mut cpu = json!({"time": now, "usageCoreNanoSeconds": used.used.cpu_nanoseconds});
    if let Some(rate) = used.nano_cores {
        cpu["usageNanoCores"] = json!(rate);
    }
    cpu
}

fn memory(used: &GroupUse, now: &str) -> Value {
    json!({
        "time": now,
        "usageBytes": used.used.memory_bytes,
        "workingSetBytes": used.used.working_set_bytes,
        "rssBytes": used.used.rss_bytes,
        "pageFaults": used.used.page_faults,
        "majorPageFaults": used.used.major_page_faults,
    })
}

/// `inodes` in use by what is measured; None when it is the whole file system.
fn file_system(place: &Usage, used: u64, inodes: Option<u64>, now: &str) -> Value {
    json!({
        "time": now,
        "availableBytes": place.available,
        "capacityBytes": place.capacity,
        "usedBytes": used,
        "inodesFree": place.inodes_free,
        "inodes": place.inodes,
        "inodesUsed": inodes.unwrap_or(place.inodes.saturating_sub(place.inodes_free)),
    })
}

/// The node's interfaces out of /proc/net/dev; the first real one speaks for all.
fn interfaces(table: &str, now: &str) -> Value {
    let rows = table.lines().filter_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        let [rx_bytes, _, rx_errors] = *numbers.get(..3)? else { return None };
        let (tx_bytes, tx_errors) = (*numbers.get(8)?, *numbers.get(10)?);
        Some(json!({"name": name.trim(), "rxBytes": rx_bytes, "rxErrors": rx_errors, "txBytes": tx_bytes, "txErrors": tx_errors}))
    });
    let virtual_ones = ["lo", "veth", "cni", "docker", "dummy"];
    let real = |row: &Value| {
        row["name"]
            .as_str()
            .is_some_and(|name| !virtual_ones.iter().any(|start| name.starts_with(start)))
    };
    let rows: Vec<Value> = rows.filter(real).collect();
    let mut all = rows
        .first()
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    all.insert("time".to_owned(), json!(now));
    all.insert("interfaces".to_owned(), json!(rows));
    Value::Object(all)
}

fn pod(stats: &PodStats, places: &Places, now: &str) -> Value {
    let pod = &stats.pod;
    let start = pod
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref())
        .map(|time| text(time.0));
    let mut entry = json!({
        "podRef": {"name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
        "startTime": start,
        "containers": stats.containers.iter().map(|used| container(used, stats, places, now)).collect::<Vec<_>>(),
    });
    if let Some(group) = &stats.group {
        entry["cpu"] = cpu(group, now);
        entry["memory"] = memory(group, now);
        entry["swap"] = json!({"time": now, "swapUsageBytes": group.used.swap_bytes});
    }
    if let Some(network) = &stats.network {
        entry["network"] = pod_network(network, now);
    }
    let mut ephemeral = (0_u64, 0_u64);
    for used in &stats.containers {
        let layer = used.stats.writable_layer.as_ref();
        let logs = stats
            .disk
            .logs
            .get(&used.record.name)
            .copied()
            .unwrap_or_default();
        ephemeral.0 += layer.and_then(|layer| value(&layer.used_bytes)).unwrap_or(0) + logs.0;
        ephemeral.1 += layer.and_then(|layer| value(&layer.inodes_used)).unwrap_or(0) + logs.1;
    }
    let mut volumes = Vec::new();
    for volume in pod.view().volumes.iter().flatten() {
        let (Some(source), Some((bytes, inodes))) =
            (&volume.empty_dir, stats.disk.volumes.get(&volume.name).copied())
        else {
            continue;
        };
        if source.medium.as_deref().unwrap_or_default().is_empty() {
            ephemeral.0 += bytes;
            ephemeral.1 += inodes;
        }
        let mut volume_stats = file_system(&places.node, bytes, Some(inodes), now);
        volume_stats["name"] = json!(volume.name);
        volumes.push(volume_stats);
    }
    if !volumes.is_empty() {
        entry["volume"] = json!(volumes);
    }
    entry["ephemeral-storage"] = file_system(&places.node, ephemeral.0, Some(ephemeral.1), now);
    entry["process_stats"] = json!({"process_count": stats.processes.unwrap_or(0)});
    entry
}

fn pod_network(network: &cri::NetworkUsage, now: &str) -> Value {
    let one = |interface: &cri::NetworkInterfaceUsage| {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(interface.name));
        let numbers = [
            ("rxBytes", &interface.rx_bytes),
            ("rxErrors", &interface.rx_errors),
            ("txBytes", &interface.tx_bytes),
            ("txErrors", &interface.tx_errors),
        ];
        row.extend(numbers.map(|(key, number)| (key.to_owned(), json!(value(number)))));
        row
    };
    let mut all = network.default_interface.as_ref().map(one).unwrap_or_default();
    let interfaces: Vec<_> = network
        .default_interface
        .iter()
        .chain(&network.interfaces)
        .map(one)
        .collect();
    all.insert("time".to_owned(), json!(now));
    all.insert("interfaces".to_owned(), json!(interfaces));
    Value::Object(all)
}

fn container(used: &ContainerUse, stats: &PodStats, places: &Places, now: &str) -> Value {
    let memory = used.stats.memory.unwrap_or_default();
    let cpu = used.stats.cpu.unwrap_or_default();
    let layer = used.stats.writable_layer.clone().unwrap_or_default();
    let (log_bytes, log_inodes) = stats
        .disk
        .logs
        .get(&used.record.name)
        .copied()
        .unwrap_or_default();
    json!({
        "name": used.record.name,
        "startTime": used.started.map(text),
        "cpu": {"time": now, "usageCoreNanoSeconds": used.cpu_nanoseconds(), "usageNanoCores": value(&cpu.usage_nano_cores)},
        "memory": {
            "time": now,
            "availableBytes": value(&memory.available_bytes),
            "workingSetBytes": used.working_set(),
            "usageBytes": value(&memory.usage_bytes),
            "rssBytes": value(&memory.rss_bytes),
            "pageFaults": value(&memory.page_faults),
            "majorPageFaults": value(&memory.major_page_faults),
        },
        "rootfs": file_system(&places.container, value(&layer.used_bytes).unwrap_or(0), value(&layer.inodes_used).or(Some(0)), now),
        "logs": file_system(&places.node, log_bytes, Some(log_inodes), now),
        "swap": {"time": now, "swapUsageBytes": used.swap()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_interfaces_are_the_real_ones() {
        let table = "Inter-|   Receive                  |  Transmit\n face |bytes packets\n\
                     lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n ens3: 100 2 3 0 0 0 0 0 200 4 5 0 0 0 0 0\n veth1: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n";
        let seen = interfaces(table, "now");
        let row = json!({"name": "ens3", "rxBytes": 100, "rxErrors": 3, "txBytes": 200, "txErrors": 5});
        assert_eq!(seen["interfaces"], json!([row]));
        assert_eq!(
            (&seen["name"], &seen["txBytes"], &seen["time"]),
            (&json!("ens3"), &json!(200), &json!("now"))
        );
        assert_eq!(interfaces("", "now"), json!({"time": "now", "interfaces": []}));
    }
}
