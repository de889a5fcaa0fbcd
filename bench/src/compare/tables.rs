//! What was measured, as tables and pictures.

use super::inputs::Inputs;
use super::suite::Suite;
use super::transcript::Transcript;
use super::{grouped, head, markdown, words};
use crate::compile::Compiled;
use crate::limits::Ended;
use crate::plot::{Bar, Plot, Row, Scale, Series};

/// Of what was not measured.
const NOT: &str = "–";

/// The filter whose compilation stands for all at a glance: an example of the usual size.
const USUAL: &str = "api_key";

/// The few numbers that matter most.
pub fn glance(inputs: &Inputs, engines: &[String], suite: &Suite, transcript: &Transcript) -> String {
    let mut rows = Vec::new();
    let mut row = |what: &str, cell: &dyn Fn(&str) -> Option<String>| {
        let cells = engines.iter().map(|engine| cell(engine).unwrap_or_else(|| NOT.to_owned()));
        rows.push(std::iter::once(what.to_owned()).chain(cells).collect());
    };
    let work = |engine: &str, name: &str| {
        let name = format!("{engine}/{name}");
        inputs.bench.as_ref()?.works.iter().find(|it| it.name == name).map(|it| &it.summary)
    };
    let index = |engine: &str| engines.iter().position(|it| it == engine);
    row("conformance tests passed", &|engine| Some(suite.on(index(engine)?)));
    row("answers of host functions as they should be", &|engine| {
        let (equal, all) = transcript.equal_on(index(engine)?);
        Some(if equal == all { format!("all {}", grouped(all as u64)) } else { format!("**{equal} of {all}**") })
    });
    row("throughput of plain nginx that is left: empty filter", &|engine| {
        Some(format!("{:.2}", work(engine, "empty")?.ratio))
    });
    row("the same: 60 header calls", &|engine| Some(format!("{:.2}", work(engine, "header-calls")?.ratio)));
    row("a 64 KB body hashed by the filter", &|engine| {
        Some(format!("+{:.0} µs", work(engine, "hash-body")?.added_microseconds))
    });
    row("compiling a filter of the usual size", &|engine| {
        let found = inputs.compiled.iter().find(|it| it.filter == USUAL && it.engine == engine)?;
        Some(format!("{:.0} ms", found.milliseconds))
    });
    row("start of nginx with one filter and worker", &|engine| {
        Some(format!("{:.0} ms", inputs.start(engine, 1)?.start_milliseconds))
    });
    row("memory of that worker alone", &|engine| Some(megabytes(inputs.start(engine, 1)?.private * 1024.0)));
    row("the module with that engine alone", &|engine| {
        inputs.sizes.iter().find(|(name, _)| name == engine).map(|(_, bytes)| megabytes(*bytes as f64))
    });
    markdown(&head("", engines), &rows)
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// A row for each work, its cells those of the engines.
pub fn throughput(inputs: &Inputs, engines: &[String]) -> String {
    let Some(bench) = &inputs.bench else { return "Not measured.".to_owned() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (index, work) in bench.works.iter().enumerate().filter(|(_, work)| work.engine().is_some()) {
        if bench.works[..index].iter().any(|it| it.engine().is_some() && it.what == work.what) {
            continue;
        }
        let base = bench.works.iter().find(|it| it.name == work.baseline);
        let rate = base.map_or(NOT.to_owned(), |it| grouped(it.summary.requests_per_second as u64));
        let cell = |engine: &String| {
            let found = bench.works.iter().find(|it| it.engine() == Some(engine) && it.what == work.what);
            found.map_or(NOT.to_owned(), |it| {
                format!("{:.2} (+{:.1} µs)", it.summary.ratio, it.summary.added_microseconds)
            })
        };
        rows.push([work.what.clone(), rate].into_iter().chain(engines.iter().map(cell)).collect());
    }
    markdown(&head("", &head("without, requests/s", engines)), &rows)
}

/// Start-up, reload and memory, a row for each case.
pub fn starts(inputs: &Inputs) -> String {
    let Some(bench) = &inputs.bench else { return "Not measured.".to_owned() };
    let head = ["", "workers", "start", "reload", "resident", "its share of that", "its alone"].map(str::to_owned);
    let row = |it: &crate::startup::Startup| {
        let what = if it.what == "plain" { "nginx without the module" } else { it.what.as_str() };
        vec![
            what.to_owned(),
            it.workers.to_string(),
            format!("{:.1} ms", it.start_milliseconds),
            format!("{:.1} ms", it.reload_milliseconds),
            megabytes(it.resident * 1024.0),
            megabytes(it.proportional * 1024.0),
            megabytes(it.private * 1024.0),
        ]
    };
    markdown(&head, &bench.starts.iter().map(row).collect::<Vec<_>>())
}

/// Without doubles, in the order in which they come.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for name in names {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

fn compilers(compiled: &[Compiled]) -> Vec<String> {
    let mut all = Vec::new();
    for by in compiled.iter().map(Compiled::by) {
        if !all.contains(&by) {
            all.push(by);
        }
    }
    all
}

fn compiled<'a>(inputs: &'a Inputs, filter: &str, by: &str) -> Option<&'a Compiled> {
    inputs.compiled.iter().find(|it| it.filter == filter && it.by() == by)
}

