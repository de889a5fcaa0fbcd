//! What a VM sees of the worker around it.

use std::sync::Arc;
use std::time::Duration;

use ngx::{Level, Log, wake};

use super::Shared;
use super::metrics::Scope;
use crate::conf::WasmConf;
use crate::dispatch::CallId;
use crate::http::Stream;
use crate::metrics::{Kind, Refusal};
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::host::{GrpcCall, Host, HttpCall, LogLine};

/// Where the ticks and the queues of a VM go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ticks {
    /// To the worker's timers, for the module of that index.
    Armed(usize),
    /// Nowhere: the VM serves one request, or only tries the configuration.
    Ignored,
}

/// The host of one VM.
pub struct WorkerHost {
    environ: Arc<[Vec<u8>]>,
    shared: Arc<Shared>,
    /// `None` for a module that imports no function of metrics, unless others do.
    metrics: Option<Arc<Scope>>,
    ticks: Ticks,
    /// The VM's number among those of the worker; `None` in a trial start, whose guests make no calls.
    vm: Option<u64>,
    /// It has made calls.
    calls: bool,
}

impl WorkerHost {
    /// The host of a trial start, in the master: nothing that it arms ever fires, and nobody sees what it shares.
    pub fn trial(conf: &WasmConf, metrics: Option<Arc<Scope>>) -> Self {
        let shared = Arc::new(Shared::scratch(conf));
        Self { environ: conf.environ.clone(), shared, metrics, ticks: Ticks::Ignored, vm: None, calls: false }
    }

    /// The host of a VM that lives as long as one request.
    pub(super) fn for_stream(
        environ: Arc<[Vec<u8>]>,
        shared: Arc<Shared>,
        metrics: Option<Arc<Scope>>,
        vm: u64,
    ) -> Self {
        Self { environ, shared, metrics, ticks: Ticks::Ignored, vm: Some(vm), calls: false }
    }

    /// The host of the VM that holds the root contexts of the module at index `module`.
    pub(super) fn for_roots(
        environ: Arc<[Vec<u8>]>,
        shared: Arc<Shared>,
        metrics: Option<Arc<Scope>>,
        module: usize,
        vm: u64,
    ) -> Self {
        Self { environ, shared, metrics, ticks: Ticks::Armed(module), vm: Some(vm), calls: false }
    }

    fn id(&self, token: u32) -> Option<CallId> {
        Some(CallId { vm: self.vm?, token })
    }

    #[inline]
    fn metrics(&self) -> Result<&Scope, Refusal> {
        self.metrics.as_deref().ok_or(Refusal::Unknown)
    }
}

impl Drop for WorkerHost {
    fn drop(&mut self) {
        if let Some(vm) = self.vm.filter(|_| self.calls) {
            super::with(|worker| worker.dispatch.cancel_all(vm));
        }
    }
}

/// nginx's level for a filter's (directives.md, "Log lines").
fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace | LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
        LogLevel::Critical => Level::Crit,
    }
}

/// nginx's level by its number.
fn raw_level(level: u8) -> Level {
    match level {
        0 | 1 => Level::Emerg,
        2 => Level::Alert,
        3 => Level::Crit,
        4 => Level::Error,
        5 => Level::Warn,
        6 => Level::Notice,
        7 => Level::Info,
        8.. => Level::Debug,
    }
}

fn least_severe(log: Log<'_>) -> LogLevel {
    [LogLevel::Trace, LogLevel::Info, LogLevel::Warn, LogLevel::Error]
        .into_iter()
        .find(|&candidate| log.enabled(level(candidate)))
        .unwrap_or(LogLevel::Critical)
}

impl Host for WorkerHost {
    type Stream = Stream;

    fn log(&mut self, stream: Option<&Stream>, line: LogLine<'_>) {
        let request = stream.and_then(|s| s.request());
        let log = match request {
            Some(r) => r.log(),
            None => Log::cycle(),
        };
        let level = level(line.level);
        if !log.enabled(level) {
            return;
        }
        let mut text = Vec::with_capacity(line.message.len() + line.filter.len() + 32);
        text.extend_from_slice(b"[proxy-wasm]");
        if !line.filter.is_empty() {
            text.extend_from_slice(b"[\"");
            text.extend_from_slice(line.filter.as_bytes());
            text.push(b'"');
            if line.root != 0 {
                text.extend_from_slice(b" #");
                text.extend_from_slice(line.root.to_string().as_bytes());
            }
            text.push(b']');
        }
        text.push(b' ');
        text.extend_from_slice(line.message);
        log.write_bytes(level, &text);
    }

