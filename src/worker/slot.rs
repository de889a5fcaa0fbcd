//! The place of one module in a worker: its VM of root contexts, their ticks, and the back-off when it does not start.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ngx::{Log, Timer};

use super::instance::{self, Instance};
use super::{Worker, WorkerHost};
use crate::conf::{Filter, WasmConf};
use crate::proxy_wasm::vm::{Program, VmKind};

/// The pause after a first failed start; it doubles with each further one (proxy-wasm.md, "Contexts").
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

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
    module: usize,
    state: RefCell<State>,
    ticks: RefCell<Vec<Rc<Tick>>>,
    /// Starts the VM again when nobody asks for it: its ticks are wanted even without requests.
    restart: Timer,
}

impl Slot {
    pub(super) fn new(conf: &WasmConf, module: usize) -> Self {
        let filters = conf.filters.iter().filter(|filter| filter.module.get() == Some(&module)).cloned().collect();
        let restart = Timer::new(move || {
            super::with(|worker| {
                if let Some(slot) = worker.slots.get(module) {
                    slot.running(worker);
                }
            });
        });
        Self {
            program: conf.modules.get(module).and_then(|module| module.program.clone()),
            filters,
            module,
            state: RefCell::new(State::Vacant),
            ticks: RefCell::default(),
            restart,
        }
    }

    pub(super) fn program(&self) -> Option<&Arc<dyn Program<WorkerHost>>> {
        self.program.as_ref()
    }

    /// The running VM, started now if it can be. A module that no filter names has none.
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
        let program = self.program.as_ref().filter(|_| !self.filters.is_empty())?;
        self.state.replace(State::Starting);
        let host = WorkerHost::for_roots(worker.environ.clone(), self.module);
        match Instance::start(program, host, VmKind::Root, &self.filters) {
            Ok(instance) => {
                let instance = Rc::new(instance);
                self.state.replace(State::Running(instance.clone()));
                Some(instance)
            }
            Err(error) => {
                instance::log_start_failure(Log::cycle(), &**program, &error);
                self.stop_ticks();
                self.state.replace(State::Waiting { until: Instant::now() + pause, pause });
                self.restart.start(pause);
                None
            }
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
