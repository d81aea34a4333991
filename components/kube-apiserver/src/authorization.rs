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
use std::sync::Arc;
use std::time::Duration;
use webhook::WebhookAuthorizer;

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

/// The authorizers in the order in which they are asked.
pub struct Authorizer {
    chain: ArcSwap<Vec<Link>>,
    policies: Option<Arc<Policies>>,
    pub rbac: rbac::Rbac,
    pub node: node::NodeAuthorizer,
    cache: cache::DecisionCache,
    /// What each of them decided.
    pub decisions: Decisions,
}

/// How far a question has come.
enum Step {
    Decided(Decision),
    /// A webhook is next; the question goes on behind it if it has no opinion.
    Ask(Arc<WebhookAuthorizer>, usize),
}

impl Authorizer {
    pub fn new(chain: Vec<Link>, rbac: rbac::Rbac, node: node::NodeAuthorizer) -> Self {
        let policies = chain.iter().find_map(|link| match link {
            Link::Abac(policies) => Some(Arc::clone(policies)),
            _ => None,
        });
        Self {
            policies,
            chain: ArcSwap::from_pointee(chain),
            rbac,
            node,
            cache: cache::DecisionCache::default(),
            decisions: Decisions::default(),
        }
    }

    pub fn chain(&self) -> Arc<Vec<Link>> {
        self.chain.load_full()
    }

    /// The policies of ABAC, which stay as they were at the start.
    pub fn policies(&self) -> Option<Arc<Policies>> {
        self.policies.clone()
    }

    /// Uses another chain from now on.
    pub fn replace(&self, chain: Vec<Link>) {
        self.chain.store(Arc::new(chain));
    }

    /// Decides; the first authorizer with an opinion wins, none means no. What would be refused because no role is
    /// known yet waits until they are.
    pub async fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let decision = self.ask(attributes).await;
        if decision.allowed() || attributes.is_probe() || self.rbac.is_built() || !self.has_rbac() {
            return decision;
        }
        match tokio::time::timeout(RIGHTS_KNOWN, self.rbac.built()).await {
            Ok(()) => self.ask(attributes).await,
            Err(_) => decision,
        }
    }

    fn has_rbac(&self) -> bool {
        let chain = self.chain.load();
        chain.iter().any(|link| matches!(link, Link::Mode(Mode::Rbac)))
    }

    async fn ask(&self, attributes: &Attributes<'_>) -> Decision {
        // The one bypass: this group is what repairs a cluster whose rules are broken.
        if attributes.user.in_group(crate::identity::MASTERS) {
            return Decision::Allow(String::new());
        }
        let chain = self.chain.load_full();
        let mut reasons = Vec::new();
        let mut from = 0;
        loop {
            match self.walk(&chain, from, attributes, &mut reasons) {
                Step::Decided(decision) => return decision,
                Step::Ask(webhook, next) => match webhook.authorize(attributes).boxed().await {
                    Decision::NoOpinion(reason) => {
                        note(&mut reasons, reason);
                        from = next;
                    }
                    decided => {
                        self.decisions.of_webhook(&webhook, &decided);
                        return decided;
                    }
                },
            }
        }
    }

    /// Whether deciding may need an answer from elsewhere.
    pub fn asks_others(&self) -> bool {
        let chain = self.chain.load();
        chain.iter().any(|link| matches!(link, Link::Webhook(_)))
    }

    /// Decides from within code that can't wait. With a webhook in the chain it blocks its thread, so what calls
    /// this then runs on one that serves nobody else.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.in_group(crate::identity::MASTERS) {
            return Decision::Allow(String::new());
        }
        match self.walk(&self.chain.load(), 0, attributes, &mut Vec::new()) {
            Step::Decided(decision) => decision,
            Step::Ask(..) => futures::executor::block_on(self.decide(attributes)),
        }
    }

    fn walk(
        &self,
        chain: &[Link],
        from: usize,
        attributes: &Attributes<'_>,
        reasons: &mut Vec<String>,
    ) -> Step {
        for (position, link) in chain.iter().enumerate().skip(from) {
            let mode = match link {
                Link::Mode(mode) => mode,
                Link::Abac(policies) => match policies.authorize(attributes) {
                    Decision::NoOpinion(reason) => {
                        note(reasons, reason);
                        continue;
                    }
                    decided => {
                        self.decisions.of_policies(&decided);
                        return Step::Decided(decided);
                    }
                },
                Link::Webhook(webhook) => return Step::Ask(Arc::clone(webhook), position + 1),
            };
            let decision = match mode {
                Mode::AlwaysAllow => Decision::Allow(String::new()),
                Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".to_owned()),
                Mode::Node => self.node.authorize(attributes),
                Mode::Rbac => {
                    let index = self.rbac.current();
                    self.cache
                        .get_or_decide(index.generation, attributes, || index.authorize(attributes))
                }
            };
            match decision {
                Decision::NoOpinion(reason) => note(reasons, reason),
                decided => {
                    self.decisions.of_mode(*mode, &decided);
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
