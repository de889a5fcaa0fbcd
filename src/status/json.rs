//! The status page as JSON. Times are in nanoseconds, memory is in bytes.

use std::fmt::{Display, Write as _};

use super::Report;
use crate::metrics::{Histogram, Metric, Usage, Value};

/// JSON that is being written: values, with their commas.
#[derive(Default)]
struct Json {
    out: String,
    /// Whether a value stands before the next one.
    comma: bool,
}

/// The whole page.
pub fn text(report: &Report) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.key("version").string(report.version);
        json.key("nginx").string(report.nginx);
        json.key("time").number(format_args!("{}.{:03}", report.time.as_secs(), report.time.subsec_millis()));
        json.key("workers").number(report.workers);
        json.key("engines").list(&report.engines, |json, engine| json.string(engine));
        json.key("filters").list(&report.filters, usage);
        json.key("metrics").list(&report.metrics, metric);
        json.key("shared_memory").list(&report.zones, |json, zone| {
            json.object(|json| {
                json.key("zone").string(&zone.name);
                json.key("kind").string(zone.kind);
                json.key("size").number(zone.size);
                json.key("used").number(zone.used);
            });
        });
    });
    json.out.push('\n');
    json.out
}

fn usage(json: &mut Json, usage: &Usage) {
    json.object(|json| {
        json.key("filter").string(&usage.module);
        json.key("engine").string(&usage.engine);
        let numbers = [
            ("calls", usage.time.count()),
            ("failures", usage.failures),
            ("traps", usage.traps),
            ("deadlines", usage.deadlines),
            ("restarts", usage.restarts),
            ("instances", usage.instances),
            ("contexts", usage.contexts),
            ("memory", usage.memory),
        ];
        for (name, number) in numbers {
            json.key(name).number(number);
        }
        json.key("time").object(|json| histogram(json, &usage.time));
    });
}

fn metric(json: &mut Json, metric: &Metric) {
    json.object(|json| {
        json.key("filter").string(&metric.module);
        json.key("name").string(&metric.name);
        match &metric.value {
            Value::Counter(value) => {
                json.key("type").string("counter");
                json.key("value").number(value);
            }
            Value::Gauge(value) => {
                json.key("type").string("gauge");
                json.key("value").number(value.cast_signed());
            }
            Value::Histogram(values) => {
                json.key("type").string("histogram");
                histogram(json, values);
            }
        }
    });
}

/// Buckets are pairs: an upper bound, `null` for the last, and how many values are not above it.
fn histogram(json: &mut Json, histogram: &Histogram) {
    json.key("count").number(histogram.count());
    json.key("sum").number(histogram.sum);
    let buckets: Vec<_> = histogram.cumulative().collect();
    json.key("buckets").list(&buckets, |json, (bound, upto)| {
        json.list(&[*bound, Some(*upto)], |json, number| match number {
            Some(number) => json.number(number),
            None => json.number("null"),
        });
    });
}

impl Json {
    fn value(&mut self) {
        if std::mem::replace(&mut self.comma, true) {
            self.out.push(',');
        }
    }

    fn within(&mut self, ends: [char; 2], content: impl FnOnce(&mut Self)) {
        self.value();
        self.out.push(ends[0]);
        self.comma = false;
        content(self);
        self.out.push(ends[1]);
        self.comma = true;
    }

    fn object(&mut self, content: impl FnOnce(&mut Self)) {
        self.within(['{', '}'], content);
    }

    fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.within(['[', ']'], |json| items.iter().for_each(|item| each(json, item)));
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.string(key);
        self.out.push(':');
        self.comma = false;
        self
    }

    fn number(&mut self, number: impl Display) {
        self.value();
        let _ = write!(self.out, "{number}");
    }

    fn string(&mut self, text: &str) {
        self.value();
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.out.extend(['\\', c]),
                // A newline too; and what would end a script or a line where JSON is pasted.
                '\0'..' ' | '\x7f' | '<' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.out, "\\u{:04x}", c as u32);
                }
                _ => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
