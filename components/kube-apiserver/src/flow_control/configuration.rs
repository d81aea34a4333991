//! From FlowSchema and PriorityLevelConfiguration objects to what requests are sorted by.

use super::classify::{Classifier, Distinguisher, Flow, in_order};
use super::demand::Demand;
use super::estimate;
use super::level::Level;
use super::limits::{self, Limits, Shares, Want};
use super::metrics::{FlowControlMetrics, LevelLabels, Moment};
use super::objects::{FlowSchema, PriorityLevel, PriorityLevelSpec};
use apimachinery::meta;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Names of the objects that are always there, of both kinds.
pub const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

/// One configuration.
pub struct Configuration {
    pub classifier: Classifier,
    pub levels: BTreeMap<String, Entry>,
}

/// A level and what is configured of it.
pub struct Entry {
    pub level: Arc<Level>,
    pub limits: Limits,
    spec: PriorityLevelSpec,
}

/// The schemas and levels of a new cluster.
pub fn built_in() -> std::io::Result<(Vec<FlowSchema>, Vec<PriorityLevel>)> {
    let (mut schemas, mut levels) = (Vec::new(), Vec::new());
    for object in crate::bootstrap::objects::embedded()? {
        match meta::kind(&object) {
            "FlowSchema" => schemas.push(serde_json::from_value(object)?),
            "PriorityLevelConfiguration" => levels.push(serde_json::from_value(object)?),
            _ => {}
        }
    }
    Ok((schemas, levels))
}

/// The given objects, with the mandatory ones added or put right.
pub fn with_mandatory(
    schemas: &mut Vec<FlowSchema>,
    levels: &mut Vec<PriorityLevel>,
    built_in: (Vec<FlowSchema>, Vec<PriorityLevel>),
) {
    for wanted in built_in.0 {
        if !MANDATORY.contains(&wanted.metadata.name.as_str()) {
            continue;
        }
        match schemas
            .iter_mut()
            .find(|schema| schema.metadata.name == wanted.metadata.name)
        {
            Some(schema) => schema.spec = wanted.spec,
            None => schemas.push(wanted),
        }
    }
    for wanted in built_in.1 {
        let known = levels
            .iter_mut()
            .find(|level| level.metadata.name == wanted.metadata.name);
        match (MANDATORY.contains(&wanted.metadata.name.as_str()), known) {
            (false, _) => {}
            (true, None) => levels.push(wanted),
            // The shares of the exempt level may be set.
            (true, Some(level)) if level.spec.is_exempt() && wanted.spec.is_exempt() => {}
            (true, Some(level)) => level.spec = wanted.spec,
        }
    }
}

impl Configuration {
    /// Makes the configuration; levels that were there before go on with their queues and seats.
    pub fn build(
        total: u32,
        mut schemas: Vec<FlowSchema>,
        levels: Vec<PriorityLevel>,
        previous: Option<&Configuration>,
        metrics: &FlowControlMetrics,
    ) -> Self {
        in_order(&mut schemas);
        let shares: Vec<Shares> = levels
            .iter()
            .map(|level| Shares {
                shares: level.spec.shares(),
                lendable_percent: level.spec.lendable_percent(),
                borrowing_limit_percent: level.spec.borrowing_limit_percent(),
            })
            .collect();
        let limits = limits::nominal(total, &shares);
        let mut entries = BTreeMap::new();
        let mut uids: BTreeMap<String, String> = BTreeMap::new();
        for (object, limits) in levels.into_iter().zip(limits) {
            let name = object.metadata.name;
            let known = previous
                .and_then(|previous| previous.levels.get(&name))
                .filter(|entry| entry.spec.is_exempt() == object.spec.is_exempt());
            let level = match known {
                Some(entry) => {
                    let level = Arc::clone(&entry.level);
                    level.configure(object.spec.queuing());
                    let kept = level.limit().clamp(limits.lower, limits.upper.max(limits.lower));
                    let changed = entry.limits != limits;
                    level.set_limit(if changed { limits.nominal } else { kept });
                    level
                }
                None => {
                    let level = Level::new(&name, &object.spec);
                    level.set_limit(limits.nominal);
                    level
                }
            };
            uids.insert(name.clone(), object.metadata.uid);
            let entry = Entry {
                level,
                limits,
                spec: object.spec,
            };
            entries.insert(name, entry);
        }
        let flows = schemas
            .into_iter()
            .filter_map(|schema| {
                // A schema without its level takes no requests.
                let level = &schema.spec.priority_level_configuration.name;
                let entry = entries.get(level)?;
                let flow = Flow {
                    level: Arc::clone(&entry.level),
                    distinguisher: match schema
                        .spec
                        .distinguisher_method
                        .as_ref()
                        .map(|method| &*method.kind)
                    {
                        Some("ByUser") => Distinguisher::User,
                        Some("ByNamespace") => Distinguisher::Namespace,
                        _ => Distinguisher::None,
                    },
                    headers: [header(&schema.metadata.uid), header(&uids[level])],
                    metrics: metrics.flow(level, &schema.metadata.name),
                    name: schema.metadata.name,
                };
                Some((schema.spec.rules, Arc::new(flow)))
            })
            .collect();
        Self {
            classifier: Classifier::new(flows),
            levels: entries,
        }
    }

