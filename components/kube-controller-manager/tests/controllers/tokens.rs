//! Tokens of service accounts that are kept in secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::{Value, json};

use crate::cluster::{Cluster, ask, eventually};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";
const REVIEW: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn secret(name: &str, account: &str) -> Value {
    json!({
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
        "type": "kubernetes.io/service-account-token",
    })
}

fn text(secret: &Value, key: &str) -> String {
    let encoded = secret["data"][key].as_str().unwrap();
    String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
}

/// A client that has only this token.
async fn with_token(cluster: &Cluster, token: &str) -> Client {
    let kubeconfig = json!({
        "clusters": [{"name": "c", "cluster": {
            "server": cluster.api.url(), "certificate-authority": cluster.api.pki().file("ca.crt"),
        }}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    let kubeconfig = serde_json::from_value(kubeconfig).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_secret_for_an_account_holds_its_token_as_long_as_the_account_is_there() {
    let cluster = Cluster::start("serviceaccount-token").await;
    cluster
        .create(ACCOUNTS, &json!({"metadata": {"name": "robot"}}))
        .await;
    cluster.create(SECRETS, &secret("robot-token", "robot")).await;
    cluster
        .create(SECRETS, &json!({"metadata": {"name": "other"}}))
        .await;
    let path = format!("{SECRETS}/robot-token");
    let filled = cluster
        .until(&path, "has a token", |secret| {
            secret.is_some_and(|secret| secret["data"]["token"].is_string())
        })
        .await
        .unwrap();
    assert_eq!(text(&filled, "namespace"), "default");
    let authority = std::fs::read_to_string(cluster.api.pki().file("ca.crt")).unwrap();
    assert_eq!(text(&filled, "ca.crt"), authority);

    let robot = with_token(&cluster, &text(&filled, "token")).await;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let (code, answer) = ask(&robot, "POST", REVIEW, &review).await;
    assert_eq!(code, 201, "{answer}");
    assert_eq!(
        answer["status"]["userInfo"]["username"],
        "system:serviceaccount:default:robot"
    );
    // Who has such tokens still in use can be told by the label.
    cluster
        .until(&path, "has the day of its last use", |secret| {
            secret.is_some_and(|secret| {
                secret["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].is_string()
            })
        })
        .await;

    // A broken secret is mended.
    cluster.patch(&path, &json!({"data": {"token": null}})).await;
    cluster
        .until(&path, "has a token again", |secret| {
            secret.is_some_and(|secret| secret["data"]["token"].is_string())
        })
        .await;

    cluster.delete(&format!("{ACCOUNTS}/robot")).await;
    cluster.until_gone(&path).await;
    eventually("the token of a deleted account is refused", || async {
        let (code, answer) = ask(&robot, "POST", REVIEW, &review).await;
        (code != 401).then(|| format!("{code} {answer}"))
    })
    .await;
    assert!(cluster.get(&format!("{SECRETS}/other")).await.is_some());
}

#[tokio::test]
async fn a_secret_for_no_account_goes_and_one_for_an_earlier_account_too() {
    let cluster = Cluster::start("serviceaccount-token").await;
    cluster.create(SECRETS, &secret("nobody", "nobody")).await;
    cluster.until_gone(&format!("{SECRETS}/nobody")).await;
    cluster
        .create(ACCOUNTS, &json!({"metadata": {"name": "robot"}}))
        .await;
    let mut earlier = secret("earlier", "robot");
    earlier["metadata"]["annotations"]["kubernetes.io/service-account.uid"] = json!("of-an-earlier-robot");
    cluster.create(SECRETS, &earlier).await;
    cluster.until_gone(&format!("{SECRETS}/earlier")).await;
}
