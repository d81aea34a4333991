use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use serde_json::json;

use super::plan::{self, Scale, Set};
use super::{conditions, revision, status, template};

fn spec(replicas: i32, surge: serde_json::Value, unavailable: serde_json::Value) -> DeploymentSpec {
    serde_json::from_value(json!({
        "replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "new"}]}},
    }))
    .unwrap()
}

fn set(name: &str, replicas: i32, available: i32, maximum: i32, created: i64) -> Set {
    let set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": name, "uid": name, "generation": 1,
            "creationTimestamp": Timestamp::from_second(created).unwrap().to_string(),
            "annotations": {revision::MAXIMUM: maximum.to_string(), revision::REVISION: created.to_string()}},
        "spec": {"replicas": replicas, "selector": {}, "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "image": name}]}}},
        "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available, "observedGeneration": 1},
    }))
    .unwrap();
    Arc::new(set)
}

fn scales(list: &[(&str, i32)]) -> Vec<Scale> {
    list.iter()
        .map(|(name, replicas)| Scale {
            name: (*name).to_owned(),
            replicas: *replicas,
        })
        .collect()
}

#[test]
fn fenceposts_round_surge_up_and_unavailable_down() {
    for (replicas, surge, unavailable, want) in [
        (4, json!("25%"), json!("25%"), (1, 1)),
        (3, json!("25%"), json!("25%"), (1, 0)),
        (1, json!("25%"), json!("25%"), (1, 0)),
        (10, json!(0), json!(0), (0, 1)),
        (2, json!(0), json!(5), (0, 2)),
    ] {
        let spec = spec(replicas, surge.clone(), unavailable.clone());
        assert_eq!(
            (plan::max_surge(&spec), plan::max_unavailable(&spec)),
            want,
            "{replicas} {surge} {unavailable}"
        );
    }
}

#[test]
fn the_new_set_grows_into_the_room_there_is() {
    let spec = spec(10, json!(3), json!(2));
    for (old, new, want) in [(0, 0, 10), (10, 0, 3), (13, 0, 0), (8, 3, 5), (2, 9, 10)] {
        let new = set("new", new, 0, 13, 2);
        let all = [set("old", old, old, 13, 1), new.clone()];
        assert_eq!(plan::new_set_size(&spec, &all, &new), want, "old {old}");
    }
}

#[test]
fn old_sets_lose_unhealthy_pods_first_and_keep_the_promise() {
    let spec = spec(10, json!(3), json!(2));
    let new = set("new", 5, 5, 13, 3);
    let old = [set("older", 4, 1, 13, 1), set("old", 4, 4, 13, 2)];
    assert!(plan::old_sets_may_shrink(&spec, &new, &old));
    assert_eq!(plan::remove_unhealthy(&spec, &new, &old), scales(&[("older", 1)]));
    let left = [set("older", 1, 1, 13, 1), set("old", 4, 4, 13, 2)];
    assert_eq!(
        plan::remove_healthy(&spec, &new, &left),
        scales(&[("older", 0), ("old", 3)])
    );
    let unready = set("new", 5, 0, 13, 3);
    assert!(!plan::old_sets_may_shrink(
        &spec,
        &unready,
        &[set("old", 8, 8, 13, 1)]
    ));
}

#[test]
fn scaling_in_a_rollout_is_proportional() {
    let spec = spec(30, json!(3), json!(2));
    let deployment = Deployment {
        spec: Some(spec.clone()),
        ..Deployment::default()
    };
    let (new, old) = (set("new", 5, 0, 13, 2), [set("old", 8, 8, 13, 1)]);
    assert_eq!(
        plan::scale(&deployment, &spec, Some(&new), &old),
        scales(&[("old", 20), ("new", 13)])
    );
    let only = set("new", 5, 5, 13, 2);
    assert_eq!(
        plan::scale(&deployment, &spec, Some(&only), &[set("old", 0, 0, 13, 1)]),
        scales(&[("new", 30)])
    );
}

