//! Metrics of flow control, under upstream's names.

use super::level::Refusal;
use crate::metrics::timed::Durations;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use storage::metrics::AtomicHistogram;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
    priority_level: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    phase: &'static str,
    request_kind: &'static str,
}

const EXECUTING: &str = "executing";
const WAITING: &str = "waiting";

/// What a level does at one moment, as it is sampled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moment {
    /// Seats in use and waited for.
    pub wanted: u32,
    pub seats: u32,
    pub limit: u32,
    pub nominal: u32,
    pub executing: i64,
    pub waiting: u32,
    /// Requests that its queues may hold.
    pub room: u32,
}

fn fraction(part: f64, whole: u32) -> f64 {
    // A level without seats is full when there is anything in it.
    part / f64::from(whole.max(1))
}

const DEMANDS: [f64; 12] = [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.7, 2.0, 2.8, 4.0, 6.0];
const SEAT_USES: [f64; 13] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0];
const REQUEST_USES: [f64; 10] = [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 1.0];
const KIND_USES: [f64; 15] = [
    0.0, 0.001, 0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0,
];
const LENGTHS: [f64; 8] = [0.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];
const WAITS: [f64; 12] = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0];
const RUNS: [f64; 13] = [
    0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
];
const WATCHES: [f64; 6] = [0.0, 1.0, 10.0, 100.0, 1000.0, 10_000.0];
const SEATS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];

type Histograms<L> = Family<L, AtomicHistogram, fn() -> AtomicHistogram>;

/// Families of all levels and schemas.
#[derive(Clone, Debug)]
pub struct FlowControlMetrics {
    dispatched: Family<FlowLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    waits: Histograms<WaitLabels>,
    runs: Histograms<RunLabels>,
    seats: Histograms<FlowLabels>,
    watches: Durations<FlowLabels>,
    pub executing: Family<FlowLabels, Gauge>,
    pub executing_seats: Family<FlowLabels, Gauge>,
    pub queued: Family<FlowLabels, Gauge>,
    queued_seats: Family<FlowLabels, Gauge>,
    lengths: Histograms<FlowLabels>,
    demand: Histograms<LevelLabels>,
    seat_use: Histograms<PhaseLabels>,
    request_use: Histograms<PhaseLabels>,
    kind_use: Histograms<KindLabels>,
    pub fair: Gauge<f64, AtomicU64>,
    pub target: Family<LevelLabels, Gauge<f64, AtomicU64>>,
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
            waits: Family::new_with_constructor(|| AtomicHistogram::new(&WAITS)),
            runs: Family::new_with_constructor(|| AtomicHistogram::new(&RUNS)),
            seats: Family::new_with_constructor(|| AtomicHistogram::new(&SEATS)),
            watches: Family::new_with_constructor(|| AtomicHistogram::new(&WATCHES)),
            executing: Family::default(),
            executing_seats: Family::default(),
            queued: Family::default(),
            queued_seats: Family::default(),
            lengths: Family::new_with_constructor(|| AtomicHistogram::new(&LENGTHS)),
            demand: Family::new_with_constructor(|| AtomicHistogram::new(&DEMANDS)),
            seat_use: Family::new_with_constructor(|| AtomicHistogram::new(&SEAT_USES)),
            request_use: Family::new_with_constructor(|| AtomicHistogram::new(&REQUEST_USES)),
            kind_use: Family::new_with_constructor(|| AtomicHistogram::new(&KIND_USES)),
            fair: Gauge::default(),
            target: Family::default(),
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
            "watch_count_samples",
            "Watches of a resource, seen by each write of it",
            self.watches.clone(),
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
            "current_inqueue_seats",
            "Seats that requests in queues will take",
            self.queued_seats.clone(),
        );
        registry.register(
            "request_queue_length_after_enqueue",
            "Length of a queue, seen by a request that has just come into it",
            self.lengths.clone(),
        );
        registry.register(
            "demand_seats",
            "Samples of the seats wanted, by the level's share",
            self.demand.clone(),
        );
        registry.register(
            "priority_level_seat_utilization",
            "Samples of the seats in use, by those that may be",
            self.seat_use.clone(),
        );
        registry.register(
            "priority_level_request_utilization",
            "Samples of the requests that wait and run, by how many may",
            self.request_use.clone(),
        );
        registry.register(
            "read_vs_write_current_requests",
            "Samples of the requests that run, by all seats",
            self.kind_use.clone(),
        );
        registry.register(
            "seat_fair_frac",
            "Part of what it aims at that every level gets",
            self.fair.clone(),
        );
        registry.register("target_seats", "Seats that a level aims at", self.target.clone());
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

    /// Looks at a level, `looks` of them with the same outcome.
    pub fn sampled(&self, priority_level: &str, moment: Moment, looks: u32) {
        let level = LevelLabels {
            priority_level: priority_level.to_owned(),
        };
        let phase = |phase: &'static str| PhaseLabels {
            phase,
            priority_level: priority_level.to_owned(),
        };
        let observe =
            |histogram: AtomicHistogram, seen: f64| (0..looks).for_each(|_| histogram.observe(seen));
        observe(
            self.demand.get_or_create(&level).clone(),
            fraction(f64::from(moment.wanted), moment.nominal),
        );
        observe(
            self.seat_use.get_or_create(&phase(EXECUTING)).clone(),
            fraction(f64::from(moment.seats), moment.limit),
        );
        observe(
            self.request_use.get_or_create(&phase(EXECUTING)).clone(),
            fraction(moment.executing as f64, moment.limit),
        );
        observe(
            self.request_use.get_or_create(&phase(WAITING)).clone(),
            fraction(f64::from(moment.waiting), moment.room),
        );
    }

    /// Looks at the requests that run on the server, of `total` seats.
    pub fn sampled_kinds(&self, (reading, mutating): (usize, usize), total: u32, looks: u32) {
        for (request_kind, running) in [("readOnly", reading), ("mutating", mutating)] {
            let labels = KindLabels {
                phase: EXECUTING,
                request_kind,
            };
            self.kind_use
                .get_or_create(&labels)
                .observe_times(fraction(running as f64, total), looks);
        }
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
            queued_seats: self.queued_seats.get_or_create(&labels).clone(),
            lengths: self.lengths.get_or_create(&labels).clone(),
            seats: self.seats.get_or_create(&labels).clone(),
            watches: self.watches.get_or_create_owned(&labels),
            waited: wait("true"),
            not_let_in: wait("false"),
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
    queued: Gauge,
    queued_seats: Gauge,
    lengths: AtomicHistogram,
    seats: AtomicHistogram,
    watches: AtomicHistogram,
    waited: AtomicHistogram,
    not_let_in: AtomicHistogram,
    ran: AtomicHistogram,
    watched: AtomicHistogram,
}

