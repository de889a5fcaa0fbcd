//! The place of one module in a worker: its VM of root contexts, their ticks, and the back-off when it does not start.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engines::TrapKind;
use ngx::{Log, Timer};

use super::instance::{self, Instance};
use super::metrics::{Meter, Metrics, Scope};
use super::{Worker, WorkerHost};
use crate::conf::{Filter, WasmConf};
use crate::proxy_wasm::vm::{Program, StartError, VmKind};

/// The pause after a first failed start; it doubles with each further one (proxy-wasm.md, "Contexts").
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The most VMs of one module that are kept for requests to come, and the most bytes that they hold.
const MOST_IDLE: usize = 128;
const MOST_IDLE_BYTES: usize = 32 << 20;
/// VMs one after the other that could not be put back, after which the next ones are not prepared for it; until 256 have
/// been made: the requests may have been unusual ones.
const UNFIT: u8 = 8;

enum State {
    /// Not started yet, or dead and to be replaced at once.
    Vacant,
    Starting,
    Running(Rc<Instance>),
    /// The last start failed.
    Waiting {
        until: Instant,
        pause: Duration,
    },
}

/// The tick of one root context.
struct Tick {
    root: u32,
    period: Cell<Option<Duration>>,
    timer: Timer,
}

pub(super) struct Slot {
    program: Option<Arc<dyn Program<WorkerHost>>>,
    /// The filters whose roots live here, in the order of nginx.conf.
    filters: Vec<Arc<Filter>>,
    /// `wasm_call` lines name it.
    called: bool,
    module: usize,
    metrics: Option<Arc<Scope>>,
    meter: Option<Rc<Meter>>,
    state: RefCell<State>,
    ticks: RefCell<Vec<Rc<Tick>>>,
    /// Starts the VM again when nobody asks for it: its ticks are wanted even without requests.
    restart: Timer,
    idle: RefCell<Idle>,
    /// How many VMs, one after the other, could not be put back, or were not prepared for it.
    unfit: Cell<u8>,
}

/// VMs that have served a request and are fit for another, the one used last at the end.
struct Idle {
    vms: VecDeque<(Rc<Instance>, usize)>,
    bytes: usize,
    most: usize,
}

impl Idle {
    fn take(&mut self, fits: impl Fn(&Instance) -> bool) -> Option<Rc<Instance>> {
        let at = self.vms.iter().rposition(|(vm, _)| fits(vm))?;
        let (vm, bytes) = self.vms.remove(at)?;
        self.bytes -= bytes;
        Some(vm)
    }

    /// Gives those that there is no room for any more.
    fn put(&mut self, vm: Rc<Instance>, bytes: usize) -> Vec<(Rc<Instance>, usize)> {
        self.vms.push_back((vm, bytes));
        self.bytes += bytes;
        let mut dropped = Vec::new();
        while self.vms.len() > self.most || self.bytes > MOST_IDLE_BYTES {
            let Some(oldest) = self.vms.pop_front() else { break };
            self.bytes -= oldest.1;
            dropped.push(oldest);
        }
        dropped
    }
}

impl Slot {
    pub(super) fn new(conf: &WasmConf, module: usize, metrics: Option<&Metrics>) -> Self {
        let filters = conf.filters.iter().filter(|filter| filter.module.get() == Some(&module)).cloned().collect();
        let restart = Timer::new(move || {
            super::with(|worker| {
                if let Some(slot) = worker.slots.get(module) {
                    slot.running(worker);
                }
            });
        });
        let program = conf.modules.get(module).and_then(|module| module.program.clone());
        let named = metrics.zip(program.as_ref());
        Self {
            metrics: named.map(|(metrics, program)| metrics.scope(program.name())),
            meter: named.and_then(|(metrics, program)| metrics.meter(program.name(), program.engine())),
            program,
            filters,
            called: conf.calls_module(module),
            module,
            state: RefCell::new(State::Vacant),
            ticks: RefCell::default(),
            restart,
            // Half of the pool is left to others.
            idle: RefCell::new(Idle {
                vms: VecDeque::new(),
                bytes: 0,
                most: (conf.instances as usize / 2 / conf.modules.len().max(1)).min(MOST_IDLE),
            }),
            unfit: Cell::new(0),
        }
    }

    /// The index of its module.
    pub(super) fn module(&self) -> usize {
        self.module
    }

