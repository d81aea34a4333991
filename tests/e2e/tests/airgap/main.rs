//! Hosts that have Debian and sshd, no uplink and no source of packages: a bundle is all that they get. On the cluster
//! that comes of it, snapshots by timer, and a worker that nobody reaches over SSH. The steps share the hosts.

mod backups;
mod bundles;
mod enrolment;
mod storage;

use e2e::TestLab;

const HOSTS: &[&str] = &["cp-1", "worker-1", "edge-1"];

#[test]
fn a_bundle_is_enough_for_hosts_without_a_network() {
    let lab = TestLab::up(
        "airgap",
        &[
            "--bare",
            "--control-planes",
            "1",
            "--workers",
            "1",
            "--host",
            "edge-1=worker",
        ],
    );
    let inventory = std::fs::read_to_string(lab.inventory()).expect("the inventory");
    let edge = inventory
        .find("\n[[hosts]]\nname = \"edge-1\"")
        .expect("edge-1 is the last");
    std::fs::write(lab.inventory(), &inventory[..edge]).expect("written");
    let address = e2e::lab::address_in(&inventory, "edge-1");
    let bundle = bundles::make(&lab);
    bundles::damaged_and_foreign_ones_change_nothing(&lab, &bundle);
    let storage = storage::Storage::start(&lab);
    backups::configure(&lab, &storage);
    bundles::nothing_else_is_needed(&lab, &bundle);
    backups::hosts_take_check_keep_and_send(&lab);
    backups::the_operator_pulls_and_sends(&lab);
    backups::what_is_in_the_storage_comes_back(&lab);
    storage.stop();
    backups::one_that_cannot_be_sent_is_kept_and_reported(&lab);
    enrolment::wrong_tokens_and_hashes_change_nothing(&lab, &address);
    enrolment::a_worker_takes_itself_in(&lab, &bundle, &address);
    enrolment::the_operator_sees_it_and_takes_it_out(&lab);
    bundles::a_host_without_packages_joins(&lab, &bundle, &inventory);
    bundles::another_release_comes_as_a_bundle(&lab, &bundle);
}

/// What a host holds of a cluster.
fn holds(lab: &TestLab, host: &str) -> String {
    lab.exec(
        host,
        &[
            "sh",
            "-c",
            "ls -d /etc/hardway /opt/hardway /usr/bin/containerd /usr/bin/etcd 2>/dev/null; true",
        ],
    )
    .ok()
}