    /// Most seats that one request of the level may take.
    pub fn most_seats(&self, level: &str) -> u32 {
        self.levels
            .get(level)
            .map_or(1, |entry| match entry.spec.queuing() {
                Some(queuing) => estimate::most_seats(entry.limits.nominal, queuing.hand_size),
                None => u32::MAX,
            })
    }

    /// Moves seats from levels that don't need them to those that do.
    pub fn reallocate(&self, demands: &mut BTreeMap<String, Demand>, metrics: &FlowControlMetrics) {
        let wants: Vec<Want> = self
            .levels
            .iter()
            .map(|(name, entry)| {
                let demand = demands.entry(name.clone()).or_default();
                demand.close();
                let want = Want {
                    limits: entry.limits,
                    high: demand.high,
                    smooth: demand.smooth,
                    exempt: entry.level.exempt,
                };
                let labels = LevelLabels {
                    priority_level: name.clone(),
                };
                metrics.high.get_or_create(&labels).set(demand.high);
                metrics.target.get_or_create(&labels).set(want.target());
                demand.reset_high();
                want
            })
            .collect();
        let allocation = limits::allocate(&wants);
        metrics.fair.set(allocation.fair);
        for (entry, seats) in self.levels.values().zip(allocation.seats) {
            if entry.level.limit() != seats {
                entry.level.set_limit(seats);
            }
        }
    }

    /// A look at every level: its demand is noted, and what it does is counted. Says whether nobody wanted anything of any.
    pub fn sample(&self, demands: &mut BTreeMap<String, Demand>, metrics: &FlowControlMetrics) -> bool {
        let mut executing: BTreeMap<&str, i64> = BTreeMap::new();
        for flow in self.classifier.flows() {
            *executing.entry(&flow.level.name).or_default() += flow.metrics.executing.get();
        }
        let mut quiet = true;
        for (name, entry) in &self.levels {
            let level = &entry.level;
            let (wanted, most) = level.take_demand();
            quiet &= wanted == 0 && most == 0;
            demand_of(demands, name).sample(wanted, most);
            let moment = Moment {
                wanted,
                seats: level.in_use(),
                limit: level.limit(),
                nominal: entry.limits.nominal,
                executing: executing.get(name.as_str()).copied().unwrap_or(0),
                waiting: level.waiting(),
                room: level.room(),
            };
            metrics.sampled(name, moment, 1);
        }
        quiet
    }

    /// As many looks at moments when nobody wanted anything.
    pub fn rest(&self, demands: &mut BTreeMap<String, Demand>, metrics: &FlowControlMetrics, looks: u32) {
        for name in self.levels.keys() {
            demand_of(demands, name).rest(looks);
            metrics.sampled(name, Moment::default(), looks);
        }
    }

    /// Sets the gauges that are not kept all the time.
    pub fn publish(&self, metrics: &FlowControlMetrics) {
        for (name, entry) in &self.levels {
            let labels = LevelLabels {
                priority_level: name.clone(),
            };
            for (family, seats) in [
                (&metrics.limit, entry.level.limit()),
                (&metrics.nominal, entry.limits.nominal),
                (&metrics.lower, entry.limits.lower),
                (&metrics.upper, entry.limits.upper),
            ] {
                family.get_or_create(&labels).set(i64::from(seats));
            }
        }
    }
}

