//! Keeps flow control as the stored objects say, the objects' conditions right, and the seats where they are wanted.

use super::FlowControl;
use super::configuration::{self, Configuration};
use super::demand::Demand;
use super::objects::{FlowSchema, PriorityLevel};
use super::status;
use crate::beat;
use crate::nulls;
use crate::server::Server;
use crate::stores;
use apimachinery::managed_fields::{Compact, OnlyVersion, Writer};
use apimachinery::{meta, time};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::{Change, ObjectRef, Preconditions, StorageError, Store};
use tokio::time::Instant;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
const MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";
/// Demand is looked at this often, and seats move after this many looks: upstream's ten seconds.
const SAMPLE: Duration = Duration::from_millis(250);
const SAMPLES: u32 = 40;
/// The objects of a new cluster are looked after this often.
const KEEP: Duration = Duration::from_secs(60);
/// The first of changes that come together is taken in at once, and the others together.
const SETTLE: Duration = Duration::from_millis(5);

/// Follows the objects. Never ends.
pub async fn run(server: Arc<Server>) -> anyhow::Result<()> {
    let Some(control) = server.flow_control.clone() else {
        return std::future::pending().await;
    };
    tokio::try_join!(follow(&server, &control), share(&server, &control), keep(&server))?;
    Ok(())
}

fn store(server: &Server, plural: &str) -> anyhow::Result<Store> {
    server
        .stores
        .named(GROUP, plural)
        .ok_or_else(|| anyhow::anyhow!("{plural} is not registered"))
}

