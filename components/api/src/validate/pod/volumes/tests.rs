use super::*;
use crate::features::Features;
use crate::validate::pod::Allowed;
use serde_json::json;

fn told(given: &[Value]) -> Vec<String> {
    let mut errors = ErrorList::new();
    let part = Part {
        is_mirror: false,
        is_pod: true,
        name: "pod",
        allowed: Allowed::new(Features::default()),
    };
    volumes(given, part, &Path::new("volumes"), &mut errors);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn names_are_those_of_volumes_that_are_right() {
    let wrong = json!({"name": "a", "nfs": {"server": "s", "path": "p"}});
    let good = json!({"name": "a", "emptyDir": {}});
    assert_eq!(
        told(&[wrong, good.clone()]),
        ["volumes[0].nfs.path: Invalid value: \"p\": must be an absolute path"]
    );
    assert_eq!(
        told(&[good.clone(), good]),
        ["volumes[1].name: Duplicate value: \"a\""]
    );
    let made = json!({"name": "b", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}},
    }}}});
    let claimed = json!({"name": "c", "persistentVolumeClaim": {"claimName": "pod-b"}});
    assert_eq!(
        told(&[made, claimed]),
        [
            "volumes[1].persistentVolumeClaim.claimName: Invalid value: \"pod-b\": must not reference a PVC that gets created for an ephemeral volume"
        ]
    );
}

#[test]
fn sources_stand_alone() {
    for (volume, wrong) in [
        (
            json!({"name": "a"}),
            &["volumes[0]: Required value: must specify a volume type"][..],
        ),
        (
            json!({"name": "a", "emptyDir": {}, "downwardAPI": {}, "cephfs": {}, "iscsi": {"initiatorName": "x", "targetPortal": "y".repeat(63)}}),
            &[
                "volumes[0].iscsi: Forbidden: may not specify more than 1 volume type",
                "volumes[0].name: Invalid value: \"a\": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
                "volumes[0].cephFS: Forbidden: may not specify more than 1 volume type",
                "volumes[0].downwarAPI: Forbidden: may not specify more than 1 volume type",
            ],
        ),
        (
            json!({"name": "a", "projected": {"sources": [{"clusterTrustBundle": {"name": ":x"}}]}}),
            &[
                "volumes[0].projected.sources[0].clusterTrustBundlePEM.name: Invalid value: \":x\": not a valid clustertrustbundlename: ClusterTrustBundle without signer name must not have \":\" in its name",
                "volumes[0].projected.sources[0].clusterTrustBundlePEM.path: Required value",
            ],
        ),
    ] {
        assert_eq!(told(std::slice::from_ref(&volume)), wrong, "{volume}");
    }
}

#[test]
fn initiators_have_names_of_three_forms() {
    const START: &str = "must be valid format starting with iqn, eui, or naa";
    const FORMAT: &str = "must be valid format";
    for (iqn, why) in [
        ("iqn.2001-04.com.example:storage", ""),
        ("iqn-iqn.2001-04.com.example:storage:a", ""),
        ("iqn.2001-04.com.example", FORMAT),
        ("iqn.2001-04.com.example:a b", FORMAT),
        ("iqn.2001-04.com.example:a\u{a0}b", ""),
        ("iqn.ab\u{20ac}cd.x:y", FORMAT),
        ("iqn.", FORMAT),
        ("eui.0123456789abcdef", ""),
        ("eui\u{20ac}0123456789abcdef", ""),
        ("eui.0123456789abcde", FORMAT),
        ("naa.0123456789abcdef0123456789abcdef", ""),
        ("nqn.2014-08.org", START),
    ] {
        let source = json!({"targetPortal": "t", "iqn": iqn});
        let errors = volume_source("iscsi", &source, &Path::new("iscsi"));
        let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
        let wanted: Vec<&str> = Some(why).filter(|why| !why.is_empty()).into_iter().collect();
        assert_eq!(details, wanted, "{iqn}");
    }
}