fn header(uid: &str) -> HeaderValue {
    HeaderValue::from_str(uid).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn demand_of<'a>(demands: &'a mut BTreeMap<String, Demand>, level: &str) -> &'a mut Demand {
    demands.entry(level.to_owned()).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::User;
    use crate::request_info::RequestInfo;
    use serde_json::json;

    fn build(extra: Vec<serde_json::Value>) -> Configuration {
        let (mut schemas, mut levels) = built_in().unwrap();
        schemas.extend(
            extra
                .into_iter()
                .map(|object| serde_json::from_value(object).unwrap()),
        );
        with_mandatory(&mut schemas, &mut levels, built_in().unwrap());
        Configuration::build(600, schemas, levels, None, &FlowControlMetrics::default())
    }

    #[test]
    fn requests_of_a_new_cluster_go_where_they_belong() {
        let user = |name: &str, groups: &[&str]| {
            Arc::new(User {
                name: name.into(),
                groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                ..User::default()
            })
        };
        let resource = |verb: &str, group: &str, namespace: &str, resource: &str| RequestInfo {
            is_resource: true,
            verb: verb.into(),
            group: group.into(),
            namespace: namespace.into(),
            resource: resource.into(),
            ..RequestInfo::default()
        };
        let path = |path: &str| RequestInfo {
            verb: "get".into(),
            path: path.into(),
            ..RequestInfo::default()
        };
        let authenticated = "system:authenticated";
        let account = "system:serviceaccount:a:b";
        let accounts = ["system:serviceaccounts", authenticated];
        let schema = build(vec![]);
        for (who, info, expected) in [
            (
                user("admin", &["system:masters", authenticated]),
                resource("list", "", "", "pods"),
                "exempt",
            ),
            (user("x", &[authenticated]), path("/readyz"), "probes"),
            (user("x", &[authenticated]), path("/metrics"), "global-default"),
            (
                user("n", &["system:nodes", authenticated]),
                resource("update", "", "", "nodes"),
                "system-node-high",
            ),
            (
                user("n", &["system:nodes", authenticated]),
                resource("list", "", "", "pods"),
                "system-nodes",
            ),
            (
                user(account, &accounts),
                resource("list", "", "a", "pods"),
                "service-accounts",
            ),
            (
                user("system:kube-scheduler", &[authenticated]),
                resource("update", "coordination.k8s.io", "kube-system", "leases"),
                "system-leader-election",
            ),
            (
                user("system:kube-scheduler", &[authenticated]),
                resource("list", "", "", "pods"),
                "kube-scheduler",
            ),
            (user("ghost", &[]), resource("list", "", "", "pods"), "catch-all"),
        ] {
            let found = schema
                .classifier
                .classify(&who, &info)
                .map_or("none", |flow| &flow.name);
            assert_eq!(found, expected, "{who:?} {info:?}");
            // A second time from what is known of the user.
            let again = schema
                .classifier
                .classify(&who, &info)
                .map_or("none", |flow| &flow.name);
            assert_eq!(again, expected);
        }
    }

    #[test]
    fn a_schema_without_its_level_takes_nothing_and_lower_precedence_wins() {
        let schema = |name: &str, precedence: i32, level: &str| {
            json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level},
                "rules": [{"subjects": [{"kind": "User", "user": {"name": "u"}}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
        };
        let configuration = build(vec![
            schema("dangling", 3, "gone"),
            schema("second", 50, "system"),
            schema("first", 40, "workload-low"),
        ]);
        let user = Arc::new(User {
            name: "u".into(),
            ..User::default()
        });
        let info = RequestInfo {
            verb: "get".into(),
            path: "/x".into(),
            ..RequestInfo::default()
        };
        let flow = configuration.classifier.classify(&user, &info).unwrap();
        assert_eq!(
            (flow.name.as_str(), flow.level.name.as_str()),
            ("first", "workload-low")
        );
    }
}
