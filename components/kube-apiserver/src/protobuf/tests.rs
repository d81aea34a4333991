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
}
