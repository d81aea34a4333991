//! Whether a rule of a FlowSchema fits a request.

use super::objects::{NonResourceRule, ResourceRule, Rule, Subject};
use crate::identity::{self, User};
use crate::request_info::RequestInfo;

const ANY: &str = "*";

fn names(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ANY || item == wanted)
}

/// Whether the rule is about this user, whatever the request.
pub fn concerns(rule: &Rule, user: &User) -> bool {
    rule.subjects.iter().any(|subject| is_subject(subject, user))
}

fn is_subject(subject: &Subject, user: &User) -> bool {
    match subject.kind.as_str() {
        "User" => subject
            .user
            .as_ref()
            .is_some_and(|wanted| wanted.name == ANY || wanted.name == user.name),
        "Group" => subject
            .group
            .as_ref()
            .is_some_and(|wanted| wanted.name == ANY || user.in_group(&wanted.name)),
        "ServiceAccount" => subject.service_account.as_ref().is_some_and(|wanted| {
            identity::service_account(&user.name).is_some_and(|(namespace, name)| {
                wanted.namespace == namespace && (wanted.name == ANY || wanted.name == name)
            })
        }),
        _ => false,
    }
}

/// Whether the rule is about this request, its user left aside.
pub fn covers(rule: &Rule, info: &RequestInfo) -> bool {
    if info.is_resource {
        rule.resource_rules.iter().any(|rule| is_resource(rule, info))
    } else {
        rule.non_resource_rules.iter().any(|rule| is_path(rule, info))
    }
}

fn is_resource(rule: &ResourceRule, info: &RequestInfo) -> bool {
    let scope = if info.namespace.is_empty() {
        rule.cluster_scope
    } else {
        names(&rule.namespaces, &info.namespace)
    };
    scope
        && names(&rule.verbs, &info.verb)
        && names(&rule.api_groups, &info.group)
        && rule.resources.iter().any(|wanted| names_resource(wanted, info))
}

fn names_resource(wanted: &str, info: &RequestInfo) -> bool {
    if wanted == ANY {
        return true;
    }
    if info.subresource.is_empty() {
        return wanted == info.resource;
    }
    wanted
        .split_once('/')
        .is_some_and(|(resource, subresource)| resource == info.resource && subresource == info.subresource)
}

fn is_path(rule: &NonResourceRule, info: &RequestInfo) -> bool {
    let fits = |wanted: &String| {
        wanted == ANY
            || *wanted == info.path
            || wanted
                .strip_suffix('*')
                .is_some_and(|prefix| prefix.ends_with('/') && info.path.starts_with(prefix))
    };
    names(&rule.verbs, &info.verb) && rule.urls.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: serde_json::Value) -> Rule {
        serde_json::from_value(value).unwrap()
    }

    fn user(name: &str, groups: &[&str]) -> User {
        User {
            name: name.into(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        }
    }

    #[test]
    fn subjects() {
        let group = json!({"kind": "Group", "group": {"name": "g"}});
        let anyone = json!({"kind": "User", "user": {"name": "*"}});
        let accounts =
            json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}});
        let one = json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "n", "name": "a"}});
        for (subject, who, expected) in [
            (&group, user("x", &["g"]), true),
            (&group, user("g", &[]), false),
            (&anyone, user("x", &[]), true),
            (&accounts, user("system:serviceaccount:kube-system:a", &[]), true),
            (&accounts, user("system:serviceaccount:other:a", &[]), false),
            (&one, user("system:serviceaccount:n:a", &[]), true),
            (&one, user("system:serviceaccount:n:b", &[]), false),
        ] {
            let rule = rule(json!({"subjects": [subject]}));
            assert_eq!(concerns(&rule, &who), expected, "{subject} {who:?}");
        }
    }

    #[test]
    fn requests() {
        let resource = |group: &str, namespace: &str, resource: &str, subresource: &str| RequestInfo {
            is_resource: true,
            verb: "get".into(),
            group: group.into(),
            namespace: namespace.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            ..RequestInfo::default()
        };
        let path = |path: &str| RequestInfo {
            verb: "get".into(),
            path: path.into(),
            ..RequestInfo::default()
        };
        let rule = rule(json!({
            "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods", "nodes/status"], "namespaces": ["a"], "clusterScope": true}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/healthz", "/apis/*"]}],
        }));
        for (info, expected) in [
            (resource("", "a", "pods", ""), true),
            (resource("", "b", "pods", ""), false),
            (resource("", "", "pods", ""), true),
            (resource("apps", "a", "pods", ""), false),
            (resource("", "a", "pods", "status"), false),
            (resource("", "", "nodes", "status"), true),
            (resource("", "", "nodes", ""), false),
            (path("/healthz"), true),
            (path("/healthz/etcd"), false),
            (path("/apis/x"), true),
            (path("/apis"), false),
        ] {
            assert_eq!(covers(&rule, &info), expected, "{info:?}");
        }
    }
}
