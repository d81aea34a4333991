use super::*;

fn node(name: &str, range: &str, address: &str) -> NodeNetwork {
    NodeNetwork {
        name: name.to_owned(),
        pod_cidrs: range
            .split_whitespace()
            .map(|range| range.parse().unwrap())
            .collect(),
        addresses: address
            .split_whitespace()
            .map(|address| address.parse().unwrap())
            .collect(),
    }
}

fn local(network: &str, interface: u32) -> LocalAddress {
    LocalAddress {
        network: network.parse().unwrap(),
        interface,
    }
}

fn known(destination: &str, gateway: &str, protocol: u8) -> KnownRoute {
    KnownRoute {
        destination: destination.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(2),
        protocol,
    }
}

fn route(destination: &str, gateway: &str) -> Route {
    Route {
        destination: destination.parse().unwrap(),
        gateway: gateway.parse().unwrap(),
        interface: 2,
    }
}

/// Plan of host `a` at 10.0.0.1 in a cluster of 10.244.0.0/16.
fn plan_of(nodes: &[NodeNetwork], routes: &[KnownRoute]) -> Plan {
    let addresses = [
        local("127.0.0.1/8", 1),
        local("10.0.0.1/24", 2),
        local("fd00::1/64", 2),
    ];
    let cluster_cidrs = ["10.244.0.0/16".parse().unwrap(), "fd01::/48".parse().unwrap()];
    plan(Snapshot {
        nodes,
        own_name: Some("a"),
        cluster_cidrs: &cluster_cidrs,
        addresses: &addresses,
        routes,
    })
}

#[test]
fn every_other_node_gets_a_route() {
    let nodes = [
        node("a", "10.244.0.0/24", "10.0.0.1"),
        node("b", "10.244.1.0/24 fd01:0:0:1::/64", "10.0.0.2 fd00::2"),
        node("without-range", "", "10.0.0.3"),
    ];
    let plan = plan_of(&nodes, &[]);
    assert_eq!(
        plan.replace,
        [
            route("10.244.1.0/24", "10.0.0.2"),
            route("fd01:0:0:1::/64", "fd00::2")
        ]
    );
    assert_eq!((plan.remove, plan.problems), (vec![], vec![]));
}

#[test]
fn right_routes_stay_and_others_of_ours_go() {
    let nodes = [
        node("b", "10.244.1.0/24", "10.0.0.2"),
        node("c", "10.244.2.0/24", "10.0.0.3"),
    ];
    let routes = [
        known("10.244.1.0/24", "10.0.0.2", ROUTE_PROTOCOL),
        known("10.244.2.0/24", "10.0.0.9", ROUTE_PROTOCOL),
        known("10.244.7.0/24", "10.0.0.7", ROUTE_PROTOCOL),
        known("10.99.0.0/24", "10.0.0.8", 4),
        known("0.0.0.0/0", "10.0.0.254", 3),
    ];
    let plan = plan_of(&nodes, &routes);
    assert_eq!(plan.replace, [route("10.244.2.0/24", "10.0.0.3")]);
    assert_eq!(plan.remove, [known("10.244.7.0/24", "10.0.0.7", ROUTE_PROTOCOL)]);
    assert_eq!(plan.problems, []);
}

#[test]
fn what_cannot_be_routed_is_named() {
    let foreign = known("10.244.1.0/24", "10.0.0.77", 4);
    let table = [
        (
            node("b", "10.244.1.0/24", "192.168.1.2"),
            vec![],
            "not on a network that this host is directly connected",
        ),
        (
            node("b", "10.244.1.0/24", "127.0.0.9"),
            vec![],
            "not on a network that this host is directly connected",
        ),
        (
            node("b", "10.245.1.0/24", "10.0.0.2"),
            vec![],
            "not within the cluster's pod ranges",
        ),
        (
            node("b", "10.244.0.0/25", "10.0.0.2"),
            vec![],
            "overlaps 10.244.0.0/24 of node a",
        ),
        (node("b", "0.0.0.0/0", "10.0.0.2"), vec![], "overlaps"),
        (
            node("b", "10.244.1.0/24", "fd00::2"),
            vec![],
            "no InternalIP of the address family",
        ),
        (
            node("b", "10.244.1.0/24", "10.0.0.2"),
            vec![foreign],
            "another route to 10.244.1.0/24",
        ),
    ];
    for (other, routes, message) in table {
        let plan = plan_of(&[other.clone(), node("a", "10.244.0.0/24", "10.0.0.1")], &routes);
        assert_eq!((plan.replace, plan.remove), (vec![], vec![]), "{other:?}");
        assert_eq!(plan.problems.len(), 1, "{other:?}");
        assert!(
            plan.problems[0].to_string().contains(message),
            "{}",
            plan.problems[0]
        );
    }
}

#[test]
fn an_equal_route_of_the_administrator_is_enough() {
    let plan = plan_of(
        &[node("b", "10.244.1.0/24", "10.0.0.2")],
        &[known("10.244.1.0/24", "10.0.0.2", 4)],
    );
    assert_eq!(plan, Plan::default());
}

#[test]
fn a_host_without_a_node_name_knows_itself_by_address() {
    let addresses = [local("10.0.0.1/24", 2)];
    let plan = plan(Snapshot {
        nodes: &[node("me", "10.244.0.0/24", "10.0.0.1")],
        own_name: None,
        cluster_cidrs: &["10.244.0.0/16".parse().unwrap()],
        addresses: &addresses,
        routes: &[],
    });
    assert_eq!(plan, Plan::default());
}

#[test]
fn the_longest_connected_prefix_gives_the_interface() {
    let addresses = [local("10.0.0.1/8", 2), local("10.0.0.1/24", 3)];
    let plan = plan(Snapshot {
        nodes: &[node("b", "10.244.1.0/24", "10.0.0.2")],
        own_name: None,
        cluster_cidrs: &["10.244.0.0/16".parse().unwrap()],
        addresses: &addresses,
        routes: &[],
    });
    assert_eq!(plan.replace[0].interface, 3);
}