    fn raw_log(&mut self, stream: Option<&Stream>, level: u8, message: &[u8]) {
        let request = stream.and_then(|s| s.request());
        let log = match request {
            Some(r) => r.log(),
            None => Log::cycle(),
        };
        let level = raw_level(level);
        if log.enabled(level) {
            log.write_bytes(level, &[b"[wasm] ", message].concat());
        }
    }

    fn log_level(&self, stream: Option<&Stream>) -> LogLevel {
        stream.and_then(|s| s.request()).map_or_else(|| least_severe(Log::cycle()), |r| least_severe(r.log()))
    }

    fn set_tick_period(&mut self, root: u32, period: Option<Duration>) {
        if let Ticks::Armed(module) = self.ticks {
            super::with(|worker| worker.set_tick_period(module, root, period));
        }
    }

    fn environ(&self) -> &[Vec<u8>] {
        &self.environ
    }

    fn shared_value(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status> {
        self.shared.value(key, out)
    }

    fn set_shared_value(&mut self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Result<(), Status> {
        self.shared.set_value(key, value, cas)
    }

    fn register_queue(&mut self, root: u32, name: &[u8]) -> Result<u32, Status> {
        let module = match self.ticks {
            // A worker that ends takes no queue away from those that go on.
            Ticks::Armed(module) if !ngx::process::is_exiting() => module,
            _ => return Ok(self.shared.register(name, false)?.token),
        };
        let queue = self.shared.register(name, true)?;
        super::with(|worker| worker.receivers.add(module, root, queue.token, queue.waiting));
        Ok(queue.token)
    }

    fn resolve_queue(&mut self, name: &[u8]) -> Result<u32, Status> {
        self.shared.resolve(name)
    }

    fn enqueue(&mut self, queue: u32, item: &[u8]) -> Result<(), Status> {
        if let Some(place) = self.shared.enqueue(queue, item)? {
            wake::wake(place);
        }
        Ok(())
    }

    fn dequeue(&mut self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status> {
        self.shared.dequeue(queue, out)
    }

    fn define_metric(&mut self, kind: Kind, name: &[u8]) -> Result<u32, Refusal> {
        self.metrics()?.define(kind, name)
    }

    fn record_metric(&self, id: u32, value: u64) -> Result<(), Refusal> {
        self.metrics()?.record(id, value)
    }

    fn increment_metric(&self, id: u32, delta: i64) -> Result<(), Refusal> {
        self.metrics()?.increment(id, delta)
    }

    fn metric(&self, id: u32) -> Result<u64, Refusal> {
        self.metrics()?.get(id)
    }

    fn http_call(&mut self, call: HttpCall<'_, Stream>) -> Result<(), Status> {
        let vm = self.vm.ok_or(Status::InternalFailure)?;
        self.calls = true;
        super::with(|worker| worker.dispatch.http_call(vm, &call)).unwrap_or(Err(Status::InternalFailure))
    }

    fn grpc_call(&mut self, call: GrpcCall<'_, Stream>) -> Result<(), Status> {
        let vm = self.vm.ok_or(Status::InternalFailure)?;
        self.calls = true;
        super::with(|worker| worker.dispatch.grpc_call(vm, &call)).unwrap_or(Err(Status::InternalFailure))
    }

    fn grpc_send(&mut self, token: u32, message: &[u8], end_of_stream: bool) -> Result<(), Status> {
        let id = self.id(token).ok_or(Status::NotFound)?;
        super::with(|worker| worker.dispatch.grpc_send(id, message, end_of_stream)).unwrap_or(Err(Status::NotFound))
    }

    fn cancel_call(&mut self, token: u32) {
        if let Some(id) = self.id(token) {
            super::with(|worker| worker.dispatch.cancel(id));
        }
    }

    fn close_call(&mut self, token: u32) {
        if let Some(id) = self.id(token) {
            super::with(|worker| worker.dispatch.close(id));
        }
    }
}
