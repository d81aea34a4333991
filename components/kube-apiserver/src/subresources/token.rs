//! serviceaccounts/token: a token for a service account, bound to what it is for.

use crate::admission::{self, Attributes, Operation};
use crate::identity::service_account_user;
use crate::media;
use crate::metadata;
use crate::present;
use crate::request::ApiRequest;
use crate::server::Server;
use crate::serving::body::Response;
use crate::tokens::claims::{Claims, KubernetesClaims, Reference};
use crate::verbs::body;
use crate::verbs::options::{self, WriteOptions};
use crate::verbs::target::{self, Target};
use crate::verbs::write;
use apimachinery::field::{Error, Path};
use apimachinery::managed_fields::{Compact, Writer};
use apimachinery::{ApiError, GroupResource, GroupVersionKind, meta};
use http::StatusCode;
use serde_json::{Value, json};

/// Upstream's annotation in the audit event where a wrong uid is let through.
const UID_MISMATCH: &str = "authentication.k8s.io/token-request-uid-mismatch";
/// Which token was made, in the audit log.
const ISSUED: &str = "authentication.kubernetes.io/issued-credential-id";
const DEFAULT_SECONDS: i64 = 3600;
const LEAST_SECONDS: i64 = 600;
const MOST_SECONDS: i64 = 1 << 32;
/// The lifetime that a kubelet asks for when a pod doesn't say; such tokens are extended.
const PROJECTED_SECONDS: i64 = 3607;

pub async fn create(server: &Server, request: &ApiRequest, target: &Target) -> Result<Response, ApiError> {
    let accepted = media::negotiate_plain(request)?;
    let options = options::write(request, "CreateOptions", false)?;
    let kind = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let mut asked = body::object(&target.row, &kind, request, &options)?;
    metadata::ensure_namespace(&target.row, &target.namespace, &mut asked)?;
    if asked["spec"]["expirationSeconds"].is_null() {
        asked["spec"]["expirationSeconds"] = json!(DEFAULT_SECONDS);
    }
    track(request, target, &kind, &options, &mut asked)?;
    let attributes = Attributes::of_write(request, target, Operation::Create, &options);
    admission::mutate(server, &attributes, &mut asked, None).await?;
    same_name(&kind, &target.name, &asked)?;
    let account = server
        .stores
        .newest("", "serviceaccounts", &target.namespace, &target.name)
        .await
        .map_err(ApiError::internal)?
        .ok_or_else(|| ApiError::not_found(&target.resource(), &target.name))?;
    if let Some(mismatch) = mismatch(&account, &asked) {
        if server.has_feature("TokenRequestServiceAccountUIDValidation") {
            let kind = GroupResource::new(&kind.group, &kind.kind);
            return Err(ApiError::conflict(&kind, &target.name, &mismatch));
        }
        request.warn(format!(
            "{mismatch} but TokenRequestServiceAccountUIDValidation is not enabled. In the future, this will return a conflict error"
        ));
        request.annotate(UID_MISMATCH.to_owned(), mismatch);
    }
    fill_in(&account, &server.issuer.audiences, &mut asked);
    check(&kind, &asked)?;
    admission::validate(server, &attributes, Some(&asked), None).await?;
    let bound = bound_objects(server, target, &account, &asked).await?;
    let (claims, granted) = claims(server, request, target, &account, &asked, bound);
    let token = server
        .issuer
        .sign(&claims)
        .await
        .map_err(|error| ApiError::internal(format!("failed to generate token: {error}")))?;
    request.annotate(ISSUED.to_owned(), format!("JTI={}", claims.jti));
    asked["spec"]["expirationSeconds"] = json!(granted);
    let expires =
        jiff::Timestamp::from_second(claims.iat.unwrap_or(0) + granted).unwrap_or(jiff::Timestamp::MAX);
    asked["status"] =
        json!({ "token": token, "expirationTimestamp": apimachinery::time::format_time(expires) });
    let asked = asked.into_whole();
    present::value(request, &kind, &accepted, StatusCode::CREATED, &asked)
}

/// Says who asks for what, as for objects that are stored; the answer shows it.
fn track(
    request: &ApiRequest,
    target: &Target,
    kind: &GroupVersionKind,
    options: &WriteOptions,
    asked: &mut Compact,
) -> Result<(), ApiError> {
    let manager = write::manager(request, options);
    let now = apimachinery::time::format_time(jiff::Timestamp::now());
    let writer = Writer {
        manager: &manager,
        subresource: &target.subresource,
        now: &now,
    };
    api::managed::track_new(kind, asked, writer)
        .ok_or_else(|| ApiError::internal(format!("{} has no schema", kind.kind)))
}

