//! A worker's VMs: one for each module that a `proxy_wasm` or `wasm_call` line names, with its root contexts and ticks,
//! and those made for single requests. A VM that trapped is replaced here.

mod host;
mod instance;
pub mod metrics;
mod queues;
mod shared;
mod slot;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ngx::{Log, warn};

pub use self::host::WorkerHost;
pub use self::instance::{Failure, Instance};
use self::metrics::{Metrics, Place};
use self::queues::Receivers;
pub use self::shared::Shared;
use self::slot::Slot;
use crate::conf::{Filter, WasmConf};
use crate::dispatch::{Caller, Dispatch};
use crate::engine::Runtime;
use crate::metrics::{Store, Usage};
use crate::proxy_wasm::vm::{CallResponse, GrpcEvent};

/// How often a full instance pool is told.
const OVERFLOW_WARNING: Duration = Duration::from_secs(60);

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// What a worker process holds from its start to its end. Owns nothing of the configuration's memory.
pub struct Worker {
    slots: Vec<Slot>,
    /// After the slots: it is told when they end.
    metrics: Option<Metrics>,
    environ: Arc<[Vec<u8>]>,
    shared: Arc<Shared>,
    receivers: Receivers,
    dispatch: Dispatch,
    /// The VMs by their numbers: where the answers of calls go.
    vms: RefCell<HashMap<u64, Weak<Instance>>>,
    last_vm: Cell<u64>,
    time_limit: Option<Duration>,
    runtimes: Vec<Arc<dyn Runtime>>,
    overflow: Cell<(u64, Option<Instant>)>,
    _tickers: Vec<engines::Ticker>,
}

/// Runs `f` with the worker; `None` in a process that is none, or before its start.
pub fn with<R>(f: impl FnOnce(&Worker) -> R) -> Option<R> {
    // `try_with`: an nginx cleanup can run after the thread's locals are gone.
    let worker = WORKER.try_with(|worker| worker.borrow().clone()).ok().flatten()?;
    Some(f(&worker))
}

/// Starts this process as a worker: clocks, then the VM of each module with its roots.
///
/// A filter that fails here was fine in the master's trial start; it is tried again with back-off, and the worker
/// serves everything else.
pub fn start(conf: &WasmConf) {
    let tickers = conf
        .shortest_limit()
        .map(|limit| conf.runtimes.iter().filter_map(|runtime| runtime.ticker(limit)).collect())
        .unwrap_or_default();
    let metrics = Metrics::open(conf);
    let slots = (0..conf.modules.len()).map(|module| Slot::new(conf, module, metrics.as_ref())).collect();
    let worker = Rc::new(Worker {
        slots,
        metrics,
        environ: conf.environ.clone(),
        shared: Arc::new(Shared::of(conf)),
        receivers: Receivers::new(conf.queues),
        dispatch: Dispatch::start(conf),
        vms: RefCell::default(),
        last_vm: Cell::new(0),
        time_limit: conf.time_limit,
        runtimes: conf.runtimes.clone(),
        overflow: Cell::new((0, None)),
        _tickers: tickers,
    });
    // Before the first VM starts: a guest may arm its tick then.
    WORKER.set(Some(worker.clone()));
    for slot in &worker.slots {
        slot.running(&worker);
    }
}

/// The zones of shared memory are now those of `conf`: in an nginx of one process, where workers are not replaced.
pub fn zones_changed(conf: &WasmConf) {
    with(|worker| {
        worker.dispatch.replace(conf);
        worker.shared.replace(conf);
        worker.metrics.iter().for_each(|metrics| metrics.zone_changed(conf));
    });
}

/// Ends the worker's VMs and threads, before nginx takes the process down.
pub fn stop() {
    let worker = WORKER.take();
    if let Some(worker) = &worker {
        worker.dispatch.stop();
    }
    drop(worker);
}

