use super::*;

fn rotation(subject: Subject, stage: Stage) -> Rotation {
    Rotation {
        subjects: BTreeSet::from([subject]),
        stage,
        aborting: false,
        returned: false,
        started: 1,
        lifetime: None,
    }
}

#[test]
fn what_is_held_in_each_stage() {
    use Which::{New, Old};
    type Row = (Subject, Stage, &'static [Which], Which, Which);
    let table: &[Row] = &[
        (Subject::EtcdCa, Stage::Trust, &[Old, New], Old, Old),
        (Subject::EtcdCa, Stage::Issue, &[Old, New], New, Old),
        (Subject::KubernetesCa, Stage::Switch, &[New, Old], New, New),
        (Subject::KubernetesCa, Stage::Drop, &[New], New, New),
        (Subject::EncryptionKey, Stage::Trust, &[Old, New], Old, Old),
        (Subject::EncryptionKey, Stage::Issue, &[New, Old], New, Old),
        (Subject::ServiceAccountKey, Stage::Issue, &[Old, New], New, Old),
        (Subject::ServiceAccountKey, Stage::Switch, &[New, Old], New, New),
    ];
    for (subject, stage, trusted, issues, signs) in table {
        let found = holding(Some(&rotation(*subject, *stage)), *subject);
        assert_eq!(
            found,
            Holding {
                trusted,
                issues: *issues,
                signs: *signs
            },
            "{subject:?} {stage:?}"
        );
        // What is not a subject does not move.
        assert_eq!(
            holding(Some(&rotation(*subject, *stage)), Subject::Leaves),
            STEADY
        );
    }
    assert_eq!(holding(None, Subject::EtcdCa), STEADY);
}

/// What is used is trusted in the stage before and after, so hosts may be in either.
#[test]
fn neighbouring_stages_trust_each_others_work() {
    for subject in Subject::ALL {
        let mut held = vec![STEADY];
        held.extend(Stage::ALL.map(|stage| holding(Some(&rotation(subject, stage)), subject)));
        for pair in held.windows(2) {
            for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                assert!(
                    other.trusted.contains(&one.issues),
                    "{subject:?}: {one:?} {other:?}"
                );
                assert!(
                    other.trusted.contains(&one.signs),
                    "{subject:?}: {one:?} {other:?}"
                );
            }
        }
    }
}

#[test]
fn stages_of_subjects() {
    let stages = |subjects: &[Subject], from| {
        let subjects = subjects.iter().copied().collect();
        steps(&subjects, from)
            .iter()
            .map(|step| step.stage.name())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (subjects, from, want) in [
        (&[Subject::Leaves][..], None, "issue"),
        (&[Subject::ServiceAccountKey], None, "trust switch drop"),
        (&[Subject::EtcdCa], None, "trust issue switch drop"),
        (&Subject::ALL, Some(Stage::Switch), "switch drop"),
    ] {
        assert_eq!(stages(subjects, from), want, "{subjects:?}");
    }
    let all: BTreeSet<Subject> = Subject::ALL.into();
    let switch = &steps(&all, Some(Stage::Switch))[0];
    for gate in [Gate::TokensRenewed, Gate::SecretsRewritten, Gate::RootCaPublished] {
        assert!(switch.gates.contains(&gate), "{gate:?}");
    }
    // Settling comes after everything else.
    assert_eq!(switch.gates.last(), Some(&Gate::TokensSettled));
}

#[test]
fn the_way_back_ends_before_the_drop() {
    let all: BTreeSet<Subject> = Subject::ALL.into();
    let back = steps_back(&all, Stage::Switch).expect("a way back");
    assert_eq!(back[0].stage, Stage::Trust);
    assert!(back[0].gates.contains(&Gate::SecretsRewritten));
    assert_eq!(steps_back(&all, Stage::Drop), None);
    assert_eq!(
        turn_back(Some(&rotation(Subject::EtcdCa, Stage::Drop))),
        Err(Refused::TooLate)
    );
    assert_eq!(
        turn_back(Some(&rotation(Subject::Leaves, Stage::Issue))),
        Err(Refused::OnlyLeaves)
    );
    assert_eq!(turn_back(None), Err(Refused::Nothing));
    let back = turn_back(Some(&rotation(Subject::EtcdCa, Stage::Issue))).expect("possible");
    assert!(back.aborting && back.stage == Stage::Trust);
}

#[test]
fn a_rotation_is_taken_up_again() {
    let wanted = BTreeSet::from([Subject::EtcdCa]);
    let under_way = rotation(Subject::EtcdCa, Stage::Issue);
    assert_eq!(begin(Some(&under_way), &wanted, 9, None), Ok(under_way.clone()));
    assert_eq!(
        begin(Some(&under_way), &BTreeSet::new(), 9, None),
        Ok(under_way.clone())
    );
    let other = BTreeSet::from([Subject::EncryptionKey]);
    assert_eq!(
        begin(Some(&under_way), &other, 9, None),
        Err(Refused::Other("etcd-ca".to_owned()))
    );
    let fresh = begin(None, &BTreeSet::new(), 9, Some(60)).expect("leaves");
    assert_eq!(
        (fresh.stage, fresh.started, fresh.lifetime),
        (Stage::Issue, 9, Some(60))
    );
    let back = Rotation {
        aborting: true,
        ..under_way
    };
    assert_eq!(begin(Some(&back), &wanted, 9, None), Err(Refused::Aborting));
}