/// A row for each filter, its cells those of the compilers.
pub fn compile(inputs: &Inputs) -> String {
    let compilers = compilers(&inputs.compiled);
    if compilers.is_empty() {
        return "Not measured.".to_owned();
    }
    let row = |filter: &str| {
        let bytes = inputs.compiled.iter().find(|it| it.filter == filter).map_or(0, |it| it.bytes);
        let cell = |by: &String| {
            compiled(inputs, filter, by).map_or(NOT.to_owned(), |it| format!("{:.0} ms", it.milliseconds))
        };
        let first = [words(filter), format!("{} KB", bytes / 1000)];
        first.into_iter().chain(compilers.iter().map(cell)).collect()
    };
    let filters = distinct(inputs.compiled.iter().map(|it| it.filter.as_str()));
    let rows: Vec<_> = filters.into_iter().map(row).collect();
    markdown(&head("filter", &head("size", &compilers)), &rows)
}

/// The files of the module.
pub fn sizes(inputs: &Inputs) -> String {
    if inputs.sizes.is_empty() {
        return "Not measured.".to_owned();
    }
    let rows: Vec<_> = inputs.sizes.iter().map(|(name, bytes)| vec![name.clone(), megabytes(*bytes as f64)]).collect();
    markdown(&["engines in it", "`ngx_wasmx_module.so`, stripped"].map(str::to_owned), &rows)
}

/// A row for each loop, its cells those of the engines.
pub fn limits(inputs: &Inputs, engines: &[String]) -> String {
    let whats = distinct(inputs.ended.iter().map(|it| it.what.as_str()));
    if whats.is_empty() {
        return "Not measured.".to_owned();
    }
    let row = |what: &str| {
        let cell = |engine: &String| {
            let found: Option<&Ended> = inputs.ended.iter().find(|it| it.what == what && it.engine == *engine);
            found.map_or(NOT.to_owned(), |it| format!("{:+.1} ms (worst {:+.1} ms)", it.late, it.latest))
        };
        std::iter::once(what.to_owned()).chain(engines.iter().map(cell)).collect()
    };
    markdown(&head("a filter that goes on with", engines), &whats.into_iter().map(row).collect::<Vec<_>>())
}

/// The pictures, and their files' names. One of which nothing was measured is not made.
pub fn plots(inputs: &Inputs, engines: &[String]) -> Vec<(&'static str, Plot)> {
    let mut all = Vec::new();
    if let Some(bench) = &inputs.bench {
        all.push(("engines-throughput.svg", bench.plot()));
        all.push(("engines-memory.svg", memory_plot(inputs, engines)));
    }
    if !inputs.compiled.is_empty() {
        all.push(("engines-compile.svg", compile_plot(inputs)));
    }
    all
}