impl Worker {
    /// The VM of a module's root contexts, by the module's index; `None` while it cannot start.
    pub fn roots(&self, module: usize) -> Option<Rc<Instance>> {
        self.slots.get(module)?.running(self)
    }

    /// A VM for one request of the module at that index, with the roots of `filters`, which are of it. Nothing of another request
    /// is in it. `None` when the guest does not start, which has been logged.
    pub fn instance<'a>(
        &self,
        module: usize,
        filters: impl Iterator<Item = &'a Arc<Filter>> + Clone,
        log: Log<'_>,
    ) -> Option<Rc<Instance>> {
        self.slots.get(module)?.instance(filters, self, log)
    }

    /// Takes back a VM that has served its request.
    pub fn take_back(&self, module: usize, instance: Rc<Instance>) {
        if let Some(slot) = self.slots.get(module) {
            slot.take_back(instance);
        }
    }

    /// The number of the next VM. No two have the same.
    fn next_vm(&self) -> u64 {
        self.last_vm.set(self.last_vm.get() + 1);
        self.last_vm.get()
    }

    fn register(&self, vm: u64, instance: &Rc<Instance>) {
        let mut vms = self.vms.borrow_mut();
        if vms.len() == vms.capacity() {
            vms.retain(|_, instance| instance.strong_count() > 0);
        }
        vms.insert(vm, Rc::downgrade(instance));
    }

    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// Gives a VM the answer of an HTTP call, if it is still there.
    pub fn http_call_response(&self, caller: &Caller, response: CallResponse) {
        if let Some(instance) = self.vm(caller) {
            instance.http_call_response(caller, response);
        }
    }

    /// Gives a VM what came of a gRPC call, if it is still there.
    pub fn grpc_event(&self, caller: &Caller, event: GrpcEvent) {
        if let Some(instance) = self.vm(caller) {
            instance.grpc_event(caller, event);
        }
    }

    fn vm(&self, caller: &Caller) -> Option<Rc<Instance>> {
        self.vms.borrow().get(&caller.id.vm)?.upgrade()
    }

    /// A filter or a function of the module at that index failed a request.
    pub fn filter_failed(&self, module: usize) {
        if let Some(slot) = self.slots.get(module) {
            slot.filter_failed();
        }
    }

    /// The metrics of filters; `None` when nothing is configured that has a use for them.
    pub fn metrics(&self) -> Option<&Store<Place>> {
        self.metrics.as_ref().map(Metrics::store)
    }

    /// What is measured of each module, and how many workers there are.
    pub fn usages(&self) -> (Vec<Usage>, usize) {
        self.metrics.as_ref().map(Metrics::usages).unwrap_or_default()
    }

    /// Answers a guest that arms, changes or stops (`None`) the tick of its root context.
    fn set_tick_period(&self, module: usize, root: u32, period: Option<Duration>) {
        if let Some(slot) = self.slots.get(module) {
            slot.set_tick_period(module, root, period);
        }
    }

    /// A timer of a root context has fired.
    fn tick(&self, module: usize, root: u32) {
        if let Some(slot) = self.slots.get(module) {
            slot.tick(self, root);
        }
    }

    /// Called once when a VM has died, by whoever saw it trap: a VM of root contexts is replaced.
    fn instance_died(&self, instance: &Rc<Instance>) {
        if let Some(slot) = self.slots.iter().find(|slot| slot.holds(instance)) {
            slot.replace();
            self.receivers.forget(slot.module());
        }
    }

    fn warn_of_overflow(&self, log: Log<'_>) {
        let (seen, told) = self.overflow.get();
        let now = self.runtimes.iter().map(|runtime| runtime.overflowed()).sum();
        if now == seen {
            return;
        }
        if told.is_none_or(|told| told.elapsed() >= OVERFLOW_WARNING) {
            warn!(
                log,
                "[wasm] the instance pool is full, {} instances made on demand: raise \"instances\"",
                now - seen
            );
            self.overflow.set((now, Some(Instant::now())));
        }
    }
}
