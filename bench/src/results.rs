//! What a run of the bench found out, and bench.json.

use crate::load::{Measured, Summary, summary};
use crate::plot::{Bar, Plot, Row, Scale, Series};
use crate::startup::Startup;
use crate::{Options, Result};
use serde_json::{Value, json};

/// A run of the bench.
pub struct Results {
    /// How often everything was measured.
    pub rounds: u64,
    /// Seconds of wrk for each variant and round.
    pub seconds_each: u64,
    /// Connections of wrk.
    pub connections: u64,
    pub works: Vec<Work>,
    pub starts: Vec<Startup>,
}

/// The throughput of one variant.
pub struct Work {
    /// `plain`, or `ENGINE/WORK`.
    pub name: String,
    pub what: String,
    /// The name of the variant that it is compared with: its own for one without a filter.
    pub baseline: String,
    pub summary: Summary,
    /// Of each round.
    rates: Vec<f64>,
}

impl Work {
    /// Its engine; `None` for one without a filter.
    pub fn engine(&self) -> Option<&str> {
        self.name.split_once('/').map(|(engine, _)| engine)
    }

    /// The engine and what it does.
    pub fn label(&self) -> String {
        match self.engine() {
            Some(engine) => format!("{engine}: {}", self.what),
            None => self.what.clone(),
        }
    }
}

impl Results {
    pub fn of(options: &Options, measured: &[Measured], starts: Vec<Startup>) -> Self {
        let work = |(index, entry): (usize, &Measured)| Work {
            name: entry.variant.name.clone(),
            what: entry.variant.what.to_owned(),
            baseline: measured[entry.variant.baseline].variant.name.clone(),
            summary: summary(measured, index),
            rates: entry.samples.iter().map(|sample| sample.requests_per_second).collect(),
        };
        Self {
            rounds: options.rounds as u64,
            seconds_each: options.seconds.into(),
            connections: options.connections.into(),
            works: measured.iter().enumerate().map(work).collect(),
            starts,
        }
    }

    pub fn to_json(&self) -> Value {
        let work = |work: &Work| {
            json!({
                "name": work.name,
                "what": work.what,
                "baseline": work.baseline,
                "ratio": rounded(work.summary.ratio, 4),
                "added_us": rounded(work.summary.added_microseconds, 3),
                "added_cpu_us": rounded(work.summary.added_cpu_microseconds, 3),
                "requests_per_second": work.rates.iter().map(|rate| rounded(*rate, 1)).collect::<Vec<_>>(),
            })
        };
        let start = |start: &Startup| {
            json!({
                "what": start.what,
                "workers": start.workers,
                "start_ms": rounded(start.start_milliseconds, 2),
                "reload_ms": rounded(start.reload_milliseconds, 2),
                "resident_kb": start.resident.round(),
                "share_kb": start.proportional.round(),
                "private_kb": start.private.round(),
            })
        };
        json!({
            "rounds": self.rounds,
            "seconds_each": self.seconds_each,
            "connections": self.connections,
            "throughput": self.works.iter().map(work).collect::<Vec<_>>(),
            "startup": self.starts.iter().map(start).collect::<Vec<_>>(),
        })
    }

    /// # Errors
    /// The first thing that is not as [`Results::to_json`] writes it.
    pub fn from_json(text: &str) -> Result<Self> {
        let all: Value = serde_json::from_str(text)?;
        let list = |name: &str| all[name].as_array().ok_or_else(|| format!("bench.json: no {name}"));
        Ok(Self {
            rounds: all["rounds"].as_u64().unwrap_or(0),
            seconds_each: all["seconds_each"].as_u64().unwrap_or(0),
            connections: all["connections"].as_u64().unwrap_or(0),
            works: list("throughput")?.iter().map(read_work).collect::<Result<_>>()?,
            starts: list("startup")?.iter().map(read_start).collect::<Result<_>>()?,
        })
    }

