//! EventRateLimit: nobody floods the server with events.
use crate::admission::Attributes;
use crate::nulls;
use ahash::AHashMap;
use anyhow::bail;
use apimachinery::{ApiError, Reason};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use std::time::Instant;

/// Sources that are remembered when nothing is said.
const REMEMBERED: usize = 4096;

/// What the plugin is told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    #[serde(default)]
    limits: Vec<Limit>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Limit {
    r#type: Kind,
    /// Events per second.
    #[serde(default)]
    qps: i32,
    #[serde(default)]
    burst: i32,
    #[serde(default)]
    cache_size: i32,
}

/// Whose events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

/// The limits and how much of each is used.
#[derive(Debug, Default)]
pub struct EventRates(Vec<Enforced>);

#[derive(Debug)]
struct Enforced {
    limit: Limit,
    remembered: usize,
    used: Mutex<AHashMap<String, Bucket>>,
}

/// What is left of a burst.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl EventRates {
    pub fn read(told: Value) -> anyhow::Result<Self> {
        let told: Told = nulls::from_json(told)?;
        if told.limits.is_empty() {
            bail!("limits: Invalid value: must not be empty");
        }
        for (index, limit) in told.limits.iter().enumerate() {
            for (field, value) in [("burst", limit.burst), ("qps", limit.qps)] {
                if value <= 0 {
                    bail!("limits[{index}].{field}: Invalid value: {value}: must be positive");
                }
            }
            if limit.kind_is_cached() && limit.cache_size < 0 {
                bail!(
                    "limits[{index}].cacheSize: Invalid value: {}: must not be negative",
                    limit.cache_size
                );
            }
        }
        Ok(Self(told.limits.into_iter().map(Enforced::new).collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts an event with every limit; the last one that is reached is told.
    pub fn check(&self, attributes: &Attributes<'_>, event: Option<&Value>) -> Result<(), ApiError> {
        if attributes.dry_run {
            return Ok(());
        }
        let now = Instant::now();
        let mut outcome = Ok(());
        for enforced in &self.0 {
            let key = match enforced.limit.r#type {
                Kind::Server => String::new(),
                Kind::Namespace => attributes.namespace.clone(),
                Kind::User => attributes.user.name.clone(),
                Kind::SourceAndObject => event.map(source_and_object).unwrap_or_default(),
            };
            if !enforced.take(&key, now) {
                let why = format!("limit reached on type {:?} for key {key}", enforced.limit.r#type);
                outcome = Err(ApiError::new(429, Reason::TooManyRequests, why, None));
            }
        }
        outcome
    }
}

impl Limit {
    fn kind_is_cached(&self) -> bool {
        self.r#type != Kind::Server
    }
}

impl Enforced {
    fn new(limit: Limit) -> Self {
        let size = usize::try_from(limit.cache_size).unwrap_or(0);
        Self {
            remembered: if size == 0 { REMEMBERED } else { size },
            limit,
            used: Mutex::default(),
        }
    }

    /// Whether there is room for one more.
    fn take(&self, key: &str, now: Instant) -> bool {
        let (rate, burst) = (f64::from(self.limit.qps), f64::from(self.limit.burst));
        let mut used = self.used.lock();
        if used.len() >= self.remembered && !used.contains_key(key) {
            forget(&mut used);
        }
        let bucket = used
            .entry(key.to_owned())
            .or_insert(Bucket { left: burst, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + since * rate).min(burst);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }
}

/// Makes room for others: the half that was heard of longest ago goes, so that the look at all is seldom.
fn forget(used: &mut AHashMap<String, Bucket>) {
    let mut times: Vec<Instant> = used.values().map(|bucket| bucket.at).collect();
    let middle = times.len() / 2;
    let (_, oldest_kept, _) = times.select_nth_unstable(middle);
    let oldest_kept = *oldest_kept;
    used.retain(|_, bucket| bucket.at > oldest_kept);
}

fn source_and_object(event: &Value) -> String {
    let parts = [
        ("source", "component"),
        ("source", "host"),
        ("involvedObject", "kind"),
        ("involvedObject", "namespace"),
        ("involvedObject", "name"),
        ("involvedObject", "uid"),
        ("involvedObject", "apiVersion"),
    ];
    parts
        .iter()
        .map(|(holder, field)| event[*holder][*field].as_str().unwrap_or(""))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    fn limit(remembered: usize) -> Enforced {
        Enforced {
            limit: Limit {
                r#type: Kind::Namespace,
                qps: 2,
                burst: 3,
                cache_size: 0,
            },
            remembered,
            used: Mutex::default(),
        }
    }

    #[test]
    fn a_burst_and_then_a_rate() {
        let (limit, start) = (limit(10), Instant::now());
        let taken = |key: &str, millis: u64| limit.take(key, start + Duration::from_millis(millis));
        assert_eq!([0; 4].map(|at| taken("a", at)), [true, true, true, false]);
        assert!(taken("b", 0), "another has its own");
        assert_eq!(
            [400, 500, 600, 1000].map(|at| taken("a", at)),
            [false, true, false, true]
        );
        assert_eq!(
            [9000; 4].map(|at| taken("a", at)),
            [true, true, true, false],
            "no more than a burst"
        );
    }

    #[test]
    fn no_more_is_remembered_than_asked_for() {
        let (limit, start) = (limit(10), Instant::now());
        for number in 0..1000u64 {
            limit.take(&number.to_string(), start + Duration::from_millis(number));
            assert!(limit.used.lock().len() <= 10);
        }
        assert!(limit.used.lock().contains_key("999"));
        let same = Instant::now();
        for number in 0..100u64 {
            limit.take(&number.to_string(), same);
            assert!(limit.used.lock().len() <= 10);
        }
    }

    #[test]
    fn what_is_told_is_checked() {
        for (limits, want) in [
            (json!([]), "limits: Invalid value: must not be empty"),
            (
                json!([{"type": "Server", "qps": 1}]),
                "limits[0].burst: Invalid value: 0: must be positive",
            ),
            (
                json!([{"type": "User", "qps": 1, "burst": 2, "cacheSize": -1}]),
                "limits[0].cacheSize: Invalid value: -1: must not be negative",
            ),
            (
                json!([{"type": "Server", "qps": 1, "burst": 2, "cacheSize": -1}]),
                "",
            ),
        ] {
            let found = EventRates::read(json!({"limits": limits}));
            assert_eq!(
                found.err().map(|error| error.to_string()).unwrap_or_default(),
                want
            );
        }
        let unknown = EventRates::read(json!({"limits": [{"type": "Pod", "qps": 1, "burst": 1}]}));
        assert!(unknown.unwrap_err().to_string().contains("unknown variant `Pod`"));
    }
}
