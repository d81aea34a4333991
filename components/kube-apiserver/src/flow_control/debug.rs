//! `/debug/api_priority_and_fairness/…`: the state of levels and queues as upstream prints it.

use super::configuration::Configuration;
use super::queues::GUESS;
use crate::identity::User;
use crate::request_info::RequestInfo;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// `None` if there is no such dump. `details` are those of requests.
pub fn dump(configuration: &Configuration, which: &str, details: bool) -> Option<String> {
    let rows = match which {
        "dump_priority_levels" => levels(configuration),
        "dump_queues" => queues(configuration),
        "dump_requests" => requests(configuration, details),
        _ => return None,
    };
    Some(table(&rows))
}

fn levels(configuration: &Configuration) -> Vec<Vec<String>> {
    let mut rows = vec![words(&[
        "PriorityLevelName",
        "ActiveQueues",
        "IsIdle",
        "IsQuiescing",
        "WaitingRequests",
        "ExecutingRequests",
        "DispatchedRequests",
        "RejectedRequests",
        "TimedoutRequests",
        "CancelledRequests",
    ])];
    for (name, entry) in &configuration.levels {
        let (states, _) = entry.level.queue_states();
        let active = states
            .iter()
            .filter(|state| state.waiting > 0 || state.executing > 0)
            .count();
        let tallied = entry.level.tally.so_far();
        let idle = entry.level.in_use() == 0 && entry.level.waiting() == 0;
        rows.push(vec![
            name.clone(),
            active.to_string(),
            idle.to_string(),
            false.to_string(),
            entry.level.waiting().to_string(),
            tallied.executing.to_string(),
            tallied.dispatched.to_string(),
            tallied.rejected.to_string(),
            tallied.timed_out.to_string(),
            tallied.cancelled.to_string(),
        ]);
    }
    rows
}

fn queues(configuration: &Configuration) -> Vec<Vec<String>> {
    let mut rows = vec![words(&[
        "PriorityLevelName",
        "Index",
        "PendingRequests",
        "ExecutingRequests",
        "SeatsInUse",
        "NextDispatchR",
        "InitialSeatsSum",
        "MaxSeatsSum",
        "TotalWorkSum",
    ])];
    for (name, entry) in &configuration.levels {
        let mut sums: BTreeMap<usize, (u32, f64)> = BTreeMap::new();
        for (queue, _, asked) in entry.level.requests() {
            let (widest, work) = sums.entry(queue).or_default();
            *widest += asked.widest();
            *work += asked.work(GUESS);
        }
        for (index, state) in entry.level.queue_states().0.into_iter().enumerate() {
            let (widest, work) = sums.get(&index).copied().unwrap_or_default();
            rows.push(vec![
                name.clone(),
                index.to_string(),
                state.waiting.to_string(),
                state.executing.to_string(),
                state.seats_in_use.to_string(),
                format!("{:.8}ss", state.next_start),
                state.waiting_seats.to_string(),
                widest.to_string(),
                format!("{work:.8}ss"),
            ]);
        }
    }
    rows
}

/// When a request began that has not begun: Go's zero time.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Stands for the place of a request that isn't in a queue.
const NOWHERE: &str = "-1";

/// Requests that wait, and those that run. Upstream puts each of these into a queue if their level has some; here only those
/// that had to wait have been in one.
fn requests(configuration: &Configuration, details: bool) -> Vec<Vec<String>> {
    let mut head = words(&[
        "PriorityLevelName",
        "FlowSchemaName",
        "QueueIndex",
        "RequestIndexInQueue",
        "FlowDistingsher",
        "ArriveTime",
        "InitialSeats",
        "FinalSeats",
        "AdditionalLatency",
        "StartTime",
    ]);
    if details {
        head.extend(words(&[
            "UserName",
            "Verb",
            "APIPath",
            "Namespace",
            "Name",
            "APIVersion",
            "Resource",
            "SubResource",
        ]));
    }
    let mut rows = vec![head];
    for (name, entry) in &configuration.levels {
        for (queue, place, asked) in entry.level.requests() {
            let (seats, time) = asked.after.unwrap_or_default();
            let mut row = vec![
                name.clone(),
                asked.schema.clone(),
                queue.to_string(),
                place.to_string(),
                asked.distinguisher.clone(),
                asked.arrived.to_string(),
                asked.seats.to_string(),
                seats.to_string(),
                latency(time),
                NEVER.to_owned(),
            ];
            if details {
                row.extend(details_of(&asked.user, &asked.info));
            }
            rows.push(row);
        }
        for running in entry.level.executing.all() {
            let (seats, time) = running.after.unwrap_or_default();
            let mut row = vec![
                name.clone(),
                running.flow.name.clone(),
                running
                    .queue
                    .map_or_else(|| NOWHERE.to_owned(), |queue| queue.to_string()),
                NOWHERE.to_owned(),
                running.flow.distinguish(&running.user, &running.info).to_owned(),
                moment(running.arrived),
                running.seats.to_string(),
                seats.to_string(),
                latency(time),
                moment(running.began),
            ];
            if details {
                row.extend(details_of(&running.user, &running.info));
            }
            rows.push(row);
        }
    }
    rows
}

fn details_of(user: &User, info: &RequestInfo) -> [String; 8] {
    [
        user.name.clone(),
        info.verb.clone(),
        info.path.clone(),
        info.namespace.clone(),
        info.name.clone(),
        info.group_version(),
        info.resource.clone(),
        info.subresource.clone(),
    ]
}

/// When that was by the clock.
fn moment(instant: Instant) -> String {
    (jiff::Timestamp::now() - instant.elapsed()).to_string()
}

/// In Go's form; it is always below a minute.
fn latency(time: Duration) -> String {
    if time.is_zero() {
        "0s".to_owned()
    } else if time < Duration::from_secs(1) {
        format!("{}ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{}s", time.as_secs_f64())
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Columns padded to their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 2)
        .collect();
    let mut text = String::new();
    for row in rows {
        for (position, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if position + 1 == columns {
                text.push_str(cell);
            } else {
                text.push_str(&format!("{:width$}", format!("{cell},")));
            }
        }
        text.push('\n');
    }
    text
}
