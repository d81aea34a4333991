//! The ways in which one may be allowed to act as somebody: as certain users and for certain requests, or as a user for
//! everything.

use crate::authorization::Authorizer;
use crate::authorization::attributes::Attributes;
use crate::identity::{
    ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, NODE_PREFIX, NODES_GROUP, User,
    service_account, service_account_groups,
};
use crate::metrics::impersonation::ImpersonationMetrics;
use apimachinery::{ApiError, GroupResource, names};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

const AUTHENTICATION: &str = "authentication.k8s.io";
/// The node that a service account's token is bound to, in its user's extra data.
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// Names of an account's extra data, told in place of the data when the node is its own.
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";
/// From so many groups or extra values on, it is asked first whether all of them are allowed.
const MANY: usize = 4;

/// In the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A service account, as the node that its token is bound to.
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    /// Users that are neither nodes nor service accounts.
    UserInfo,
    /// The verb `impersonate`, which allows all requests.
    Legacy,
}

impl Mode {
    pub const ALL: [Self; 5] = [
        Self::AssociatedNode,
        Self::ArbitraryNode,
        Self::ServiceAccount,
        Self::UserInfo,
        Self::Legacy,
    ];

    fn verb(self) -> &'static str {
        match self {
            Self::AssociatedNode => "impersonate:associated-node",
            Self::ArbitraryNode => "impersonate:arbitrary-node",
            Self::ServiceAccount => "impersonate:serviceaccount",
            Self::UserInfo => "impersonate:user-info",
            Self::Legacy => "impersonate",
        }
    }

    /// Upstream's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "legacy",
        }
    }

    /// What audit events tell.
    pub fn constraint(self) -> Option<&'static str> {
        (self != Self::Legacy).then(|| self.verb())
    }

    /// Whether this way is one for `target` at all.
    pub fn covers(self, by: &User, target: &User) -> bool {
        let only_name = target.uid.is_empty() && target.groups.is_empty() && target.extra.is_empty();
        let (node, account) = (node(&target.name), service_account(&target.name));
        match self {
            Self::AssociatedNode => {
                let bound = by.extra.get(NODE_NAME).map(Vec::as_slice);
                only_name
                    && service_account(&by.name).is_some()
                    && matches!((node, bound), (Some(node), Some([bound])) if node == bound)
            }
            Self::ArbitraryNode => only_name && node.is_some(),
            Self::ServiceAccount => only_name && account.is_some(),
            Self::UserInfo => node.is_none() && account.is_none(),
            Self::Legacy => true,
        }
    }

    /// Asks for the rights that this way takes; gives the user to go on with.
    pub async fn check(
        self,
        authorizer: &Authorizer,
        metrics: &ImpersonationMetrics,
        request: &Attributes<'_>,
        target: &User,
    ) -> Result<User, ApiError> {
        let by: Cow<'_, User> = match self {
            Self::AssociatedNode => Cow::Owned(without_values(&request.user)),
            _ => Cow::Borrowed(&*request.user),
        };
        let asking = Asking {
            authorizer,
            metrics,
            by: &by,
            mode: self,
        };
        if let Some((_, mode)) = self.verb().split_once(':') {
            let mut on = request.clone();
            on.user = Cow::Borrowed(&*by);
            on.verb = Cow::Owned(format!("impersonate-on:{mode}:{}", request.verb));
            asking.allowed(&on).await?;
        }
        let groups = asking.name(target, self == Self::AssociatedNode).await?;
        if !target.uid.is_empty() {
            let question = asking.about(AUTHENTICATION, "uids").named(&target.uid);
            asking.allowed(&question).await?;
        }
        asking.groups(&target.groups).await?;
        asking.extra(&target.extra).await?;
        let mut user = target.clone();
        if let Some(groups) = groups {
            user.groups = groups;
        }
        mark(&mut user);
        Ok(user)
    }
}

/// Adds the group of those who are known, or not.
fn mark(user: &mut User) {
    let group = if user.name == ANONYMOUS {
        ALL_UNAUTHENTICATED
    } else if user.in_group(ALL_UNAUTHENTICATED) {
        return;
    } else {
        ALL_AUTHENTICATED
    };
    if !user.in_group(group) {
        user.groups.push(group.to_owned());
    }
}

struct Asking<'a> {
    authorizer: &'a Authorizer,
    metrics: &'a ImpersonationMetrics,
    by: &'a User,
    mode: Mode,
}

