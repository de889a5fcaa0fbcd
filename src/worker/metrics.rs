//! A worker's metrics: the zone that all workers share, and what this one measures of its modules.

use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread::available_parallelism;

use ngx::process::{self, Kind};
use ngx::shm::{self, Zone};
use ngx::{Failed, Log, error, warn};

use crate::conf::WasmConf;
use crate::metrics::{self, Memory, Plain, Process, Store, Usage};

/// Workers that have a row of their own, even on a small machine.
const LEAST_ROWS: usize = 16;

/// Where metrics live.
#[derive(Clone)]
pub enum Place {
    Zone(Lent),
    /// During starts on trial.
    Plain(Plain),
}

/// A zone's memory. In an nginx of one process, where workers are not replaced, a reload can take it away: then what was in
/// it is here.
#[derive(Clone)]
pub struct Lent {
    memory: shm::Memory,
    taken: Arc<OnceLock<Plain>>,
}

impl Lent {
    fn new(memory: shm::Memory) -> Self {
        Self { memory, taken: Arc::default() }
    }
}

impl Memory for Place {
    #[inline]
    fn words(&self) -> &[AtomicU64] {
        match self {
            Self::Zone(Lent { memory, taken }) => match taken.get() {
                None => memory.flat(),
                Some(copy) => copy.words(),
            },
            Self::Plain(memory) => memory.words(),
        }
    }

    fn exclusively<R>(&self, f: impl FnOnce() -> R) -> R {
        match self {
            Self::Zone(Lent { memory, taken }) => {
                let _locked = taken.get().is_none().then(|| memory.lock());
                f()
            }
            Self::Plain(memory) => memory.exclusively(f),
        }
    }
}

/// What a module sees of the metrics.
pub type Scope = metrics::Scope<Place>;
/// What is measured of a module.
pub type Meter = metrics::Meter<Place>;

/// Makes a new zone ready. One that is kept is in use, and is left alone.
pub struct Layout;

impl shm::Layout for Layout {
    fn init(memory: shm::Memory, _kept: bool) -> Result<(), Failed> {
        let rows = available_parallelism().map_or(LEAST_ROWS, |cores| cores.get().max(LEAST_ROWS));
        Store::format(&Place::Zone(Lent::new(memory)), rows).map_err(|_| {
            error!(Log::cycle(), "[wasm] the zone of metrics is too small");
            Failed
        })
    }
}

/// The metrics of this process.
pub(super) struct Metrics {
    store: Store<Place>,
    lent: Lent,
    /// There while a status page is configured.
    measured: bool,
    process: Option<Process<Place>>,
}

impl Metrics {
    /// `None` when nothing is configured that has a use for them.
    pub fn open(conf: &WasmConf) -> Option<Self> {
        let lent = Lent::new(conf.metrics.zone?.memory()?);
        let store = conf.metrics.open(Place::Zone(lent.clone()), process::worker_index())?;
        let measured = conf.metrics.status;
        let process = if measured { register(&store) } else { None };
        Some(Self { store, lent, measured, process })
    }

    /// Keeps what there is if the zone of `conf` is another one.
    pub fn zone_changed(&self, conf: &WasmConf) {
        let memory = conf.metrics.zone.and_then(Zone::memory);
        if memory != Some(self.lent.memory) {
            self.lent.taken.get_or_init(|| Plain::copy_of(self.lent.memory.flat()));
        }
    }

    pub fn scope(&self, module: &str) -> Arc<Scope> {
        Arc::new(Scope::new(self.store.clone(), module))
    }

    /// Begins to measure a module, if that is asked for.
    pub fn meter(&self, module: &str, engine: &str) -> Option<Rc<Meter>> {
        if !self.measured {
            return None;
        }
        let meter = Meter::new(&self.store, self.process.as_ref(), module, engine).map(Rc::new).ok();
        if meter.is_none() {
            warn!(Log::cycle(), "[wasm] module \"{module}\" is not measured: raise \"slab_size\" in \"metrics\"");
        }
        meter
    }

    pub fn store(&self) -> &Store<Place> {
        &self.store
    }

    /// What is measured of each module, and how many workers there are.
    pub fn usages(&self) -> (Vec<Usage>, usize) {
        self.store.usages(lives)
    }
}

/// Helper processes of nginx serve no request.
fn register(store: &Store<Place>) -> Option<Process<Place>> {
    match process::kind() {
        Kind::Worker | Kind::Single => Process::register(store, u32::try_from(process::pid()).ok()?, lives),
        _ => None,
    }
}

/// Whether a process lives. Where there is no `/proc`, all do.
fn lives(pid: u32) -> bool {
    let there = |what: &str| std::fs::exists(format!("/proc/{what}")).unwrap_or(true);
    there(&pid.to_string()) || !there("self")
}
