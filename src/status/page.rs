//! The content handler of `wasm_status`.

use std::time::{SystemTime, UNIX_EPOCH};

use ngx::features::NGINX_VERSION;
use ngx::http::{PhaseHandler, Request};
use ngx::{Status, error, shm};

use super::{Format, Report, ZoneUse, html, json, prometheus};
use crate::conf::{ShmKind, WasmConf};
use crate::modules::{Core, Http};
use crate::worker::{self, Worker};

/// Answers GET and HEAD.
pub struct Page;

impl PhaseHandler for Page {
    fn handle(r: Request<'_>) -> Status {
        if !matches!(r.method(), b"GET" | b"HEAD") {
            return Status::http(405);
        }
        let format = r.loc_conf::<Http>().status.unwrap_or_default();
        let Some(format) = format.or_asked(r.args()) else { return Status::http(400) };
        let conf = r.core_conf::<Core>();
        let report = conf.and_then(|conf| worker::with(|worker| report(conf, worker)));
        let Some(report) = report else { return Status::http(503) };
        match send(r, format, &report) {
            Ok(status) => status,
            Err(failed) => {
                error!(r.log(), "[wasm] no random numbers for the status page: {failed}");
                Status::http(500)
            }
        }
    }
}

fn send(r: Request<'_>, format: Format, report: &Report) -> Result<Status, getrandom::Error> {
    let mut headers = vec![
        ("content-type", format.content_type().to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    let body = match format {
        Format::Prometheus => prometheus::text(report),
        Format::Json => json::text(report),
        Format::Html => {
            let nonce = nonce()?;
            headers.push(("content-security-policy", html::policy(&nonce)));
            html::text(report, &nonce)
        }
    };
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Ok(r.send_response(200, b"", headers, body.as_bytes()))
}

/// What nobody can guess, new for each page: only what the page brings along is run.
fn nonce() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What the configuration in use has; a module that is gone from it keeps its numbers, and is not shown.
fn report(conf: &WasmConf, worker: &Worker) -> Report {
    let names = |module: &str| conf.modules.iter().find(|known| known.name == module);
    let engine = |module: &str| Some(names(module)?.program.as_ref()?.engine());
    let (filters, workers) = worker.usages();
    let metrics = worker.metrics().map(|store| store.metrics()).unwrap_or_default();
    Report {
        version: env!("CARGO_PKG_VERSION"),
        nginx: NGINX_VERSION,
        time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        workers,
        engines: conf.runtimes.iter().map(|runtime| runtime.name()).collect(),
        filters: filters.into_iter().filter(|usage| engine(&usage.module) == Some(&*usage.engine)).collect(),
        metrics: metrics.into_iter().filter(|metric| names(&metric.module).is_some()).collect(),
        zones: zones(conf, worker),
    }
}

/// The zones of shared memory and their use.
fn zones(conf: &WasmConf, worker: &Worker) -> Vec<ZoneUse> {
    let metrics = worker.metrics().map(|store| {
        let (size, used) = store.usage();
        ZoneUse { name: "metrics".to_owned(), kind: "metrics", size: size as u64, used: used as u64 }
    });
    let shared = conf.shm.iter().filter_map(|zone| {
        let memory = zone.memory()?.lock();
        let used = (memory.pages() - memory.free_pages()) * shm::page_size();
        let kind = match zone.kind {
            ShmKind::Data(_) => "shm_kv",
            ShmKind::Queues(_) => "shm_queue",
        };
        Some(ZoneUse { name: zone.name.clone(), kind, size: zone.size as u64, used: used as u64 })
    });
    metrics.into_iter().chain(shared).collect()
}