    /// A bar for each engine and work: how much of the throughput without a filter is left.
    pub fn plot(&self) -> Plot {
        let mut engines: Vec<&str> = self.works.iter().filter_map(Work::engine).collect();
        engines.dedup();
        let mut whats: Vec<&str> = Vec::new();
        for work in self.works.iter().filter(|work| work.engine().is_some()) {
            if !whats.contains(&work.what.as_str()) {
                whats.push(&work.what);
            }
        }
        let bar = |engine: &str, what: &str| {
            let found = self.works.iter().find(|it| it.engine() == Some(engine) && it.what == what)?;
            let Summary { ratio, added_microseconds, .. } = found.summary;
            Some(Bar { value: ratio, text: format!("{ratio:.2} (+{added_microseconds:.1} µs)") })
        };
        let row = |what: &&str| Row {
            label: (*what).to_owned(),
            bars: engines.iter().map(|engine| bar(engine, what)).collect(),
        };
        Plot {
            title: "Throughput left, of the same nginx without a filter (1 = all)".to_owned(),
            scale: Scale::Linear,
            series: engines.iter().map(|engine| Series::of_engine(engine)).collect(),
            rows: whats.iter().map(row).collect(),
        }
    }
}

/// To so many decimals: what is more is noise, and makes files differ.
pub fn rounded(value: f64, decimals: i32) -> f64 {
    let factor = 10f64.powi(decimals);
    (value * factor).round() / factor
}

/// A text in an object of bench.json and its like.
pub fn text(object: &Value, name: &str) -> Result<String> {
    Ok(object[name].as_str().ok_or_else(|| format!("no {name} in {object}"))?.to_owned())
}

/// A number in one.
pub fn number(object: &Value, name: &str) -> Result<f64> {
    Ok(object[name].as_f64().ok_or_else(|| format!("no {name} in {object}"))?)
}

fn read_work(object: &Value) -> Result<Work> {
    let rates: Vec<f64> =
        object["requests_per_second"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    Ok(Work {
        name: text(object, "name")?,
        what: text(object, "what")?,
        baseline: text(object, "baseline")?,
        summary: Summary {
            requests_per_second: crate::load::median(rates.iter().copied()),
            ratio: number(object, "ratio")?,
            added_microseconds: number(object, "added_us")?,
            added_cpu_microseconds: number(object, "added_cpu_us")?,
        },
        rates,
    })
}

fn read_start(object: &Value) -> Result<Startup> {
    Ok(Startup {
        what: text(object, "what")?,
        workers: object["workers"].as_u64().and_then(|it| usize::try_from(it).ok()).ok_or("no workers")?,
        start_milliseconds: number(object, "start_ms")?,
        reload_milliseconds: number(object, "reload_ms")?,
        resident: number(object, "resident_kb")?,
        proportional: number(object, "share_kb")?,
        private: number(object, "private_kb")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"rounds": 5, "seconds_each": 2, "connections": 32,
        "throughput": [
            {"name": "plain", "what": "return 200", "baseline": "plain", "ratio": 1.0, "added_us": 0.0,
             "added_cpu_us": 0.0, "requests_per_second": [100.0, 300.0, 200.0]},
            {"name": "wasmi/empty", "what": "empty filter", "baseline": "plain", "ratio": 0.5, "added_us": 5.25,
             "added_cpu_us": 5.0, "requests_per_second": [100.0]}],
        "startup": [{"what": "wasmi", "workers": 8, "start_ms": 12.5, "reload_ms": 3.25, "resident_kb": 4096.0,
             "share_kb": 2048.0, "private_kb": 1024.0}]}"#;

    #[test]
    fn what_was_written_is_read() {
        let results = Results::from_json(JSON).unwrap();
        assert_eq!(results.to_json(), serde_json::from_str::<Value>(JSON).unwrap());
        assert_eq!(results.works[0].summary.requests_per_second, 200.0);
        assert_eq!(results.works[1].label(), "wasmi: empty filter");
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = JSON.replace("\"ratio\": 0.5, ", "");
        assert!(Results::from_json(&without).err().unwrap().to_string().starts_with("no ratio in "));
        assert!(Results::from_json("{}").is_err());
    }

    #[test]
    fn the_plot_has_a_bar_for_each_engine_and_work() {
        let plot = Results::from_json(JSON).unwrap().plot();
        assert_eq!((plot.series.len(), plot.rows.len()), (1, 1));
        assert_eq!(plot.rows[0].bars[0].as_ref().unwrap().text, "0.50 (+5.2 µs)");
    }
}
