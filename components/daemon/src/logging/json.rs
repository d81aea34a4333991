//! Upstream's JSON lines: `ts` in milliseconds since 1970, `caller`, `msg`, `v` unless it is an error, then the fields.

use serde_json::Value;
use std::fmt::{Debug, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = now.as_micros();
        write!(writer, "{{\"ts\":{}.{:03}", micros / 1000, micros % 1000)?;
        let file = metadata.file().unwrap_or_default();
        // The folder and the file, as upstream tells.
        let short = file
            .rmatch_indices('/')
            .nth(1)
            .map_or(file, |(at, _)| &file[at + 1..]);
        let caller = format!("{short}:{}", metadata.line().unwrap_or_default());
        write!(
            writer,
            ",\"caller\":{},\"msg\":{}",
            quoted(&caller),
            quoted(&fields.message)
        )?;
        match *metadata.level() {
            Level::ERROR => {}
            Level::WARN | Level::INFO => writer.write_str(",\"v\":0")?,
            Level::DEBUG => writer.write_str(",\"v\":4")?,
            Level::TRACE => writer.write_str(",\"v\":5")?,
        }
        writeln!(writer, "{}}}", fields.others)
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    /// `,"key":value` each.
    others: String,
}

impl Fields {
    fn put(&mut self, field: &Field, value: &str) {
        let name = match field.name() {
            "error" => "err",
            // klog's own words are taken.
            "ts" | "caller" | "msg" | "v" => return self.put_named(&format!("{}_", field.name()), value),
            name => name,
        };
        self.put_named(name, value);
    }

    fn put_named(&mut self, name: &str, value: &str) {
        let _ = write!(self.others, ",{}:{value}", quoted(name));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, &quoted(&text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, &quoted(value));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no other numbers.
        if value.is_finite() {
            self.put(field, &value.to_string());
        } else {
            self.put(field, &quoted(&value.to_string()));
        }
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_have_upstreams_shape() {
        let lines = Lines::default();
        let written = lines.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || written.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(port = 6443, name = "a\"b\n", yes = true, "listening");
            tracing::error!(error = %"lost", "it {}", "ended");
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let told: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(told[0]["msg"], "listening");
        assert_eq!(told[0]["v"], 0);
        assert_eq!(told[0]["port"], 6443);
        assert_eq!(told[0]["name"], "a\"b\n");
        assert_eq!(told[0]["yes"], true);
        assert!(told[0]["ts"].as_f64().unwrap() > 1e12, "{text}");
        assert!(
            told[0]["caller"]
                .as_str()
                .unwrap()
                .starts_with("logging/json.rs:"),
            "{text}"
        );
        assert_eq!(told[1]["err"], "lost");
        assert_eq!(told[1]["msg"], "it ended");
        assert!(told[1].get("v").is_none(), "{text}");
    }
}
