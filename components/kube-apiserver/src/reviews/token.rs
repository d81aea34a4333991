//! TokenReview and SelfSubjectReview.

use crate::authentication::notes::Notes;
use crate::identity::User;
use crate::request::ApiRequest;
use crate::server::Server;
use apimachinery::ApiError;
use serde_json::{Value, json};

/// The user as reviews show it.
pub fn user_info(user: &User) -> Value {
    let mut info = json!({ "username": user.name });
    if !user.uid.is_empty() {
        info["uid"] = json!(user.uid);
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

pub fn who_am_i(request: &ApiRequest) -> Value {
    json!({ "userInfo": user_info(&request.user) })
}

/// A review asks about a token.
pub fn check(review: &Value) -> Result<(), ApiError> {
    match review["spec"]["token"].as_str() {
        None | Some("") => Err(ApiError::bad_request(
            "token is required for TokenReview in authentication",
        )),
        Some(_) => Ok(()),
    }
}

/// Says whose token it is, if anybody's. What there is to say of its use is said of the review.
pub async fn review(server: &Server, request: &ApiRequest, review: &Value) -> Result<Value, ApiError> {
    let token = review["spec"]["token"].as_str().unwrap_or("");
    let audiences: Vec<String> = review["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    // As upstream, which asks itself with a header of that token.
    let token = token.trim_end().split(' ').next().unwrap_or("");
    if token.is_empty() {
        return Ok(nobody(server, &audiences));
    }
    let mut notes = Notes::default();
    let tokens = &server.authenticator.tokens;
    let outcome = tokens.authenticate(token, &audiences, &mut notes).await;
    for text in notes.warnings {
        request.warn(text);
    }
    for (key, value) in notes.annotations {
        request.annotate(key.to_owned(), value);
    }
    Ok(match outcome {
        Ok(Some(found)) => {
            let mut status = json!({ "authenticated": true, "user": user_info(&found.user) });
            let good_for = if found.audiences.is_empty() {
                &audiences
            } else {
                &found.audiences
            };
            if !good_for.is_empty() {
                status["audiences"] = json!(good_for);
            }
            status
        }
        Ok(None) => json!({ "user": {}, "error": "invalid bearer token" }),
        Err(refusal) => json!({ "user": {}, "error": format!("[invalid bearer token, {}]", refusal.0) }),
    })
}

/// What is said of a token that is none: that of a request without one.
fn nobody(server: &Server, audiences: &[String]) -> Value {
    if !server.authenticator.anonymous.allows("") {
        return json!({ "user": {} });
    }
    let own = &server.issuer.audiences;
    let good_for = if audiences.is_empty() {
        own.as_slice()
    } else {
        audiences
    };
    let mut status = json!({ "authenticated": true, "user": user_info(&User::anonymous()) });
    if !good_for.is_empty() {
        status["audiences"] = json!(good_for);
    }
    status
}
