//! A cluster's everyday life: two operators, plans, drift, rollback, upgrades. The steps share the hosts, so they are
//! one test.

mod drift;
mod generations;
mod locks;
mod plans;
mod smoke;
mod upgrades;

use e2e::TestLab;

#[test]
fn operators_plan_verify_roll_back_and_upgrade() {
    let lab = TestLab::up("operations", &["--control-planes", "3", "--workers", "2"]);
    plans::damaged_plans_and_states_change_nothing(&lab);
    plans::a_saved_plan_is_carried_out_exactly(&lab);
    lab.fetch_kubeconfig();
    smoke::everything_a_cluster_is_for_works(&lab);
    locks::the_second_operator_waits_or_is_told(&lab);
    plans::a_plan_is_refused_when_the_world_has_changed(&lab);
    drift::every_managed_file_and_only_those(&lab);
    drift::processes_links_sysctls_and_routes(&lab);
    drift::fix_puts_it_right(&lab);
    generations::rollback_takes_seconds_and_uploads_nothing(&lab);
    generations::a_program_more_in_the_release_restarts_nothing_and_is_no_drift(&lab);
    upgrades::a_release_that_does_not_start_stops_at_the_first_host(&lab);
    upgrades::upgrade_and_rollback_lose_nothing(&lab);
}

#[test]
fn a_killed_upgrade_is_finished() {
    let lab = TestLab::up("killed-upgrade", &["--control-planes", "3", "--workers", "2"]);
    lab.hardway(&["bootstrap"]).ok();
    lab.fetch_kubeconfig();
    upgrades::an_upgrade_that_was_killed_is_finished_by_the_next(&lab);
}

/// What would differ after a change on any host: the generation and each unit's process.
fn running(lab: &TestLab) -> String {
    let script = "readlink -f /etc/hardway/current /opt/hardway/current; \
                  for u in etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy \
                  api-balancer pod-network; do echo $u $(systemctl show -p MainPID -p NRestarts $u); done";
    let all = HOSTS
        .iter()
        .map(|host| lab.exec(host, &["sh", "-c", script]).ok());
    all.collect()
}

const HOSTS: &[&str] = &["cp-1", "cp-2", "cp-3", "worker-1", "worker-2"];

fn said(finished: &e2e::Finished) -> String {
    format!("{}{}", finished.stdout, finished.stderr)
}
