//! Who may do what: the chain of authorizers.

pub mod abac;
pub mod attributes;
pub mod cache;
pub mod decisions;
pub mod node;
pub mod rbac;
pub mod selection;
pub mod webhook;

use abac::Policies;
use arc_swap::ArcSwap;
use attributes::Attributes;
use decisions::Decisions;
use futures::FutureExt;
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;
use std::time::Duration;
use webhook::{WebhookAuthorizer, WebhookMetrics};

/// How long a question waits at most for the first RBAC index of a server that has just started.
const RIGHTS_KNOWN: Duration = Duration::from_secs(10);

/// What one authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow(String),
    Deny(String),
    NoOpinion(String),
}

impl Decision {
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub fn reason(&self) -> &str {
        let (Self::Allow(reason) | Self::Deny(reason) | Self::NoOpinion(reason)) = self;
        reason
    }
}

/// What came of a question to all authorizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub decision: Decision,
    /// What kept authorizers from deciding.
    pub error: Option<String>,
}

impl Verdict {
    pub fn allowed(&self) -> bool {
        self.decision.allowed()
    }

    pub fn reason(&self) -> &str {
        self.decision.reason()
    }
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        Self {
            decision,
            error: None,
        }
    }
}

/// The mode names of `--authorization-mode` that this server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "AlwaysAllow" => Ok(Self::AlwaysAllow),
            "AlwaysDeny" => Ok(Self::AlwaysDeny),
            "Node" => Ok(Self::Node),
            "RBAC" => Ok(Self::Rbac),
            other => Err(format!(
                "--authorization-mode: {other:?} is not supported; use Node, RBAC, ABAC, Webhook, AlwaysAllow or AlwaysDeny"
            )),
        }
    }
}

/// One member of the chain.
#[derive(Clone)]
pub enum Link {
    Mode(Mode),
    Abac(Arc<Policies>),
    Webhook(Arc<WebhookAuthorizer>),
}

/// What an authorizer is, by upstream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Abac,
    Webhook,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Abac => "ABAC",
            Self::Webhook => "Webhook",
        }
    }
}

impl Link {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Mode(Mode::AlwaysAllow) => Kind::AlwaysAllow,
            Self::Mode(Mode::AlwaysDeny) => Kind::AlwaysDeny,
            Self::Mode(Mode::Node) => Kind::Node,
            Self::Mode(Mode::Rbac) => Kind::Rbac,
            Self::Abac(_) => Kind::Abac,
            Self::Webhook(_) => Kind::Webhook,
        }
    }
}

/// A member of the chain as the configuration names it.
pub struct Named {
    pub name: String,
    pub link: Link,
}

impl From<Link> for Named {
    /// Flags name authorizers by their kinds.
    fn from(link: Link) -> Self {
        Self {
            name: link.kind().name().to_lowercase(),
            link,
        }
    }
}

/// A member of the chain at work.
pub struct Member {
    pub link: Link,
    /// What it has allowed. None but webhooks refuse: where one has no opinion the next is asked.
    allowed: Counter,
}

/// The authorizers in the order in which they are asked.
pub struct Authorizer {
    chain: ArcSwap<Vec<Member>>,
    policies: Option<Arc<Policies>>,
    pub rbac: rbac::Rbac,
    pub node: node::NodeAuthorizer,
    cache: cache::DecisionCache,
    /// What each of them decided.
    pub decisions: Decisions,
    pub webhooks: WebhookMetrics,
}

/// How far a question has come.
enum Step {
    Decided(Decision),
    /// A webhook is next; the question goes on behind it if it has no opinion.
    Ask(Arc<WebhookAuthorizer>, usize),
}

impl Authorizer {
    pub fn new(chain: Vec<Named>, rbac: rbac::Rbac, node: node::NodeAuthorizer) -> Self {
        let policies = chain.iter().find_map(|named| match &named.link {
            Link::Abac(policies) => Some(Arc::clone(policies)),
            _ => None,
        });
        let decisions = Decisions::default();
        Self {
            policies,
            chain: ArcSwap::from_pointee(decisions.members(chain)),
            rbac,
            node,
            cache: cache::DecisionCache::default(),
            decisions,
            webhooks: WebhookMetrics::default(),
        }
    }

    pub fn chain(&self) -> Arc<Vec<Member>> {
        self.chain.load_full()
    }

