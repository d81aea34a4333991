//! From a request to its flow: schemas in order of precedence, narrowed down once per user.

use super::level::Level;
use super::metrics::FlowMetrics;
use super::objects::{FlowSchema, Rule};
use super::rules;
use crate::identity::User;
use crate::request_info::RequestInfo;
use ahash::AHashMap;
use http::HeaderValue;
use parking_lot::RwLock;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Users whose schemas are kept; more than this and all are forgotten.
const USERS: usize = 4096;

/// The schema that takes what no other takes.
const CATCH_ALL: &str = "catch-all";

/// What tells the flows of a schema apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distinguisher {
    None,
    User,
    Namespace,
}

/// A schema with the level that it leads to.
#[derive(Debug)]
pub struct Flow {
    pub name: String,
    pub level: Arc<Level>,
    pub distinguisher: Distinguisher,
    /// `X-Kubernetes-PF-FlowSchema-UID` and `X-Kubernetes-PF-PriorityLevel-UID`.
    pub headers: [HeaderValue; 2],
    pub metrics: FlowMetrics,
}

impl Flow {
    /// What the request's flow is called within its schema.
    pub fn distinguish<'a>(&self, user: &'a User, info: &'a RequestInfo) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => &user.name,
            Distinguisher::Namespace => &info.namespace,
        }
    }

    /// A number for the flow that decides its hand of queues.
    pub fn hash(&self, user: &User, info: &RequestInfo) -> u64 {
        // Fixed seeds: all servers deal a flow the same hand.
        let mut hasher = ahash::RandomState::with_seeds(1, 2, 3, 4).build_hasher();
        hasher.write(self.name.as_bytes());
        hasher.write_u8(0);
        hasher.write(self.distinguish(user, info).as_bytes());
        hasher.finish()
    }
}

/// Rules of one schema that are about one user.
#[derive(Debug)]
struct Candidate {
    schema: usize,
    rules: Vec<usize>,
}

/// All schemas, in the order in which they are asked.
#[derive(Debug)]
pub struct Classifier {
    schemas: Vec<(Vec<Rule>, Arc<Flow>)>,
    /// For users of neither of the two groups that everybody else is in.
    fallback: Option<Arc<Flow>>,
    /// By address; the user is kept, so that the address isn't used again.
    by_user: RwLock<AHashMap<usize, (Arc<User>, Arc<[Candidate]>)>>,
}

/// Schemas by precedence, then name.
pub fn in_order(schemas: &mut [FlowSchema]) {
    schemas.sort_by(|a, b| {
        let key = |schema: &FlowSchema| (schema.spec.matching_precedence, schema.metadata.name.clone());
        key(a).cmp(&key(b))
    });
}

impl Classifier {
    /// `schemas` in order, each with its flow.
    pub fn new(schemas: Vec<(Vec<Rule>, Arc<Flow>)>) -> Self {
        let catch_all = schemas.iter().find(|(_, flow)| flow.name == CATCH_ALL);
        Self {
            fallback: catch_all.map(|(_, flow)| Arc::clone(flow)),
            schemas,
            by_user: RwLock::default(),
        }
    }

    pub fn flows(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.schemas.iter().map(|(_, flow)| flow)
    }

    /// The flow of a request: that of catch-all where no schema is about it. `None` only without that one.
    pub fn classify(&self, user: &Arc<User>, info: &RequestInfo) -> Option<&Arc<Flow>> {
        let address = Arc::as_ptr(user) as usize;
        let known = self
            .by_user
            .read()
            .get(&address)
            .map(|(_, candidates)| Arc::clone(candidates));
        let candidates = known.unwrap_or_else(|| self.remember(address, user));
        let fits = |candidate: &&Candidate| {
            let rules = &self.schemas[candidate.schema].0;
            candidate
                .rules
                .iter()
                .any(|rule| rules::covers(&rules[*rule], info))
        };
        candidates
            .iter()
            .find(fits)
            .map(|candidate| &self.schemas[candidate.schema].1)
            .or(self.fallback.as_ref())
    }

    fn remember(&self, address: usize, user: &Arc<User>) -> Arc<[Candidate]> {
        let candidates: Arc<[Candidate]> = self
            .schemas
            .iter()
            .enumerate()
            .filter_map(|(schema, (rules, _))| {
                let about: Vec<usize> = (0..rules.len())
                    .filter(|rule| rules::concerns(&rules[*rule], user))
                    .collect();
                (!about.is_empty()).then_some(Candidate { schema, rules: about })
            })
            .collect();
        let mut by_user = self.by_user.write();
        if by_user.len() >= USERS {
            by_user.clear();
        }
        by_user.insert(address, (Arc::clone(user), Arc::clone(&candidates)));
        candidates
    }
}