async fn follow(server: &Server, control: &FlowControl) -> anyhow::Result<()> {
    let schemas = store(server, "flowschemas")?;
    let levels = store(server, "prioritylevelconfigurations")?;
    for store in [&schemas, &levels] {
        while let Err(error) = store.warm_up().await {
            tracing::warn!(resource = store.resource().name, %error, "flow control can't be loaded yet");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let (mut schema_changes, mut level_changes) = (schemas.changes(), levels.changes());
    loop {
        schema_changes.mark_unchanged();
        level_changes.mark_unchanged();
        control.take_in(&schemas.cached(None), &levels.cached(None))?;
        server.lifecycle.finished(crate::bootstrap::FLOW_CONTROL_STEP);
        for schema in schemas.cached(None) {
            if let Err(error) = write_status(server, &schemas, &levels, &schema).await {
                tracing::warn!(name = schema.name(), %error, "the condition of a FlowSchema can't be written");
            }
        }
        let settled = Instant::now() + SETTLE;
        tokio::select! {
            outcome = schema_changes.changed() => outcome?,
            outcome = level_changes.changed() => outcome?,
        }
        tokio::time::sleep_until(settled).await;
    }
}

fn parse<T: serde::de::DeserializeOwned>(objects: &[ObjectRef]) -> Vec<T> {
    let read = |object: &ObjectRef| match nulls::from_slice(object.json_bytes()) {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            // One bad object must not switch flow control off.
            tracing::error!(key = object.key(), %error, "a flow-control object can't be read");
            None
        }
    };
    objects.iter().filter_map(read).collect()
}

impl FlowControl {
    /// Uses these objects from now on.
    fn take_in(&self, schemas: &[ObjectRef], levels: &[ObjectRef]) -> std::io::Result<()> {
        let mut schemas: Vec<FlowSchema> = parse(schemas);
        let mut levels: Vec<PriorityLevel> = parse(levels);
        configuration::with_mandatory(&mut schemas, &mut levels, configuration::built_in()?);
        let previous = self.current.load_full();
        let next = Configuration::build(self.total, schemas, levels, Some(&previous), &self.metrics);
        self.current.store(Arc::new(next));
        Ok(())
    }
}

/// When this period began, and how many of its looks have been missed.
fn period() -> (Instant, u32) {
    let began = beat::latest(SAMPLE * SAMPLES);
    (began, looks_in(began.elapsed()))
}

fn looks_in(time: Duration) -> u32 {
    time.div_duration_f64(SAMPLE) as u32
}

/// Looks at demand and moves seats. While nobody wants anything it is not looked at either, which would be most of what an
/// idle server does: the next request, or the end of the period, wakes this up.
async fn share(server: &Server, control: &FlowControl) -> anyhow::Result<()> {
    let mut demands: BTreeMap<String, Demand> = BTreeMap::new();
    let (mut began, mut looks) = period();
    loop {
        if control.quiet.is_on() {
            tokio::select! {
                () = control.quiet.ended() => {}
                () = tokio::time::sleep_until(began + SAMPLE * SAMPLES) => {}
            }
            let passed = looks_in(began.elapsed()).min(SAMPLES - 1);
            let missed = passed.saturating_sub(looks);
            control
                .current
                .load()
                .rest(&mut demands, &control.metrics, missed);
            control.metrics.sampled_kinds((0, 0), control.total, missed);
            looks += missed;
        }
        looks += 1;
        tokio::time::sleep_until(began + SAMPLE * looks).await;
        // Before the look, so that no request comes between them unseen.
        control.quiet.begin();
        let current = control.current.load();
        if !current.sample(&mut demands, &control.metrics) {
            control.quiet.end();
        }
        control
            .metrics
            .sampled_kinds(server.inflight.taken(), control.total, 1);
        if looks < SAMPLES {
            continue;
        }
        // What was missed on a stopped machine is not made up for.
        (began, looks) = period();
        let known: BTreeSet<&String> = current.levels.keys().collect();
        demands.retain(|name, _| known.contains(name));
        current.reallocate(&mut demands, &control.metrics);
        for (name, demand) in &demands {
            let labels = super::metrics::LevelLabels {
                priority_level: name.clone(),
            };
            let metrics = &control.metrics;
            metrics.average.get_or_create(&labels).set(demand.average);
            metrics.deviation.get_or_create(&labels).set(demand.deviation);
            metrics.smooth.get_or_create(&labels).set(demand.smooth);
        }
    }
}

async fn keep(server: &Server) -> anyhow::Result<()> {
    let mut changes = [
        store(server, "flowschemas")?.changes(),
        store(server, "prioritylevelconfigurations")?.changes(),
    ];
    loop {
        for change in &mut changes {
            change.mark_unchanged();
        }
        if !server.lifecycle.is_pending(crate::bootstrap::STEPS[0])
            && let Err(error) = crate::bootstrap::objects::keep_flow_control(server).await
        {
            tracing::warn!(%error, "the flow-control objects of every cluster can't be kept right");
        }
        let settled = Instant::now() + SETTLE;
        let [schemas, levels] = &mut changes;
        tokio::select! {
            outcome = schemas.changed() => outcome?,
            outcome = levels.changed() => outcome?,
            () = beat::next(KEEP) => {}
        }
        tokio::time::sleep_until(settled).await;
    }
}

async fn write_status(
    server: &Server,
    schemas: &Store,
    levels: &Store,
    schema: &ObjectRef,
) -> Result<(), StorageError> {
    let value = stores::parse(schema)?;
    let level = value["spec"]["priorityLevelConfiguration"]["name"]
        .as_str()
        .unwrap_or("");
    let exists = levels.cached_object("", level).is_some();
    let now = time::format_time(jiff::Timestamp::now());
    if status::needed(&value, exists, &now).is_none() {
        return Ok(());
    }
    let registry = server.registry.load_full();
    let Some(row) = registry.resource(GROUP, "v1", "flowschemas") else {
        return Ok(());
    };
    let (row, now) = (&**row, now.as_str());
    let decide = |current: Option<ObjectRef>| async move {
        let Some(current) = current else {
            return Ok::<Change, StorageError>(Change::Nothing);
        };
        let current = stores::parse(&current)?;
        let Some(condition) = status::needed(&current, exists, now) else {
            return Ok(Change::Nothing);
        };
        let object = applied(row, &current, condition, now);
        Ok(Change::Write {
            json: object.to_string().into_bytes().into(),
            ttl: None,
        })
    };
    schemas
        .update::<_, _, StorageError>("", schema.name(), &Preconditions::default(), decide)
        .await?;
    Ok(())
}

/// The schema with the condition applied, under the name of upstream's manager.
fn applied(row: &api::Resource, current: &Value, condition: Value, now: &str) -> Value {
    let configuration = json!({
        "apiVersion": row.gvk.api_version(),
        "kind": row.gvk.kind,
        "metadata": { "name": meta::name(current) },
        "status": { "conditions": [condition] },
    });
    let writer = Writer {
        manager: MANAGER,
        subresource: "status",
        now,
    };
    let live = Compact::of(current.clone());
    let mut object = match api::managed::apply(row, Some(&live), &configuration, writer, true, &OnlyVersion) {
        Ok((object, _)) => object.into_whole(),
        Err(error) => {
            tracing::warn!(
                name = meta::name(current),
                error = error.message(),
                "the condition is written unowned"
            );
            let mut object = current.clone();
            object["status"] = configuration["status"].clone();
            object
        }
    };
    meta::remove(&mut object, "resourceVersion");
    object
}