    /// A VM for one request with these filters: one that has served another, or a new one.
    pub(super) fn instance<'a>(
        &self,
        filters: impl Iterator<Item = &'a Arc<Filter>> + Clone,
        worker: &Worker,
        log: Log<'_>,
    ) -> Option<Rc<Instance>> {
        let ids = filters.clone().map(|filter| filter.id);
        if let Some(instance) = self.idle.borrow_mut().take(|idle| idle.has_roots(ids.clone())) {
            return Some(instance);
        }
        let program = self.program.as_ref()?;
        let vm = worker.next_vm();
        let host = WorkerHost::for_stream(worker.environ.clone(), worker.shared.clone(), self.metrics.clone(), vm);
        let filters: Vec<_> = filters.cloned().collect();
        let mut instance = Instance::start(program, host, VmKind::Stream, &filters, self.meter.as_ref())
            .inspect_err(|error| self.start_failed(log, &**program, error))
            .ok()?;
        worker.warn_of_overflow(log);
        if self.unfit.get() >= UNFIT {
            self.unfit.set(self.unfit.get().wrapping_add(1));
        } else if self.idle.borrow().most > 0 {
            instance.make_reusable();
        }
        let instance = Rc::new(instance);
        worker.register(vm, &instance);
        Some(instance)
    }

    /// Takes back a VM that has served a request, for the next.
    pub(super) fn take_back(&self, instance: Rc<Instance>) {
        // The worker's list of VMs has weak references to it, which do not count.
        if Rc::strong_count(&instance) > 1 {
            return;
        }
        let Some(bytes) = instance.reuse() else {
            self.unfit.set(self.unfit.get().saturating_add(1));
            return;
        };
        self.unfit.set(0);
        let dropped = self.idle.borrow_mut().put(instance, bytes);
        drop(dropped);
    }

    /// The running VM, started now if it can be. A module that is not in use has none.
    pub(super) fn running(&self, worker: &Worker) -> Option<Rc<Instance>> {
        let pause = match &*self.state.borrow() {
            State::Running(instance) => return Some(instance.clone()),
            State::Starting => return None,
            State::Waiting { until, .. } if Instant::now() < *until => return None,
            State::Waiting { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
            State::Vacant => FIRST_PAUSE,
        };
        self.start(worker, pause)
    }

    fn start(&self, worker: &Worker, pause: Duration) -> Option<Rc<Instance>> {
        let program = self.program.as_ref().filter(|_| self.called || !self.filters.is_empty())?;
        self.state.replace(State::Starting);
        let (shared, metrics) = (worker.shared.clone(), self.metrics.clone());
        let vm = worker.next_vm();
        let host = WorkerHost::for_roots(worker.environ.clone(), shared, metrics, self.module, vm);
        match Instance::start(program, host, VmKind::Root, &self.filters, self.meter.as_ref()) {
            Ok(instance) => {
                let instance = Rc::new(instance);
                worker.register(vm, &instance);
                self.state.replace(State::Running(instance.clone()));
                Some(instance)
            }
            Err(error) => {
                self.start_failed(Log::cycle(), &**program, &error);
                worker.receivers.forget(self.module);
                self.stop_ticks();
                self.state.replace(State::Waiting { until: Instant::now() + pause, pause });
                self.restart.start(pause);
                None
            }
        }
    }

    /// Tells a root context of its queue; false when there is no VM that could be told.
    pub(super) fn queue_ready(&self, worker: &Worker, root: u32, queue: u32) -> bool {
        self.current().is_some_and(|instance| instance.queue_ready(root, queue, worker.time_limit).is_ok())
    }

    fn start_failed(&self, log: Log<'_>, program: &dyn Program<WorkerHost>, failure: &StartError) {
        instance::log_start_failure(log, program, !self.filters.is_empty(), failure);
        if let Some((meter, trap)) = self.meter.as_ref().zip(failure.trap()) {
            meter.trapped(trap.kind() == TrapKind::Deadline);
        }
    }

    pub(super) fn filter_failed(&self) {
        if let Some(meter) = &self.meter {
            meter.failed();
        }
    }

    fn current(&self) -> Option<Rc<Instance>> {
        match &*self.state.borrow() {
            State::Running(instance) => Some(instance.clone()),
            _ => None,
        }
    }

    pub(super) fn holds(&self, instance: &Rc<Instance>) -> bool {
        matches!(&*self.state.borrow(), State::Running(running) if Rc::ptr_eq(running, instance))
    }

    /// Drops a VM that died; a fresh one starts from the event loop, or with the next request if that comes first.
    pub(super) fn replace(&self) {
        if let Some(meter) = &self.meter {
            meter.restarted();
        }
        self.state.replace(State::Vacant);
        self.stop_ticks();
        self.restart.start(Duration::ZERO);
    }

    fn stop_ticks(&self) {
        for tick in self.ticks.take() {
            tick.period.set(None);
            tick.timer.stop();
        }
    }

    pub(super) fn set_tick_period(&self, module: usize, root: u32, period: Option<Duration>) {
        let known = self.ticks.borrow().iter().find(|tick| tick.root == root).cloned();
        let tick = known.unwrap_or_else(|| {
            let timer = Timer::new(move || {
                super::with(|worker| worker.tick(module, root));
            });
            let tick = Rc::new(Tick { root, period: Cell::new(None), timer });
            self.ticks.borrow_mut().push(tick.clone());
            tick
        });
        tick.period.set(period);
        match period {
            Some(period) => tick.timer.start(period),
            None => tick.timer.stop(),
        }
    }

    pub(super) fn tick(&self, worker: &Worker, root: u32) {
        let Some(instance) = self.current() else { return };
        let Some(tick) = self.ticks.borrow().iter().find(|tick| tick.root == root).cloned() else { return };
        let before = tick.period.get();
        let _ = instance.tick(root, worker.time_limit);
        // A period that the callback set has armed the timer already.
        if let Some(period) = tick.period.get().filter(|period| Some(*period) == before) {
            tick.timer.start(period);
        }
    }
}
