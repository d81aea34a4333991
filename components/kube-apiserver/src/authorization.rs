//! Who may do what: the chain of authorizers.

pub mod attributes;
pub mod cache;
pub mod node;
pub mod rbac;

use attributes::Attributes;

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
                "--authorization-mode: {other:?} is not supported; use Node, RBAC, AlwaysAllow or AlwaysDeny"
            )),
        }
    }
}

/// The authorizers in the order in which they are asked.
pub struct Authorizer {
    pub modes: Vec<Mode>,
    pub rbac: rbac::Rbac,
    pub node: node::NodeAuthorizer,
    cache: cache::DecisionCache,
}

impl Authorizer {
    pub fn new(modes: Vec<Mode>, rbac: rbac::Rbac, node: node::NodeAuthorizer) -> Self {
        Self {
            modes,
            rbac,
            node,
            cache: cache::DecisionCache::default(),
        }
    }

    /// Decides; the first authorizer with an opinion wins, none means no.
    pub fn authorize(&self, attributes: &Attributes<'_>) -> Decision {
        // The one bypass: this group is what repairs a cluster whose rules are broken.
        if attributes.user.in_group(crate::identity::MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons: Vec<String> = Vec::new();
        for mode in &self.modes {
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
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join(", "))
    }
}
