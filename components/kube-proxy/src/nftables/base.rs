//! The fixed part of the table: maps, sets, hooks.

use std::fmt::Write;

use crate::model::Family;
use crate::nftables::TABLE;
use crate::nftables::chains::{address_type, family, not_from_local_pods};
use crate::options::{NodePortAddresses, Options};

/// Name of the set of addresses that receive node ports.
pub const NODE_PORT_IPS: &str = "nodeport-ips";

/// A script that empties the table and makes its fixed part anew, so that nothing of an earlier run or of
/// upstream's proxy stays. It and what is appended to it are one transaction.
pub fn script(options: &Options) -> String {
    let ip = family(options);
    let address_type = address_type(options);
    let mut text = String::new();
    let mut line = |line: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = text.write_fmt(line);
        text.push('\n');
    };
    line(format_args!("add table {ip} {TABLE}"));
    line(format_args!("delete table {ip} {TABLE}"));
    line(format_args!(
        "add table {ip} {TABLE} {{ comment \"rules for kube-proxy\"; }}"
    ));

    let verdict_by_address = format!("type {address_type} . inet_proto . inet_service : verdict");
    let verdict_by_port = "type inet_proto . inet_service : verdict".to_owned();
    let maps = [
        ("service-ips", verdict_by_address.clone()),
        ("service-nodeports", verdict_by_port.clone()),
        ("no-endpoint-services", verdict_by_address.clone()),
        ("no-endpoint-nodeports", verdict_by_port),
        ("firewall-ips", verdict_by_address),
    ];
    for (name, definition) in maps {
        line(format_args!("add map {ip} {TABLE} {name} {{ {definition} ; }}"));
    }
    for (name, definition) in [
        ("cluster-ips", address_type.to_owned()),
        ("hairpin", format!("{address_type} . {address_type}")),
        (NODE_PORT_IPS, address_type.to_owned()),
    ] {
        line(format_args!(
            "add set {ip} {TABLE} {name} {{ type {definition} ; }}"
        ));
    }
    if let NodePortAddresses::Only(addresses) = &options.node_port_addresses
        && !addresses.is_empty()
    {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        line(format_args!(
            "add element {ip} {TABLE} {NODE_PORT_IPS} {{ {} }}",
            addresses.join(", ")
        ));
    }

    for chain in [
        "mark-for-masquerade",
        "masquerading",
        "services",
        "reject-chain",
        "firewall-check",
        "service-endpoints-check",
        "nodeport-endpoints-check",
        "cluster-ips-check",
    ] {
        line(format_args!("add chain {ip} {TABLE} {chain}"));
    }
    for (chain, definition) in [
        ("nat-prerouting", "type nat hook prerouting priority dstnat"),
        ("nat-output", "type nat hook output priority -100"),
        ("nat-postrouting", "type nat hook postrouting priority srcnat"),
        ("filter-prerouting", "type filter hook prerouting priority -110"),
        (
            "filter-output-before-nat",
            "type filter hook output priority -110",
        ),
        ("filter-input", "type filter hook input priority 0"),
        ("filter-forward", "type filter hook forward priority 0"),
        ("filter-output", "type filter hook output priority 0"),
    ] {
        line(format_args!(
            "add chain {ip} {TABLE} {chain} {{ {definition} ; }}"
        ));
    }
    let mut rule = |chain: &str, rule: &str| line(format_args!("add rule {ip} {TABLE} {chain} {rule}"));
    let mark = options.masquerade_mark;
    rule("mark-for-masquerade", &format!("mark set mark or {mark:#x}"));
    // A pod that reached itself through a Service must see the answer come from somewhere else.
    rule(
        "masquerading",
        &format!("{ip} saddr . {ip} daddr @hairpin masquerade fully-random"),
    );
    rule("masquerading", &format!("mark and {mark:#x} == 0 return"));
    rule("masquerading", &format!("mark set mark xor {mark:#x}"));
    rule("masquerading", "masquerade fully-random");

    if options.masquerade_all {
        rule(
            "services",
            &format!("{ip} daddr @cluster-ips jump mark-for-masquerade"),
        );
    } else if let Some(not_local) = not_from_local_pods(options) {
        rule(
            "services",
            &format!("{ip} daddr @cluster-ips {not_local} jump mark-for-masquerade"),
        );
    }
    let at_address = format!("{ip} daddr . meta l4proto . th dport vmap");
    let at_node_port = format!("{} meta l4proto . th dport vmap", node_port_match(options));
    rule("services", &format!("{at_address} @service-ips"));
    rule("services", &format!("{at_node_port} @service-nodeports"));
    rule("reject-chain", "reject");
    rule("firewall-check", &format!("{at_address} @firewall-ips"));
    rule(
        "service-endpoints-check",
        &format!("{at_address} @no-endpoint-services"),
    );
    rule(
        "nodeport-endpoints-check",
        &format!("{at_node_port} @no-endpoint-nodeports"),
    );
    // Nothing else lives on a cluster IP, so other ports are refused rather than left to time out.
    rule("cluster-ips-check", &format!("{ip} daddr @cluster-ips reject"));
    for (hook, chains) in [
        ("nat-prerouting", &["services"][..]),
        ("nat-output", &["services"]),
        ("nat-postrouting", &["masquerading"]),
    ] {
        chains
            .iter()
            .for_each(|chain| rule(hook, &format!("jump {chain}")));
    }
    for (hook, chains) in [
        ("filter-prerouting", &["firewall-check"][..]),
        ("filter-output-before-nat", &["firewall-check"]),
        (
            "filter-input",
            &["nodeport-endpoints-check", "service-endpoints-check"],
        ),
        (
            "filter-forward",
            &["service-endpoints-check", "cluster-ips-check"],
        ),
        ("filter-output", &["service-endpoints-check", "cluster-ips-check"]),
    ] {
        chains
            .iter()
            .for_each(|chain| rule(hook, &format!("ct state new jump {chain}")));
    }
    text
}

fn node_port_match(options: &Options) -> String {
    let ip = family(options);
    match (&options.node_port_addresses, options.family) {
        (NodePortAddresses::Only(_), _) => format!("{ip} daddr @{NODE_PORT_IPS}"),
        (NodePortAddresses::All, Family::V4) => "fib daddr type local ip daddr != 127.0.0.0/8".to_owned(),
        (NodePortAddresses::All, Family::V6) => "fib daddr type local ip6 daddr != ::1".to_owned(),
    }
}

/// Removes the tables of both families, if they are there.
pub fn cleanup_script() -> String {
    ["ip", "ip6"]
        .map(|ip| format!("add table {ip} {TABLE}\ndelete table {ip} {TABLE}\n"))
        .concat()
}