fn memory_plot(inputs: &Inputs, engines: &[String]) -> Plot {
    let row = |workers: usize| {
        let bar = |engine: &String| {
            let value = inputs.start(engine, workers)?.private * 1024.0 / 1e6;
            Some(Bar { value, text: format!("{value:.1} MB") })
        };
        let label = if workers == 1 { "one worker".to_owned() } else { format!("each of {workers} workers") };
        Row { label, bars: engines.iter().map(bar).collect() }
    };
    Plot {
        title: "Memory that is a worker's alone, in MB".to_owned(),
        scale: Scale::Linear,
        series: engines.iter().map(|engine| Series::of_engine(engine)).collect(),
        rows: [1, 8].map(row).into(),
    }
}

fn compile_plot(inputs: &Inputs) -> Plot {
    let compilers = compilers(&inputs.compiled);
    let series = |by: &String| {
        let of_engine = Series::of_engine(by.split(' ').next().unwrap_or_default());
        // A paler blue: the other compiler of the same engine.
        let colour = if by.ends_with("winch") { "#93b4de" } else { of_engine.colour };
        Series { name: by.clone(), colour }
    };
    let row = |filter: &str| {
        let bar = |by: &String| {
            let value = compiled(inputs, filter, by)?.milliseconds;
            Some(Bar { value: value.max(0.5), text: format!("{value:.0} ms") })
        };
        Row { label: words(filter), bars: compilers.iter().map(bar).collect() }
    };
    Plot {
        title: "Compiling the filters of examples/, in ms (each step ten times the one before)".to_owned(),
        scale: Scale::Powers,
        series: compilers.iter().map(series).collect(),
        rows: distinct(inputs.compiled.iter().map(|it| it.filter.as_str())).into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{known::Known, suite, transcript};

    fn inputs() -> Inputs {
        let one = |engine: &str, compiler: &str, milliseconds| Compiled {
            filter: USUAL.into(),
            bytes: 200_000,
            engine: engine.into(),
            compiler: compiler.into(),
            milliseconds,
        };
        Inputs {
            compiled: vec![
                one("wasmtime", "cranelift", 90.0),
                one("wasmtime", "winch", 34.0),
                one("wasmi", "auto", 0.0),
            ],
            ended: vec![Ended { engine: "wasmi".into(), what: "a loop".into(), late: 0.8, latest: 2.0 }],
            sizes: vec![("wasmi".into(), 3_210_000)],
            ..Inputs::default()
        }
    }

    #[test]
    fn a_column_for_each_compiler() {
        let table = compile(&inputs());
        assert!(table.contains("| filter | size | wasmtime cranelift | wasmtime winch | wasmi |"), "{table}");
        assert!(table.contains("| api key | 200 KB | 90 ms | 34 ms | 0 ms |"), "{table}");
    }

    #[test]
    fn what_was_not_measured_is_said() {
        let (engines, none) = (["wasmi".to_owned()], Inputs::default());
        for text in [throughput(&none, &engines), starts(&none), compile(&none), sizes(&none), limits(&none, &engines)]
        {
            assert_eq!(text, "Not measured.");
        }
        assert!(plots(&none, &engines).is_empty());
    }

    #[test]
    fn a_glance_has_what_there_is() {
        let engines = ["wasmer", "wasmi"].map(str::to_owned);
        let known = Known::parse("").unwrap();
        let suite = suite::judge("test a::wasmi::b ... ok\n", "", &engines, &known);
        let transcript = transcript::judge(&[], &engines, &known).unwrap();
        let table = glance(&inputs(), &engines, &suite, &transcript);
        assert!(table.contains("passed | 0, 0 otherwise | 1, 0 otherwise |"), "{table}");
        assert!(table.contains("alone | – | 3.2 MB |"), "{table}");
        assert!(limits(&inputs(), &engines).contains("| a loop | – | +0.8 ms (worst +2.0 ms) |"));
    }

    #[test]
    fn no_bar_is_too_short_for_powers() {
        let (_, plot) = plots(&inputs(), &[]).pop().unwrap();
        assert!(plot.rows[0].bars.iter().flatten().all(|bar| bar.value > 0.0));
        assert_eq!(plot.series[1].colour, "#93b4de");
    }
}
