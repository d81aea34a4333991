//! Who makes a policy with parameters, or binds one, must be able to read what they name: policies decide by it
//! (pkg/registry/admissionregistration, authz.go).
use crate::authorization::attributes::Attributes;
use crate::identity::{MASTERS, User};
use crate::request::ApiRequest;
use crate::server::Server;
use api::Resource;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, GroupVersionKind, meta};
use serde_json::Value;

const GROUP: &str = "admissionregistration.k8s.io";

/// Refuses a policy or binding that is fine but for the rights of who writes it.
pub(super) async fn check(
    server: &Server,
    request: &ApiRequest,
    row: &Resource,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), ApiError> {
    if row.gvk.group != GROUP {
        return Ok(());
    }
    let policies = match row.gvk.kind.as_str() {
        "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy" => None,
        "ValidatingAdmissionPolicyBinding" => Some("validatingadmissionpolicies"),
        "MutatingAdmissionPolicyBinding" => Some("mutatingadmissionpolicies"),
        _ => return Ok(()),
    };
    let field = if policies.is_some() {
        "paramRef"
    } else {
        "paramKind"
    };
    let given = &new["spec"][field];
    // Upstream compares references by where they are in memory, so that each change is looked at again.
    let stays = policies.is_none() && old.is_some_and(|old| old["spec"][field] == *given);
    if !given.is_object() || stays || request.user.in_group(MASTERS) {
        return Ok(());
    }
    let why = Box::pin(async {
        match policies {
            None => unreadable_kind(server, &request.user, given).await,
            Some(policies) => unreadable_object(server, &request.user, policies, new).await,
        }
    });
    why.await.map_or(Ok(()), |why| {
        let error = Error::forbidden(&Path::new("spec").child(field), why);
        Err(ApiError::invalid(&row.gvk, meta::name(new), &[error]))
    })
}

/// The kind of parameters as rules name it: each part that can't be told is all of them.
struct Wanted {
    group: String,
    version: String,
    resource: String,
}

impl Wanted {
    fn of(server: &Server, kind: &Value) -> Self {
        let text = |field: &str| kind[field].as_str().unwrap_or("");
        let all = || "*".to_owned();
        let (group, version) = match text("apiVersion").split_once('/') {
            _ if !kind.is_object() => {
                return Self {
                    group: all(),
                    version: all(),
                    resource: all(),
                };
            }
            Some(parts) => parts,
            None => ("", text("apiVersion")),
        };
        let known = server
            .registry
            .load()
            .kind(&GroupVersionKind::new(group, version, text("kind")))
            .map(|row| row.plural.clone());
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: known.map_or_else(all, |plural| plural.to_string()),
        }
    }

    fn question<'a>(&'a self, user: &'a User, verb: &'a str) -> Attributes<'a> {
        let mut question = Attributes::resource(user, verb, &self.group, &self.resource);
        question.version = (&*self.version).into();
        question
    }
}

async fn unreadable_kind(server: &Server, user: &User, kind: &Value) -> Option<String> {
    let wanted = Wanted::of(server, kind);
    let question = wanted.question(user, "get").in_namespace("*").named("*");
    if server.authorizer.decide(&question).await.allowed() {
        return None;
    }
    let text = |field: &str| kind[field].as_str().unwrap_or("");
    Some(format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, apiVersion={})",
        shown(user),
        text("kind"),
        text("apiVersion")
    ))
}

async fn unreadable_object(server: &Server, user: &User, policies: &str, binding: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let policy = text(&binding["spec"]["policyName"]);
    let policy = server.stores.newest(GROUP, policies, "", &policy).await;
    let kind = policy
        .ok()
        .flatten()
        .map(|policy| policy["spec"]["paramKind"].clone());
    let wanted = Wanted::of(server, &kind.unwrap_or_default());
    let reference = &binding["spec"]["paramRef"];
    let (name, namespace) = (text(&reference["name"]), text(&reference["namespace"]));
    let verb = if name.is_empty() { "list" } else { "get" };
    let question = wanted.question(user, verb).in_namespace(&namespace).named(&name);
    let allowed = server.authorizer.decide(&question).await.allowed();
    // The two stand the other way round in upstream's message.
    (!allowed).then(|| {
        format!(
            "user {verb} does not have \"{}\" permission on the object referenced by paramRef",
            shown(user)
        )
    })
}

/// A user as Go prints it.
fn shown(user: &User) -> String {
    let extra: Vec<String> = user
        .extra
        .iter()
        .map(|(key, values)| format!("{key}:[{}]", values.join(" ")))
        .collect();
    format!(
        "&{{{} {} [{}] map[{}]}}",
        user.name,
        user.uid,
        user.groups.join(" "),
        extra.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_shown_as_go_prints_them() {
        let user = User {
            name: "a".to_owned(),
            groups: vec!["g".to_owned(), "h".to_owned()],
            extra: [("k".to_owned(), vec!["v".to_owned(), "w".to_owned()])].into(),
            ..User::default()
        };
        assert_eq!(shown(&user), "&{a  [g h] map[k:[v w]]}");
        assert_eq!(shown(&User::default()), "&{  [] map[]}");
    }
}
