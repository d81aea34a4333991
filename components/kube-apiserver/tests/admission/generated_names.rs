//! Names that the server makes, and that somebody else takes before it has stored the object.

use crate::bench::{Bench, MAPS};
use crate::webhooks::{answer, review};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use testkit::exchange::{self, JSON};
use testkit::webhook::Seen;

/// The name of an object, and how often one of its names is to be taken.
fn wanted(seen: &Seen) -> Option<(String, u64)> {
    let object = &seen.body["request"]["object"];
    let tries = object["data"]["taken"].as_str()?.parse().ok()?;
    Some((object["metadata"]["name"].as_str()?.to_owned(), tries))
}

/// Regression test of the loop, which chance doesn't get to: a webhook that validates takes the name itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generated_name_that_is_taken_is_made_anew() {
    let client: Arc<OnceLock<kube::Client>> = Arc::default();
    let names: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let (taker, tried) = (Arc::clone(&client), Arc::clone(&names));
    let bench = Bench::start(move |seen| {
        if seen.path != "/take" {
            return answer(seen);
        }
        let Some((name, tries)) = wanted(seen) else {
            return answer(seen);
        };
        let number = {
            let mut tried = tried.lock().unwrap();
            tried.push(name.clone());
            tried.len() as u64
        };
        if number <= tries {
            let map = json!({"metadata": {"name": name, "labels": {"taken": "yes"}}});
            let client = taker.get().unwrap();
            let taking = exchange::send(client, "POST", MAPS, JSON, &map);
            let runtime = tokio::runtime::Handle::current();
            let taken = tokio::task::block_in_place(|| runtime.block_on(taking)).unwrap();
            assert_eq!(taken.status, 201, "{}", taken.text());
        }
        review(seen, json!({"allowed": true}))
    })
    .await;
    assert!(client.set(bench.client.clone()).is_ok());
    let others = json!({"matchExpressions": [{"key": "taken", "operator": "DoesNotExist"}]});
    let hook = bench.hook("take.example.com", "/take", json!({"objectSelector": others}));
    bench
        .configure("ValidatingWebhookConfiguration", "take", vec![hook])
        .await;
    let create = async |taken: u64| -> (u16, Value, Vec<String>) {
        names.lock().unwrap().clear();
        let map = json!({"metadata": {"generateName": "m-"}, "data": {"taken": taken.to_string()}});
        let (code, body, _) = bench.post(MAPS, &map).await;
        (code, body, names.lock().unwrap().clone())
    };
    for taken in [0, 1, 7] {
        let (code, made, names) = create(taken).await;
        assert_eq!(code, 201, "{made}");
        assert_eq!(names.len() as u64, taken + 1);
        let different: HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        assert_eq!(made["metadata"]["name"], *names.last().unwrap());
    }
    let (code, status, names) = create(8).await;
    let last = names.last().unwrap();
    let why = format!(
        "configmaps {last:?} already exists, the server was not able to generate a unique name for the object"
    );
    assert_eq!((code, &status["message"]), (409, &json!(why)));
    assert_eq!(names.len(), 8);
}
