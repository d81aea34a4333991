//! `/debug/api_priority_and_fairness/…`: the state of levels and queues as upstream prints it.

use super::configuration::Configuration;

/// `None` if there is no such dump.
pub fn dump(configuration: &Configuration, which: &str) -> Option<String> {
    let rows = match which {
        "dump_priority_levels" => levels(configuration),
        "dump_queues" => queues(configuration),
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
        "SeatsInUse",
        "CurrentLimitSeats",
    ])];
    for (name, entry) in &configuration.levels {
        let (states, _) = entry.level.queue_states();
        let active = states
            .iter()
            .filter(|state| state.waiting > 0 || state.executing > 0)
            .count();
        let idle = entry.level.in_use() == 0 && entry.level.waiting() == 0;
        rows.push(vec![
            name.clone(),
            active.to_string(),
            idle.to_string(),
            false.to_string(),
            entry.level.waiting().to_string(),
            entry.level.in_use().to_string(),
            entry.level.limit().to_string(),
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
    ])];
    for (name, entry) in &configuration.levels {
        for (index, state) in entry.level.queue_states().0.into_iter().enumerate() {
            rows.push(vec![
                name.clone(),
                index.to_string(),
                state.waiting.to_string(),
                state.executing.to_string(),
                state.seats_in_use.to_string(),
                format!("{:.8}ss", state.next_start),
                state.waiting_seats.to_string(),
            ]);
        }
    }
    rows
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
