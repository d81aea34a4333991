use super::gate::History;
use super::*;

fn version(emulated: &str) -> EffectiveVersion {
    EffectiveVersion::from_flags(&[emulated.to_owned()], &[]).unwrap()
}

fn taken(text: &str, emulated: &str) -> Result<FeatureGate, String> {
    let gate = parse(text)?;
    check(std::slice::from_ref(&gate), &version(emulated))?;
    Ok(gate)
}

#[test]
fn gates_are_booleans_and_what_is_not_there_cannot_be_turned_on() {
    for (text, good) in [
        ("NodeSwap=true", true),
        ("kube:NodeSwap=true", true),
        ("AllAlpha=false", true),
        ("CBORServingAndStorage=false", true),
        ("NodeSwap=false", false),
        ("GitRepoVolumeDriver=true", false),
        ("WatchList=false", true),
        ("HPAScaleToZero=true", true),
        ("NoSuchGate=false", false),
        ("AllAlpha=true", false),
        ("CBORServingAndStorage=true", false),
        ("PodCertificateRequest=true", false),
        ("PodCertificateRequest=false", true),
        ("ContainerStopSignals=true", true),
        ("NodeSwap", false),
        ("NodeSwap=on", false),
        ("=true", false),
        ("a b=true", false),
    ] {
        assert_eq!(taken(text, "1.36").is_ok(), good, "{text}");
    }
}

#[test]
fn refusals_are_upstreams() {
    for (text, emulated, said) in [
        ("NoSuchGate=true", "1.36", "unrecognized feature gate: NoSuchGate"),
        ("wardle:NodeSwap=true", "1.36", "component not registered: wardle"),
        (
            "NodeSwap=false",
            "1.34",
            "cannot set feature gate NodeSwap to false, feature is locked to true",
        ),
        (
            "AtomicFIFO=false",
            "1.35",
            "cannot set feature gate AtomicFIFO to false, feature is PreAlpha at emulated version 1.35, \
             min compatibility version 1.34",
        ),
        (
            "GangScheduling=true",
            "1.34",
            "cannot set feature gate GangScheduling to true, feature is PreAlpha at emulated version 1.34, \
             min compatibility version 1.33",
        ),
    ] {
        assert_eq!(taken(text, emulated), Err(said.to_owned()), "{text} {emulated}");
    }
}

#[test]
fn a_gate_can_be_set_where_it_was_not_yet_locked() {
    for (text, emulated, good) in [
        ("NodeSwap=false", "1.33", true),
        ("NodeSwap=false", "1.34", false),
        ("SELinuxChangePolicy=false", "1.35", true),
        ("SELinuxChangePolicy=false", "1.36", false),
        ("GitRepoVolumeDriver=true", "1.35", true),
        ("DRAConsumableCapacity=true", "1.34", true),
        ("DRAConsumableCapacity=true", "1.33", false),
    ] {
        assert_eq!(taken(text, emulated).is_ok(), good, "{text} {emulated}");
    }
}

#[test]
fn defaults_are_those_of_the_emulated_version() {
    for (name, on) in [
        ("WatchList", [false, true, true, true]),
        ("MutatingAdmissionPolicy", [false, false, false, true]),
        ("DynamicResourceAllocation", [false, true, true, true]),
        (
            "ChangeContainerStatusOnKubeletRestart",
            [true, true, false, false],
        ),
        ("UnknownVersionInteroperabilityProxy", [false, false, false, true]),
        ("ComponentFlagz", [false, false, false, true]),
        ("KubeletPodResourcesListUseActivePods", [false, true, true, true]),
        ("MaxUnavailableStatefulSet", [false; 4]),
        ("APIServerIdentity", [true; 4]),
        ("AtomicFIFO", [false, false, false, true]),
        ("NoSuchGate", [false; 4]),
    ] {
        let found = ["1.33", "1.34", "1.35", "1.36"].map(|text| is_on(&[], name, version(text).emulated));
        assert_eq!(found, on, "{name}");
    }
}

#[test]
fn what_is_given_counts_and_all_beta_is_for_the_rest() {
    let gates = |text: &str| -> Vec<FeatureGate> { text.split(',').map(|one| parse(one).unwrap()).collect() };
    for (given, name, emulated, on) in [
        ("WatchList=true", "WatchList", "1.33", true),
        ("WatchList=true,WatchList=false", "WatchList", "1.36", false),
        ("AllBeta=false", "WatchList", "1.36", false),
        ("AllBeta=false,WatchList=true", "WatchList", "1.36", true),
        ("AllBeta=false", "NodeSwap", "1.33", false),
        ("AllBeta=false", "NodeSwap", "1.34", true),
        ("AllAlpha=false", "WatchList", "1.36", true),
    ] {
        assert_eq!(
            is_on(&gates(given), name, version(emulated).emulated),
            on,
            "{given} {name} {emulated}"
        );
    }
}

#[test]
fn gates_are_sorted_there_is_one_of_each_name_and_their_versions_rise() {
    assert!(GATES.is_sorted_by(|one, other| one.name < other.name));
    for absent in ABSENT {
        let spec = known(absent).and_then(|gate| gate.at(Version::OWN));
        assert!(spec.is_some_and(|spec| !spec.default), "{absent}");
    }
    for gate in GATES {
        assert!(gate.at(Version::OWN).is_some(), "{}", gate.name);
        if let History::Since(since) = gate.history {
            let changes = since.windows(2).all(|pair| pair[0].1 != pair[1].1);
            let range = Version::OLDEST.minor..=Version::OWN.minor;
            assert!(
                since.is_sorted_by(|one, other| one.0 < other.0)
                    && changes
                    && since.iter().all(|(minor, _)| range.contains(minor)),
                "{}",
                gate.name
            );
        }
    }
}
