use super::*;
use apimachinery::meta;
use flate2::read::GzDecoder;
use proptest::prelude::*;

const PAIRS: &[u8] = include_bytes!("../../tests/data/protobuf-pairs.json.gz");

fn pairs() -> Vec<Value> {
    serde_json::from_reader(GzDecoder::new(PAIRS)).unwrap()
}

#[test]
fn recorded_objects_decode_to_their_json() {
    let registry = api::Registry::built_in();
    let mut checked = 0;
    for pair in pairs() {
        let bytes = STANDARD.decode(pair["protobuf"].as_str().unwrap()).unwrap();
        let envelope = open(&bytes).unwrap();
        let version = apimachinery::GroupVersion::parse(&envelope.api_version).unwrap();
        let kind = version.kind(envelope.kind.as_str());
        let Some(row) = registry.kind(&kind) else { continue };
        let fit = |mut value: Value| {
            // Defaulting puts the type on claim templates; the message doesn't carry it.
            for template in value["spec"]["volumeClaimTemplates"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                template
                    .as_object_mut()
                    .unwrap()
                    .retain(|key, _| key != "kind" && key != "apiVersion");
            }
            value["kind"] = json!(kind.kind);
            value["apiVersion"] = json!(kind.api_version());
            apimachinery::decode::fit(&row.schemas, row.schema_id, &mut value).unwrap();
            value
        };
        let decoded = decode(&row.schemas, &api::schema_name(&kind), envelope.raw)
            .unwrap_or_else(|error| panic!("{}: {error}", pair["url"]));
        let (decoded, expected) = (fit(decoded), fit(pair["json"].clone()));
        if meta::resource_version(&decoded) != meta::resource_version(&expected) {
            // A controller wrote status between the two recordings.
            assert_eq!(decoded["spec"], expected["spec"]);
        } else {
            assert_eq!(decoded, expected, "{}", pair["url"]);
        }
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

/// What was encoded from recorded JSON decodes like what upstream encoded.
#[test]
fn recorded_json_encodes_to_what_upstream_sends() {
    let registry = api::Registry::built_in();
    let mut checked = 0;
    for pair in pairs() {
        let bytes = STANDARD.decode(pair["protobuf"].as_str().unwrap()).unwrap();
        let theirs = open(&bytes).unwrap();
        let version = apimachinery::GroupVersion::parse(&theirs.api_version).unwrap();
        let kind = version.kind(theirs.kind.as_str());
        let Some(row) = registry.kind(&kind) else { continue };
        let schema = api::schema_name(&kind);
        let mut json = pair["json"].clone();
        json["kind"] = json!(kind.kind);
        json["apiVersion"] = json!(kind.api_version());
        let encoded =
            encode::answer(&row.schemas, &json).unwrap_or_else(|error| panic!("{}: {error}", pair["url"]));
        let ours = open(&encoded).unwrap();
        assert_eq!(
            (&ours.api_version, &ours.kind),
            (&theirs.api_version, &theirs.kind)
        );
        let fit = |raw: &[u8]| {
            let mut value = decode(&row.schemas, &schema, raw).unwrap();
            value["kind"] = json!(kind.kind);
            value["apiVersion"] = json!(kind.api_version());
            apimachinery::decode::fit(&row.schemas, row.schema_id, &mut value).unwrap();
            value
        };
        let (ours, theirs) = (fit(ours.raw), fit(theirs.raw));
        if meta::resource_version(&ours) == meta::resource_version(&theirs) {
            assert_eq!(ours, theirs, "{}", pair["url"]);
        } else {
            assert_eq!(ours["spec"], theirs["spec"]);
        }
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn metadata_alone_is_field_1() {
    let set = api::schema::built_in();
    let pod = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"},"spec":{"nodeName":"n"}}"#;
    let message = encode::metadata(&set, pod).unwrap();
    assert_eq!(message, [0x0a, 3, 0x0a, 1, b'a']);
}

#[test]
fn a_watch_event_is_framed_by_its_length() {
    let frame = envelope::watch_frame("ADDED", "v1", "Pod", &[0x0a, 0]);
    let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
    assert_eq!(length, frame.len() - 4);
    let mut fields = Reader::new(&frame[4..]);
    assert_eq!(fields.next().unwrap().unwrap(), (1, Field::Bytes(b"ADDED")));
    let Some(Ok((2, Field::Bytes(extension)))) = fields.next() else {
        panic!("no object")
    };
    let Some(Ok((1, Field::Bytes(object)))) = Reader::new(extension).next() else {
        panic!("no raw object")
    };
    assert_eq!(open(object).unwrap().raw, [0x0a, 0]);
}

#[test]
fn lengths_of_more_than_a_byte_are_put_before_their_message() {
    let set = api::schema::built_in();
    let text = "x".repeat(300);
    let map = json!({ "metadata": { "name": text }, "data": { "a": text, "b": "" } }).to_string();
    let message = encode::message(&set, "io.k8s.api.core.v1.ConfigMap", map.as_bytes()).unwrap();
    let back = decode(&set, "io.k8s.api.core.v1.ConfigMap", &message).unwrap();
    assert_eq!(back["metadata"]["name"], text.as_str());
    assert_eq!(back["data"], json!({ "a": text, "b": "" }));
}

/// What has no number would be lost on its way.
#[test]
fn every_field_of_a_kind_has_a_number() {
    fn names(message: &table::Message) -> Vec<&str> {
        let fields = message.values().flat_map(|entry| match entry {
            table::Entry::Named(name) => vec![name.as_str()],
            table::Entry::Inline(message) => names(message),
        });
        fields.collect()
    }
    let set = api::schema::built_in();
    let mut without = Vec::new();
    for schema in set.iter().filter(|schema| schema.name.starts_with("io.k8s.api.")) {
        let known = table::TABLE.get(&schema.name).map(names).unwrap_or_default();
        let fields = schema.fields.iter().map(|field| &*field.name);
        let fields = fields.filter(|name| !matches!(*name, "apiVersion" | "kind") && !known.contains(name));
        without.extend(fields.map(|name| format!("{}.{name}", schema.name)));
    }
    assert!(without.is_empty(), "{without:?}");
}

#[test]
fn fields_of_this_version_come_through() {
    let set = api::schema::built_in();
    for (schema, json) in [
        (
            "resource.v1.Device",
            json!({
                "name": "d",
                "attributes": {
                    "i": {"ints": [1, 2]}, "b": {"bools": [true, false]}, "s": {"strings": ["x"]}, "v": {"versions": ["1.0.0"]},
                },
                "nodeAllocatableResourceMappings": {
                    "cpu": {"capacityKey": "example.com/cores", "allocationMultiplier": "2"},
                    "memory": {"allocationMultiplier": "2Gi"},
                },
            }),
        ),
        (
            "core.v1.PodStatus",
            json!({
                "nodeAllocatableResourceClaimStatuses": [
                    {"resourceClaimName": "c", "containers": ["a"], "resources": {"cpu": "2"}},
                ],
                "containerStatuses": [{
                    "name": "a", "ready": true, "restartCount": 0, "image": "i", "imageID": "",
                    "volumeMounts": [{"name": "v", "mountPath": "/v", "volumeStatus": {"image": {"imageRef": "sha256:1"}}}],
                    "allocatedResourcesStatus": [
                        {"name": "claim:c", "resources": [{"resourceID": "r", "health": "Unknown", "message": "lost"}]},
                    ],
                }],
            }),
        ),
        (
            "core.v1.PodSpec",
            json!({"containers": [], "schedulingGroup": {"podGroupName": "g"}}),
        ),
        (
            "storage.v1.CSIDriverSpec",
            json!({"preventPodSchedulingIfMissing": true}),
        ),
    ] {
        let schema = format!("io.k8s.api.{schema}");
        let message = encode::message(&set, &schema, json.to_string().as_bytes()).unwrap();
        let back = decode(&set, &schema, &message).unwrap();
        for (name, value) in json.as_object().unwrap() {
            if name == "containers" {
                continue;
            }
            if name != "containerStatuses" {
                assert_eq!(&back[name], value, "{schema}");
                continue;
            }
            for field in ["volumeMounts", "allocatedResourcesStatus"] {
                assert_eq!(back[name][0][field], value[0][field], "{schema}");
            }
        }
    }
}

#[test]
fn the_bitmap_decodes() {
    // magic, typeMeta, raw { range, data }
    let raw = [&[0x12, 5][..], b"10-20", &[0x1a, 1, 0x08]].concat();
    let bytes = [MAGIC, &[0x12, raw.len() as u8], &raw].concat();
    assert_eq!(decode_range_allocation(&bytes).unwrap()["data"], "CA==");
}

proptest! {
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let set = api::schema::built_in();
        let _ = decode(&set, "io.k8s.api.core.v1.Pod", &bytes);
        let _ = open(&[MAGIC, &bytes].concat());
    }

    #[test]
    fn no_json_panics(text in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
        let set = api::schema::built_in();
        let _ = encode::message(&set, "io.k8s.api.core.v1.Pod", text.as_bytes());
    }
}