impl Asking<'_> {
    fn about<'b>(&'b self, group: &'b str, resource: &'b str) -> Attributes<'b> {
        let mut question = Attributes::resource(self.by, self.mode.verb(), group, resource);
        question.version = Cow::Borrowed(if group.is_empty() { "" } else { "v1" });
        question
    }

    fn constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    async fn allowed(&self, question: &Attributes<'_>) -> Result<(), ApiError> {
        let begun = Instant::now();
        let verdict = self.authorizer.decide(question).await;
        let allowed = verdict.allowed();
        self.metrics.checked(self.mode.name(), allowed, begun.elapsed());
        if allowed {
            Ok(())
        } else {
            Err(forbidden(question, verdict.reason()))
        }
    }

    /// Where the names of users and groups are.
    fn group(&self) -> &'static str {
        if self.constrained() { AUTHENTICATION } else { "" }
    }

    /// Asks for the name; gives the groups that come with it.
    async fn name(&self, target: &User, own_node: bool) -> Result<Option<Vec<String>>, ApiError> {
        if let Some(node) = node(&target.name).filter(|_| self.constrained()) {
            // Its own node is asked about once for all nodes: the account's token says which one it is.
            let name = if own_node { "*" } else { node };
            self.allowed(&self.about(AUTHENTICATION, "nodes").named(name))
                .await?;
            return Ok(Some(vec![NODES_GROUP.to_owned()]));
        }
        if let Some((namespace, name)) = service_account(&target.name) {
            let question = self
                .about(self.group(), "serviceaccounts")
                .in_namespace(namespace)
                .named(name);
            self.allowed(&question).await?;
            return Ok(target
                .groups
                .is_empty()
                .then(|| service_account_groups(namespace)));
        }
        let question = self.about(self.group(), "users").named(&target.name);
        self.allowed(&question).await?;
        Ok(None)
    }

    async fn groups(&self, groups: &[String]) -> Result<(), ApiError> {
        let question = || self.about(self.group(), "groups");
        if self.constrained() {
            if groups.iter().any(String::is_empty) {
                let why = "impersonating the empty string group is not allowed";
                return Err(forbidden(&question(), why));
            }
            if groups.iter().any(|group| group == MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(forbidden(&question().named(MASTERS), why));
            }
            if groups.len() >= MANY && self.allowed(&question().named("*")).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            self.allowed(&question().named(group)).await?;
        }
        Ok(())
    }

    async fn extra(&self, extra: &BTreeMap<String, Vec<String>>) -> Result<(), ApiError> {
        let question = || self.about(AUTHENTICATION, "userextras");
        if self.constrained() {
            if let Some(why) = extra.iter().find_map(|(key, values)| misshapen(key, values)) {
                return Err(forbidden(&question(), &why));
            }
            let many = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            let all = question().of_subresource("*").named("*");
            if many && self.allowed(&all).await.is_ok() {
                return Ok(());
            }
        }
        for (key, values) in extra {
            for value in values {
                self.allowed(&question().of_subresource(key).named(value)).await?;
            }
        }
        Ok(())
    }
}

/// Why extra data can't be taken on.
fn misshapen(key: &str, values: &[String]) -> Option<String> {
    if key.is_empty() {
        return Some("impersonating the empty string key in extra is not allowed".to_owned());
    }
    let prefixed = key
        .split_once('/')
        .is_some_and(|(domain, path)| names::is_subdomain(domain) && !path.is_empty());
    if !prefixed {
        return Some(format!(
            "impersonating an invalid key in extra is not allowed: extra[key]: Invalid value: {key:?}: must be a domain-prefixed path (such as \"acme.io/foo\")"
        ));
    }
    if values.is_empty() || values.iter().any(String::is_empty) {
        return Some("impersonating the empty string value in extra is not allowed".to_owned());
    }
    None
}

fn node(user_name: &str) -> Option<&str> {
    user_name
        .strip_prefix(NODE_PREFIX)
        .filter(|name| names::is_subdomain(name))
}

/// The account whose node is its own, as it is on every node.
fn without_values(by: &User) -> User {
    let keys = by.extra.keys().cloned().collect();
    User {
        extra: BTreeMap::from([(NODE_KEYS.to_owned(), keys)]),
        ..by.clone()
    }
}

fn forbidden(question: &Attributes<'_>, reason: &str) -> ApiError {
    let resource = GroupResource::new(&*question.group, &*question.combined_resource());
    ApiError::forbidden(&resource, &question.name, &question.forbidden_message(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, groups: &[&str], bound_to: Option<&str>) -> User {
        User {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            extra: bound_to
                .map(|node| (NODE_NAME.to_owned(), vec![node.to_owned()]))
                .into_iter()
                .collect(),
            ..User::default()
        }
    }

    #[test]
    fn whom_one_wants_to_be_decides_what_is_asked() {
        use Mode::{ArbitraryNode, AssociatedNode, Legacy, ServiceAccount, UserInfo};
        let agent = user("system:serviceaccount:a:agent", &[], Some("n1"));
        let person = user("eve", &[], Some("n1"));
        for (by, target, modes) in [
            (
                &agent,
                user("system:node:n1", &[], None),
                &[AssociatedNode, ArbitraryNode, Legacy][..],
            ),
            (
                &agent,
                user("system:node:n2", &[], None),
                &[ArbitraryNode, Legacy],
            ),
            (
                &person,
                user("system:node:n1", &[], None),
                &[ArbitraryNode, Legacy],
            ),
            (&person, user("system:node:n1", &["x"], None), &[Legacy]),
            (&person, user("system:node:No", &[], None), &[UserInfo, Legacy]),
            (
                &person,
                user("system:serviceaccount:a:b", &[], None),
                &[ServiceAccount, Legacy],
            ),
            (
                &person,
                user("system:serviceaccount:a:b", &["x"], None),
                &[Legacy],
            ),
            (&person, user("bob", &["x"], None), &[UserInfo, Legacy]),
        ] {
            let covering: Vec<Mode> = Mode::ALL
                .into_iter()
                .filter(|mode| mode.covers(by, &target))
                .collect();
            assert_eq!(covering, modes, "{} as {target:?}", by.name);
        }
    }

    #[test]
    fn extra_data_of_a_wrong_shape_is_not_taken_on() {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        for (key, given, good) in [
            ("example.com/team", values(&["a"]), true),
            ("team", values(&["a"]), false),
            ("", values(&["a"]), false),
            ("example.com/", values(&["a"]), false),
            ("example.com/team", values(&[""]), false),
        ] {
            assert_eq!(misshapen(key, &given).is_none(), good, "{key:?} {given:?}");
        }
    }
}