impl FlowMetrics {
    /// So many watches are told of what comes of a write.
    pub fn told(&self, watches: usize) {
        self.watches.observe(watches as f64);
    }

    /// A request is in a queue of this length, itself included.
    pub fn enqueued(&self, length: usize) {
        self.lengths.observe(length as f64);
    }

    /// Counts a waiting request until dropped.
    pub fn waits(&self, seats: u32) -> Waits<'_> {
        let seats = i64::from(seats);
        self.queued.inc();
        self.queued_seats.inc_by(seats);
        Waits { flow: self, seats }
    }

    /// A request wants so many seats.
    pub fn wants(&self, seats: u32) {
        self.seats.observe(f64::from(seats));
    }

    /// A request has its seats, after waiting for them unless it may not have to.
    pub fn began(&self, seats: u32, waited: Option<Duration>) {
        self.dispatched.inc();
        self.executing.inc();
        self.executing_seats.inc_by(i64::from(seats));
        if let Some(waited) = waited {
            self.waited.observe(waited.as_secs_f64());
        }
    }

    /// A request has given its seats back.
    pub fn ended(&self, seats: u32, watch: bool, ran: Duration) {
        self.executing.dec();
        self.executing_seats.dec_by(i64::from(seats));
        let histogram = if watch { &self.watched } else { &self.ran };
        histogram.observe(ran.as_secs_f64());
    }

    /// Who waited in vain counts as one who was to execute, as with upstream; who may not even wait doesn't.
    pub fn refused(&self, refusal: Refusal, waited: Duration) {
        let waits = match refusal {
            Refusal::TimeOut => &self.waited,
            Refusal::QueueFull | Refusal::ConcurrencyLimit => &self.not_let_in,
        };
        waits.observe(waited.as_secs_f64());
        let labels = RefusedLabels {
            priority_level: self.labels.priority_level.clone(),
            flow_schema: self.labels.flow_schema.clone(),
            reason: refusal.reason(),
        };
        self.refused.get_or_create(&labels).inc();
    }
}

/// A request that waits.
pub struct Waits<'a> {
    flow: &'a FlowMetrics,
    seats: i64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.flow.queued.dec();
        self.flow.queued_seats.dec_by(self.seats);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_names() {
        let mut registry = Registry::default();
        let metrics = FlowControlMetrics::default();
        metrics.register(&mut registry);
        let flow = metrics.flow("l", "s");
        let waiting = flow.waits(3);
        flow.enqueued(11);
        flow.told(7);
        metrics.sampled(
            "l",
            Moment {
                wanted: 6,
                seats: 4,
                limit: 8,
                nominal: 4,
                executing: 2,
                waiting: 1,
                room: 100,
            },
            1,
        );
        metrics.sampled_kinds((2, 1), 10, 1);
        let text = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text
        };
        let flows = "{priority_level=\"l\",flow_schema=\"s\"}";
        for line in [
            format!("apiserver_flowcontrol_current_inqueue_requests{flows} 1"),
            format!("apiserver_flowcontrol_current_inqueue_seats{flows} 3"),
            format!("apiserver_flowcontrol_request_queue_length_after_enqueue_sum{flows} 11.0"),
            format!("apiserver_flowcontrol_watch_count_samples_sum{flows} 7.0"),
            "apiserver_flowcontrol_demand_seats_sum{priority_level=\"l\"} 1.5".to_owned(),
            "apiserver_flowcontrol_priority_level_seat_utilization_sum{phase=\"executing\",priority_level=\"l\"} 0.5".to_owned(),
            "apiserver_flowcontrol_priority_level_request_utilization_sum{phase=\"executing\",priority_level=\"l\"} 0.25".to_owned(),
            "apiserver_flowcontrol_priority_level_request_utilization_sum{phase=\"waiting\",priority_level=\"l\"} 0.01".to_owned(),
            "apiserver_flowcontrol_read_vs_write_current_requests_sum{phase=\"executing\",request_kind=\"readOnly\"} 0.2".to_owned(),
            "apiserver_flowcontrol_seat_fair_frac 0.0".to_owned(),
        ] {
            let text = text();
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        drop(waiting);
        assert!(text().contains(&format!("apiserver_flowcontrol_current_inqueue_seats{flows} 0")));
    }
}