    /// The policies of ABAC, which stay as they were at the start.
    pub fn policies(&self) -> Option<Arc<Policies>> {
        self.policies.clone()
    }

    /// Uses another chain from now on.
    pub fn replace(&self, chain: Vec<Named>) {
        self.chain.store(Arc::new(self.decisions.members(chain)));
    }

    /// Decides; the first authorizer with an opinion wins, none means no. What would be refused because no role is
    /// known yet waits until they are.
    pub async fn decide(&self, attributes: &Attributes<'_>) -> Verdict {
        let verdict = self.ask(attributes).await;
        if verdict.allowed() || attributes.is_probe() || self.rbac.is_built() || !self.has_rbac() {
            return verdict;
        }
        match tokio::time::timeout(RIGHTS_KNOWN, self.rbac.built()).await {
            Ok(()) => self.ask(attributes).await,
            Err(_) => verdict,
        }
    }

    fn has_rbac(&self) -> bool {
        let chain = self.chain.load();
        chain
            .iter()
            .any(|member| matches!(member.link, Link::Mode(Mode::Rbac)))
    }

    async fn ask(&self, attributes: &Attributes<'_>) -> Verdict {
        // The one bypass: this group is what repairs a cluster whose rules are broken.
        if attributes.user.in_group(crate::identity::MASTERS) {
            return Decision::Allow(String::new()).into();
        }
        let chain = self.chain.load_full();
        let mut reasons = Vec::new();
        let mut errors = Vec::new();
        let mut from = 0;
        loop {
            let (webhook, next) = match self.walk(&chain, from, attributes, &mut reasons) {
                // Who decides doesn't tell what was wrong with those before.
                Step::Decided(decision @ (Decision::Allow(_) | Decision::Deny(_))) => return decision.into(),
                Step::Decided(decision) => {
                    let error = rbac::index::aggregate(errors);
                    return Verdict { decision, error };
                }
                Step::Ask(webhook, next) => (webhook, next),
            };
            let verdict = webhook.authorize(attributes, &self.webhooks).boxed().await;
            if let Decision::NoOpinion(reason) = verdict.decision {
                note(&mut reasons, reason);
                errors.extend(verdict.error);
                from = next;
            } else {
                self.decisions.of_webhook(&webhook, &verdict.decision);
                return verdict;
            }
        }
    }

    /// Whether deciding may need an answer from elsewhere.
    pub fn asks_others(&self) -> bool {
        let chain = self.chain.load();
        chain.iter().any(|member| matches!(member.link, Link::Webhook(_)))
    }

    /// Decides from within code that can't wait. With a webhook in the chain it blocks its thread, so what calls
    /// this then runs on one that serves nobody else.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.in_group(crate::identity::MASTERS) {
            return Decision::Allow(String::new());
        }
        match self.walk(&self.chain.load(), 0, attributes, &mut Vec::new()) {
            Step::Decided(decision) => decision,
            Step::Ask(..) => futures::executor::block_on(self.decide(attributes)).decision,
        }
    }

    fn walk(
        &self,
        chain: &[Member],
        from: usize,
        attributes: &Attributes<'_>,
        reasons: &mut Vec<String>,
    ) -> Step {
        for (position, member) in chain.iter().enumerate().skip(from) {
            let decision = match &member.link {
                Link::Mode(Mode::AlwaysAllow) => Decision::Allow(String::new()),
                Link::Mode(Mode::AlwaysDeny) => Decision::NoOpinion("Everything is forbidden.".to_owned()),
                Link::Mode(Mode::Node) => self.node.authorize(attributes),
                Link::Mode(Mode::Rbac) => {
                    let index = self.rbac.current();
                    self.cache
                        .get_or_decide(index.generation, attributes, || index.authorize(attributes))
                }
                Link::Abac(policies) => policies.authorize(attributes),
                Link::Webhook(webhook) => return Step::Ask(Arc::clone(webhook), position + 1),
            };
            match decision {
                Decision::NoOpinion(reason) => note(reasons, reason),
                decided => {
                    if decided.allowed() {
                        member.allowed.inc();
                    }
                    return Step::Decided(decided);
                }
            }
        }
        Step::Decided(Decision::NoOpinion(reasons.join("\n")))
    }
}

fn note(reasons: &mut Vec<String>, reason: String) {
    if !reason.is_empty() {
        reasons.push(reason);
    }
}
