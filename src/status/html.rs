//! The status page to look at: complete as it comes, and alive where scripts are run. It brings along all that it needs;
//! the policy that goes with it allows nothing else.

use std::fmt::Write as _;

use super::prometheus::seconds;
use super::{Report, ZoneUse};
use crate::metrics::{Histogram, Metric, Usage, Value};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The Content-Security-Policy of a page with this nonce.
pub fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The whole page.
pub fn text(report: &Report, nonce: &str) -> String {
    let mut out = String::with_capacity(32 << 10);
    let mut parts = PAGE.split("{{");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        match name {
            "nonce" => out.push_str(nonce),
            "style" => out.push_str(STYLE),
            "script" => out.push_str(SCRIPT),
            "version" => out.push_str(report.version),
            "nginx" => out.push_str(report.nginx),
            "workers" => out.push_str(&report.workers.to_string()),
            "engines" => out.push_str(&report.engines.join(", ")),
            "filters" => report.filters.iter().for_each(|usage| filter(&mut out, usage)),
            "metrics" => report.metrics.iter().for_each(|each| metric(&mut out, each)),
            "zones" => report.zones.iter().for_each(|each| zone(&mut out, each)),
            _ => {}
        }
        out.push_str(rest);
    }
    out
}

fn filter(out: &mut String, usage: &Usage) {
    let numbers = [
        usage.time.count().to_string(),
        usage.failures.to_string(),
        usage.traps.to_string(),
        usage.deadlines.to_string(),
        mean(&usage.time),
        usage.instances.to_string(),
        usage.contexts.to_string(),
        bytes(usage.memory),
        usage.restarts.to_string(),
    ];
    row(out, [&usage.module, &usage.engine], &numbers);
}

fn metric(out: &mut String, metric: &Metric) {
    let (kind, value) = match &metric.value {
        Value::Counter(value) => ("counter", value.to_string()),
        Value::Gauge(value) => ("gauge", value.cast_signed().to_string()),
        Value::Histogram(values) => ("histogram", format!("{} values, sum {}", values.count(), values.sum)),
    };
    row(out, [&metric.name, &metric.module, kind], &[value]);
}

fn zone(out: &mut String, zone: &ZoneUse) {
    row(out, [&zone.name, zone.kind], &[bytes(zone.used), bytes(zone.size)]);
}

fn row<const N: usize>(out: &mut String, texts: [&str; N], numbers: &[String]) {
    out.push_str("<tr>");
    for (nth, text) in texts.into_iter().enumerate() {
        let (tag, end) = if nth == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
        out.push_str(tag);
        escape(out, text);
        out.push_str(end);
    }
    for number in numbers {
        let _ = write!(out, "<td class=\"n\">{number}</td>");
    }
    out.push_str("</tr>\n");
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

fn mean(time: &Histogram) -> String {
    let nanos = time.sum.checked_div(time.count()).unwrap_or(0);
    match nanos {
        0 => "–".to_owned(),
        1..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{}.{} µs", nanos / 1_000, nanos % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} ms", nanos / 1_000_000, nanos % 1_000_000 / 100_000),
        _ => format!("{} s", seconds(nanos / 100_000_000 * 100_000_000)),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{}.{} KiB", count >> 10, ((count & 0x3ff) * 10) >> 10),
        _ => format!("{}.{} MiB", count >> 20, ((count & 0xf_ffff) * 10) >> 20),
    }
}