/// What a request leaves out is the account's and the server's. What else the client says of the request stays.
fn fill_in(account: &Value, audiences: &[String], asked: &mut Value) {
    let none = asked["spec"]["audiences"].as_array().is_none_or(Vec::is_empty);
    if none {
        asked["spec"]["audiences"] = json!(audiences);
    }
    for (field, given) in [
        ("name", meta::name(account)),
        ("namespace", meta::namespace(account)),
        ("uid", meta::uid(account)),
    ] {
        if meta::get(asked, field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .is_empty()
        {
            meta::set(asked, field, given);
        }
    }
    let now = apimachinery::time::format_time(jiff::Timestamp::now());
    meta::set(asked, "creationTimestamp", now);
    if asked["spec"].get("boundObjectRef").is_none() {
        asked["spec"]["boundObjectRef"] = Value::Null;
    }
    asked["status"] = json!({ "token": "", "expirationTimestamp": null });
}

/// What is wrong with a token that is asked for an account of the same name that is gone.
fn mismatch(account: &Value, asked: &Value) -> Option<String> {
    let (given, wanted) = (meta::uid(asked), meta::uid(account));
    (!given.is_empty() && given != wanted).then(|| {
        format!(
            "the UID in the token request ({given}) does not match the UID of the service account ({wanted})"
        )
    })
}

fn same_name(kind: &GroupVersionKind, account: &str, asked: &Value) -> Result<(), ApiError> {
    let name = meta::name(asked);
    if name.is_empty() || name == account {
        return Ok(());
    }
    let detail = "must match the service account name if specified";
    let error = Error::invalid(&Path::new("metadata.name"), name, detail);
    Err(ApiError::invalid(kind, account, &[error]))
}

fn check(kind: &GroupVersionKind, asked: &Value) -> Result<(), ApiError> {
    let path = Path::new("spec").child("expirationSeconds");
    let mut errors = Vec::new();
    if let Some(seconds) = asked["spec"]["expirationSeconds"].as_i64() {
        if seconds < LEAST_SECONDS {
            errors.push(Error::invalid(
                &path,
                json!(seconds),
                "may not specify a duration less than 10 minutes",
            ));
        }
        if seconds > MOST_SECONDS {
            errors.push(Error::invalid(
                &path,
                json!(seconds),
                "may not specify a duration larger than 2^32 seconds",
            ));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid(kind, "", &errors))
    }
}

/// The objects that the token will be bound to, as claims.
async fn bound_objects(
    server: &Server,
    target: &Target,
    account: &Value,
    asked: &Value,
) -> Result<KubernetesClaims, ApiError> {
    let mut bound = KubernetesClaims {
        namespace: target.namespace.clone(),
        serviceaccount: Reference {
            name: target.name.clone(),
            uid: meta::uid(account).to_owned(),
        },
        ..KubernetesClaims::default()
    };
    let reference = &asked["spec"]["boundObjectRef"];
    if reference.is_null() {
        return Ok(bound);
    }
    let text = |field: &str| reference[field].as_str().unwrap_or("").to_owned();
    let (kind, version, name, uid) = (text("kind"), text("apiVersion"), text("name"), text("uid"));
    let (group, version) = match version.matches('/').count() {
        0 => ("", version.as_str()),
        1 => version.split_once('/').unwrap_or_default(),
        _ => ("", ""),
    };
    let (plural, namespace) = match (kind.as_str(), group) {
        ("Pod", "") => ("pods", target.namespace.as_str()),
        ("Secret", "") => ("secrets", target.namespace.as_str()),
        ("Node", "") => ("nodes", ""),
        _ => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={kind}"
            )));
        }
    };
    let resource = GroupResource::new("", plural);
    target::check_key(&name)?;
    let object = server
        .stores
        .newest("", plural, namespace, &name)
        .await
        .map_err(ApiError::internal)?;
    let object = object.ok_or_else(|| ApiError::not_found(&resource, &name))?;
    if kind == "Pod" && object["spec"]["serviceAccountName"].as_str() != Some(target.name.as_str()) {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            target.name
        )));
    }
    if !uid.is_empty() && uid != meta::uid(&object) {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(ApiError::conflict(&GroupResource::new("", &kind), &name, &why));
    }
    let found = Reference {
        name: name.clone(),
        uid: meta::uid(&object).to_owned(),
    };
    match kind.as_str() {
        "Pod" => {
            if let Some(node) = object["spec"]["nodeName"]
                .as_str()
                .filter(|node| !node.is_empty())
            {
                let stored = server
                    .stores
                    .newest("", "nodes", "", node)
                    .await
                    .map_err(ApiError::internal)?;
                let uid = stored
                    .as_ref()
                    .map(|node| meta::uid(node).to_owned())
                    .unwrap_or_default();
                bound.node = Some(Reference {
                    name: node.to_owned(),
                    uid,
                });
            }
            bound.pod = Some(found);
        }
        "Secret" => bound.secret = Some(found),
        _ => bound.node = Some(found),
    }
    Ok(bound)
}

/// The claims, and the lifetime that is told to the caller.
fn claims(
    server: &Server,
    request: &ApiRequest,
    target: &Target,
    account: &Value,
    asked: &Value,
    mut bound: KubernetesClaims,
) -> (Claims, i64) {
    let issuer = &server.issuer;
    let audiences = asked["spec"]["audiences"].as_array().into_iter().flatten();
    let audiences: Vec<String> = audiences.filter_map(Value::as_str).map(str::to_owned).collect();
    let mut seconds = asked["spec"]["expirationSeconds"]
        .as_i64()
        .unwrap_or(DEFAULT_SECONDS);
    let longest = issuer.longest();
    if longest > 0 && seconds > longest {
        request.warn(format!(
            "requested expiration of {seconds} seconds shortened to {longest} seconds"
        ));
        seconds = longest;
    }
    let now = jiff::Timestamp::now().as_second();
    let granted = seconds;
    let for_api_server = audiences
        .iter()
        .all(|audience| issuer.audiences.contains(audience));
    if issuer.extend_expiration && seconds == PROJECTED_SECONDS && for_api_server && bound.pod.is_some() {
        // Clients that read the token once keep working; the kubelet still renews it hourly.
        bound.warnafter = Some(now + seconds);
        seconds = issuer.extended();
    }
    let subject = service_account_user(&target.namespace, &target.name, meta::uid(account)).name;
    let claims = Claims {
        aud: audiences,
        exp: Some(now + seconds),
        iat: Some(now),
        nbf: Some(now),
        iss: issuer.issuers.first().cloned().unwrap_or_default(),
        jti: crate::metadata::new_uid(),
        sub: subject,
        kubernetes: Some(bound),
        ..Claims::default()
    };
    (claims, granted)
}
