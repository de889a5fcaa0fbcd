//! Prometheus' text format, version 0.0.4.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write as _};

use super::Report;
use crate::metrics::{Histogram, Metric, Usage, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn of(metric: &Metric) -> Self {
        match metric.value {
            Value::Counter(_) => Self::Counter,
            Value::Gauge(_) => Self::Gauge,
            Value::Histogram(_) => Self::Histogram,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

type Labels<'a> = [(&'a str, &'a str)];

#[derive(Default)]
struct Text {
    out: String,
    /// Names of families and of their samples.
    taken: HashSet<String>,
}

/// The whole page.
pub fn text(report: &Report) -> String {
    let mut text = Text::default();
    text.host(report);
    text.filters(&report.filters);
    text.metrics(&report.metrics);
    text.out
}

impl Text {
    fn host(&mut self, report: &Report) {
        self.family("wasmx_build_info", Kind::Gauge, "The versions of WasmX and of the nginx that it was built for.");
        self.sample("wasmx_build_info", &[("version", report.version), ("nginx", report.nginx)], 1);
        self.family("wasmx_workers", Kind::Gauge, "Worker processes, those that end after a reload among them.");
        self.sample("wasmx_workers", &[], report.workers);
        self.family("wasmx_shared_memory_bytes", Kind::Gauge, "The size of a zone of shared memory.");
        for zone in &report.zones {
            self.sample("wasmx_shared_memory_bytes", &[("zone", &zone.name), ("kind", zone.kind)], zone.size);
        }
        self.family("wasmx_shared_memory_used_bytes", Kind::Gauge, "How much of a zone of shared memory is used.");
        for zone in &report.zones {
            self.sample("wasmx_shared_memory_used_bytes", &[("zone", &zone.name), ("kind", zone.kind)], zone.used);
        }
    }

    fn filters(&mut self, filters: &[Usage]) {
        type Row = (&'static str, Kind, &'static str, fn(&Usage) -> u64);
        const ROWS: [Row; 8] = [
            ("calls_total", Kind::Counter, "Calls into the filter.", |usage| usage.time.count()),
            ("failures_total", Kind::Counter, "Requests that the filter failed.", |usage| usage.failures),
            ("traps_total", Kind::Counter, "Calls that ended in a trap.", |usage| usage.traps),
            ("deadlines_total", Kind::Counter, "Calls that were stopped at a time limit.", |usage| usage.deadlines),
            ("restarts_total", Kind::Counter, "Instances that were replaced.", |usage| usage.restarts),
            ("instances", Kind::Gauge, "Instances that there are now.", |usage| usage.instances),
            ("contexts", Kind::Gauge, "Requests that are in the filter now.", |usage| usage.contexts),
            ("memory_bytes", Kind::Gauge, "Linear memory of all instances.", |usage| usage.memory),
        ];
        for (name, kind, help, value) in ROWS {
            let name = format!("wasmx_filter_{name}");
            self.family(&name, kind, help);
            for usage in filters {
                self.sample(&name, &[("filter", &usage.module), ("engine", &usage.engine)], value(usage));
            }
        }
        let name = "wasmx_filter_call_seconds";
        self.family(name, Kind::Histogram, "How long a call into the filter took.");
        for usage in filters {
            let labels = [("filter", &*usage.module), ("engine", &*usage.engine)];
            self.histogram(name, &labels, &usage.time, seconds);
        }
    }

    /// The metrics of filters, whose names may be any text. Those that differ in their names here are families of their
    /// own; those that do not, and are of one kind, are one family, told apart by the label `name`.
    fn metrics(&mut self, metrics: &[Metric]) {
        let mut families = BTreeMap::<_, Vec<&Metric>>::new();
        for metric in metrics {
            families.entry((sanitised(&metric.name), Kind::of(metric))).or_default().push(metric);
        }
        for ((wanted, kind), members) in families {
            let name = self.free_name(wanted, kind);
            self.family(&name, kind, "Defined by a filter.");
            for metric in members {
                let mut labels = vec![("filter", &*metric.module)];
                if metric.name != name {
                    labels.push(("name", &metric.name));
                }
                match &metric.value {
                    Value::Counter(value) => self.sample(&name, &labels, value),
                    Value::Gauge(value) => self.sample(&name, &labels, value.cast_signed()),
                    Value::Histogram(histogram) => self.histogram(&name, &labels, histogram, |value| value.to_string()),
                }
            }
        }
    }

    /// The name, or one made of it that no other family has for one of its samples.
    fn free_name(&self, wanted: String, kind: Kind) -> String {
        let free = |name: &String| samples(name, kind).all(|sample| !self.taken.contains(&sample));
        let numbered = (2u64..).map(|number| format!("{wanted}_{number}"));
        let mut names = [wanted.clone(), format!("{wanted}_{}", kind.name())].into_iter().chain(numbered);
        names.find(free).unwrap_or(wanted)
    }

    fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.taken.extend(samples(name, kind));
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {}\n", kind.name());
    }

    fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl Display) {
        self.out.push_str(name);
        for (nth, (label, text)) in labels.iter().enumerate() {
            self.out.push(if nth == 0 { '{' } else { ',' });
            let _ = write!(self.out, "{label}=\"");
            escape(&mut self.out, text);
            self.out.push('"');
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, labels: &Labels<'_>, histogram: &Histogram, show: fn(u64) -> String) {
        let mut count = 0;
        let bucket = format!("{name}_bucket");
        for (bound, upto) in histogram.cumulative() {
            let bound = bound.map_or_else(|| "+Inf".to_owned(), show);
            let with_bound: Vec<_> = labels.iter().copied().chain([("le", &*bound)]).collect();
            self.sample(&bucket, &with_bound, upto);
            count = upto;
        }
        self.sample(&format!("{name}_sum"), labels, show(histogram.sum));
        self.sample(&format!("{name}_count"), labels, count);
    }
}

/// The names that samples of a family have.
fn samples(name: &str, kind: Kind) -> impl Iterator<Item = String> {
    let suffixes: &[_] = if kind == Kind::Histogram { &["", "_bucket", "_sum", "_count"] } else { &[""] };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

/// A name that Prometheus takes: `_` in place of what it does not.
fn sanitised(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut name: String = name.chars().map(|c| if good(c) { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            _ => out.push(c),
        }
    }
}

/// Nanoseconds as seconds, exactly.
pub(super) fn seconds(nanos: u64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
