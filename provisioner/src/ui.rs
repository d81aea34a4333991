//! What the operator sees: a bar per host on a terminal, plain lines otherwise, JSON events with `--json`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::state::{Event, State};

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Human,
    Json,
}

/// Shows events; shared by all host threads.
pub struct Ui {
    format: Format,
    bars: Option<MultiProgress>,
    hosts: Mutex<BTreeMap<String, ProgressBar>>,
    phases: Mutex<Vec<(String, Duration)>>,
    current: Mutex<Option<(String, Instant)>>,
    started: Instant,
}

impl Ui {
    pub fn new(format: Format) -> Ui {
        let terminal = std::io::stderr().is_terminal() && format == Format::Human;
        Ui {
            format,
            bars: terminal.then(MultiProgress::new),
            hosts: Mutex::default(),
            phases: Mutex::default(),
            current: Mutex::default(),
            started: Instant::now(),
        }
    }

    fn emit(&self, event: &Value, line: Option<String>) {
        match (self.format, line) {
            (Format::Json, _) => {
                // A reader that has gone away is not a reason to stop half way.
                let _ = writeln!(std::io::stdout(), "{event}");
            }
            (Format::Human, None) => {}
            (Format::Human, Some(line)) => match &self.bars {
                // Without a terminal to draw on there is nobody to tell.
                Some(bars) => drop(bars.println(line)),
                None => drop(writeln!(std::io::stderr(), "{line}")),
            },
        }
    }

    /// A new phase begins; the one before has ended.
    pub fn phase(&self, state: &State, name: &str) {
        self.end_phase();
        if let Ok(mut current) = self.current.lock() {
            *current = Some((name.to_owned(), Instant::now()));
        }
        // The journal is for the next run; a full disk here must not stop this one.
        let event = Event::Phase {
            phase: name.to_owned(),
        };
        if let Err(error) = state.journal(event) {
            self.note(&format!("{error:#}"));
        }
        self.emit(
            &json!({ "event": "phase", "phase": name, "time": now() }),
            Some(format!("{:7.2} s  {name}", self.started.elapsed().as_secs_f64())),
        );
    }

    fn end_phase(&self) {
        let ended = self.current.lock().ok().and_then(|mut current| current.take());
        if let (Some((name, since)), Ok(mut phases)) = (ended, self.phases.lock()) {
            phases.push((name, since.elapsed()));
        }
    }

    /// What a host is doing now.
    pub fn host(&self, host: &str, doing: &str) {
        if let Some(bar) = self.bar(host) {
            bar.set_style(spinner());
            bar.set_message(doing.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let line = self.bars.is_none().then(|| format!("   {host}: {doing}"));
        self.emit(&json!({ "event": "host", "host": host, "doing": doing }), line);
    }

    /// A transfer to a host begins.
    pub fn transfer(&self, host: &str, total: u64) {
        if let Some(bar) = self.bar(host) {
            bar.set_style(transfer());
            bar.set_length(total);
            bar.set_position(0);
            bar.reset_eta();
            bar.set_message("push");
        }
        self.emit(
            &json!({ "event": "transfer", "host": host, "bytes": total }),
            None,
        );
    }

    pub fn sent(&self, host: &str, bytes: u64) {
        if let Some(bar) = self.bar(host) {
            bar.inc(bytes);
        }
    }

    fn bar(&self, host: &str) -> Option<ProgressBar> {
        let bars = self.bars.as_ref()?;
        let mut hosts = self.hosts.lock().ok()?;
        let bar = hosts.entry(host.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_prefix(host.to_owned());
            bar
        });
        Some(bar.clone())
    }

    /// The answer that the operator asked for, on standard output.
    pub fn print(&self, text: &str) {
        // A reader that has gone away (`| head`) has seen enough.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }

    pub fn note(&self, text: &str) {
        self.emit(
            &json!({ "event": "note", "text": text }),
            Some(format!("   {text}")),
        );
    }

    pub fn error(&self, host: Option<&str>, phase: &str, text: &str) {
        let place = host.map_or_else(|| phase.to_owned(), |host| format!("{host}: {phase}"));
        self.emit(
            &json!({ "event": "error", "host": host, "phase": phase, "text": text }),
            Some(format!("error: {place}: {text}")),
        );
    }

    /// Seconds for each phase and in all.
    pub fn summary(&self, title: &str) {
        self.end_phase();
        if let Ok(hosts) = self.hosts.lock() {
            for bar in hosts.values() {
                bar.finish_and_clear();
            }
        }
        let phases = self
            .phases
            .lock()
            .map(|phases| phases.clone())
            .unwrap_or_default();
        let total = self.started.elapsed();
        let seconds: Vec<Value> = phases
            .iter()
            .map(|(name, time)| json!({ "phase": name, "seconds": time.as_secs_f64() }))
            .collect();
        let mut text = format!("{title}\n");
        for (name, time) in &phases {
            text.push_str(&format!("{:8.2} s  {name}\n", time.as_secs_f64()));
        }
        text.push_str(&format!("{:8.2} s  in all", total.as_secs_f64()));
        self.emit(
            &json!({ "event": "summary", "text": title, "phases": seconds, "seconds": total.as_secs_f64() }),
            Some(text),
        );
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>16} {spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn transfer() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>16} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
