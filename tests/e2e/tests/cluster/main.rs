//! One cluster's life, from five empty hosts to power losses. The steps share the hosts, so they are one test.

mod bootstrap;
mod faults;
mod kubectl;
mod memory;
mod security;
mod streams;
mod workload;

use e2e::TestLab;

#[test]
fn five_empty_hosts_become_a_cluster_that_survives_power_losses() {
    let lab = TestLab::up("cluster", &["--control-planes", "3", "--workers", "2"]);
    bootstrap::from_empty_hosts(&lab);
    bootstrap::again_changes_nothing(&lab);
    lab.fetch_kubeconfig();
    workload::answers_on_every_way(&lab);
    kubectl::does_what_people_use_it_for(&lab);
    streams::reach_pods_by_every_client(&lab);
    security::secrets_are_unreadable_in_etcd(&lab);
    security::every_port_asks_who_is_there(&lab);
    security::keys_are_private_and_nothing_leaks(&lab);
    memory::daemons_are_small(&lab);
    lab.ask_through("worker-1");
    faults::any_control_plane_may_lose_power(&lab);
    faults::pods_of_a_dead_worker_are_replaced(&lab);
}
