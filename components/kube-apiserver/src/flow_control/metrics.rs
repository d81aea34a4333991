//! Metrics of flow control, under upstream's names.

use super::level::Refusal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlowLabels {
    pub priority_level: String,
    pub flow_schema: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    priority_level: String,
    flow_schema: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    priority_level: String,
    flow_schema: String,
    execute: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    priority_level: String,
    flow_schema: String,
    r#type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LevelLabels {
    pub priority_level: String,
}

const WAITS: [f64; 12] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0];
const RUNS: [f64; 13] = [
    0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
];
const SEATS: [f64; 4] = [1.0, 2.0, 4.0, 10.0];

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Families of all levels and schemas.
#[derive(Clone, Debug)]
pub struct FlowControlMetrics {
    dispatched: Family<FlowLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    waits: Histograms<WaitLabels>,
    runs: Histograms<RunLabels>,
    seats: Histograms<FlowLabels>,
    pub executing: Family<FlowLabels, Gauge>,
    pub executing_seats: Family<FlowLabels, Gauge>,
    pub queued: Family<FlowLabels, Gauge>,
    pub limit: Family<LevelLabels, Gauge>,
    pub nominal: Family<LevelLabels, Gauge>,
    pub lower: Family<LevelLabels, Gauge>,
    pub upper: Family<LevelLabels, Gauge>,
    pub average: Family<LevelLabels, Gauge<f64, AtomicU64>>,
    pub deviation: Family<LevelLabels, Gauge<f64, AtomicU64>>,
    pub high: Family<LevelLabels, Gauge<f64, AtomicU64>>,
    pub smooth: Family<LevelLabels, Gauge<f64, AtomicU64>>,
}

impl Default for FlowControlMetrics {
    fn default() -> Self {
        Self {
            dispatched: Family::default(),
            refused: Family::default(),
            waits: Family::new_with_constructor(|| Histogram::new(WAITS)),
            runs: Family::new_with_constructor(|| Histogram::new(RUNS)),
            seats: Family::new_with_constructor(|| Histogram::new(SEATS)),
            executing: Family::default(),
            executing_seats: Family::default(),
            queued: Family::default(),
            limit: Family::default(),
            nominal: Family::default(),
            lower: Family::default(),
            upper: Family::default(),
            average: Family::default(),
            deviation: Family::default(),
            high: Family::default(),
            smooth: Family::default(),
        }
    }
}

impl FlowControlMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("apiserver_flowcontrol");
        registry.register(
            "dispatched_requests",
            "Requests that began to execute",
            self.dispatched.clone(),
        );
        registry.register(
            "rejected_requests",
            "Requests that got no seat",
            self.refused.clone(),
        );
        registry.register(
            "request_wait_duration_seconds",
            "Time in queues",
            self.waits.clone(),
        );
        registry.register("request_execution_seconds", "Time on seats", self.runs.clone());
        registry.register(
            "work_estimated_seats",
            "Seats by the estimate",
            self.seats.clone(),
        );
        registry.register(
            "current_executing_requests",
            "Requests on seats",
            self.executing.clone(),
        );
        registry.register(
            "current_executing_seats",
            "Seats in use",
            self.executing_seats.clone(),
        );
        registry.register(
            "current_inqueue_requests",
            "Requests in queues",
            self.queued.clone(),
        );
        registry.register(
            "current_limit_seats",
            "Seats that a level may use now",
            self.limit.clone(),
        );
        registry.register(
            "nominal_limit_seats",
            "A level's share of all seats",
            self.nominal.clone(),
        );
        registry.register(
            "lower_limit_seats",
            "Seats left when all that may be is lent",
            self.lower.clone(),
        );
        registry.register(
            "upper_limit_seats",
            "Seats when all that may be is borrowed",
            self.upper.clone(),
        );
        registry.register(
            "demand_seats_average",
            "Mean of the seats wanted",
            self.average.clone(),
        );
        registry.register(
            "demand_seats_stdev",
            "Deviation of the seats wanted",
            self.deviation.clone(),
        );
        registry.register(
            "demand_seats_high_watermark",
            "Most seats wanted",
            self.high.clone(),
        );
        registry.register(
            "demand_seats_smoothed",
            "Smoothed seats wanted",
            self.smooth.clone(),
        );
    }

    /// Handles of one schema's series, looked up once.
    pub fn flow(&self, priority_level: &str, flow_schema: &str) -> FlowMetrics {
        let labels = FlowLabels {
            priority_level: priority_level.to_owned(),
            flow_schema: flow_schema.to_owned(),
        };
        let wait = |execute: &'static str| {
            let labels = WaitLabels {
                priority_level: priority_level.to_owned(),
                flow_schema: flow_schema.to_owned(),
                execute,
            };
            self.waits.get_or_create(&labels).clone()
        };
        let run = |kind: &'static str| {
            let labels = RunLabels {
                priority_level: priority_level.to_owned(),
                flow_schema: flow_schema.to_owned(),
                r#type: kind,
            };
            self.runs.get_or_create(&labels).clone()
        };
        FlowMetrics {
            dispatched: self.dispatched.get_or_create(&labels).clone(),
            refused: self.refused.clone(),
            executing: self.executing.get_or_create(&labels).clone(),
            executing_seats: self.executing_seats.get_or_create(&labels).clone(),
            queued: self.queued.get_or_create(&labels).clone(),
            seats: self.seats.get_or_create(&labels).clone(),
            waited: wait("true"),
            gave_up: wait("false"),
            ran: run("regular"),
            watched: run("watch"),
            labels,
        }
    }
}

/// One schema's series.
#[derive(Debug)]
pub struct FlowMetrics {
    labels: FlowLabels,
    pub dispatched: Counter,
    refused: Family<RefusedLabels, Counter>,
    pub executing: Gauge,
    pub executing_seats: Gauge,
    pub queued: Gauge,
    seats: Histogram,
    waited: Histogram,
    gave_up: Histogram,
    ran: Histogram,
    watched: Histogram,
}

impl FlowMetrics {
    /// A request has its seats, after waiting for them.
    pub fn began(&self, seats: u32, waited: Duration) {
        self.dispatched.inc();
        self.executing.inc();
        self.executing_seats.inc_by(i64::from(seats));
        self.seats.observe(f64::from(seats));
        self.waited.observe(waited.as_secs_f64());
    }

    /// A request has given its seats back.
    pub fn ended(&self, seats: u32, watch: bool, ran: Duration) {
        self.executing.dec();
        self.executing_seats.dec_by(i64::from(seats));
        let histogram = if watch { &self.watched } else { &self.ran };
        histogram.observe(ran.as_secs_f64());
    }

    pub fn refused(&self, refusal: Refusal, waited: Duration) {
        self.gave_up.observe(waited.as_secs_f64());
        let labels = RefusedLabels {
            priority_level: self.labels.priority_level.clone(),
            flow_schema: self.labels.flow_schema.clone(),
            reason: refusal.reason(),
        };
        self.refused.get_or_create(&labels).inc();
    }
}