#[test]
fn progress_arrival_and_deadline_are_told_by_condition() {
    let mut deployment = Deployment {
        spec: Some(spec(2, json!(1), json!(0))),
        ..Deployment::default()
    };
    deployment.metadata.generation = Some(1);
    let spec = deployment.spec.clone().unwrap();
    let reason = |deployment: &Deployment| {
        let status = deployment.status.clone().unwrap();
        conditions::get(&status, conditions::PROGRESSING)
            .unwrap()
            .reason
            .clone()
            .unwrap()
    };
    let at = |second| Timestamp::from_second(second).unwrap();
    for (available, second, want) in [
        (1, 0, "ReplicaSetUpdated"),
        (1, 700, "ProgressDeadlineExceeded"),
        (2, 701, "NewReplicaSetAvailable"),
        (1, 9000, "NewReplicaSetAvailable"),
    ] {
        let new = set("new", 2, available, 3, 1);
        deployment.status = Some(status::rollout(
            &deployment,
            &spec,
            Some(&new),
            std::slice::from_ref(&new),
            at(second),
        ));
        assert_eq!(reason(&deployment), want, "at {second}");
    }
}

#[test]
fn revisions_and_history() {
    let spec = spec(1, json!(1), json!(0));
    let mut deployment = Deployment::default();
    deployment.metadata.annotations = Some(
        [
            ("mine".to_owned(), "1".to_owned()),
            (revision::REVISION.to_owned(), "9".to_owned()),
        ]
        .into(),
    );
    let mut new = set("new", 0, 0, 0, 3).as_ref().clone();
    assert!(revision::annotate_new(&deployment, &spec, &mut new, 5, true));
    let annotations = new.metadata.annotations.clone().unwrap();
    assert_eq!(
        (
            annotations["mine"].as_str(),
            annotations[revision::REVISION].as_str(),
            annotations[revision::HISTORY].as_str()
        ),
        ("1", "5", "3")
    );
    assert!(!revision::annotate_new(&deployment, &spec, &mut new, 5, true));
    let mut short = spec;
    short.revision_history_limit = Some(1);
    let old = [set("b", 0, 0, 0, 2), set("a", 0, 0, 0, 1), set("c", 0, 0, 0, 3)];
    let surplus: Vec<_> = plan::surplus_history(&short, &old)
        .iter()
        .map(|set| set.metadata.name.clone().unwrap())
        .collect();
    assert_eq!(surplus, ["a", "b"]);
}

#[test]
fn an_empty_revision_is_none_and_another_text_somebodys_own() {
    let spec = spec(1, json!(1), json!(0));
    for (given, want) in [("", "5"), ("7", "7"), ("mine", "mine")] {
        let mut new = set("new", 0, 0, 0, 0).as_ref().clone();
        let annotations = new.metadata.annotations.get_or_insert_default();
        annotations.insert(revision::REVISION.to_owned(), given.to_owned());
        revision::annotate_new(&Deployment::default(), &spec, &mut new, 5, true);
        let found = &new.metadata.annotations.unwrap()[revision::REVISION];
        assert_eq!(found, want, "{given:?}");
    }
}

#[test]
fn a_set_is_recognised_by_its_template() {
    let spec = spec(1, json!(1), json!(0));
    let mut deployment = Deployment {
        spec: Some(spec.clone()),
        ..Deployment::default()
    };
    deployment.metadata.name = Some("web".to_owned());
    let made = template::replica_set(&deployment, &spec);
    assert!(template::is_same(
        made.spec.as_ref().unwrap().template.as_ref().unwrap(),
        &spec.template
    ));
    let (new, old) = revision::split(&spec, &[Arc::new(made), set("old", 1, 1, 1, 1)]);
    assert!(new.is_some());
    assert_eq!(old.len(), 1);
    assert_ne!(
        template::template_hash(&spec.template, None),
        template::template_hash(&spec.template, Some(1))
    );
}
