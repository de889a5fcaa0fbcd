//! The configuration: directives, read into typed values and checked as a whole.
//!
//! One run of `nginx -t` shows every mistake. Handlers log theirs with file and line, remember that there was one and
//! let nginx read on; [`init_conf`] does what can only be done at the end (names, compiling, linking, a trial start of
//! each filter), and then the configuration fails.

mod args;
mod artefacts;
mod cache;
mod chain;
mod dispatch;
mod engines;
mod http;
mod load;
mod metrics;
mod module;
mod problems;
mod shm;
mod status;
mod trial;
mod values;
mod wasm_block;

use std::sync::Arc;
use std::time::Duration;

use ngx::{Cycle, Failed, Level};

pub use self::chain::{Call, Chain, Filter, Link};
pub use self::dispatch::{DispatchConf, DispatchMain, Hosts, Tls};
pub use self::http::{DIRECTIVES as HTTP_DIRECTIVES, HttpConf, LocConf};
pub use self::metrics::MetricsConf;
pub use self::module::Module;
use self::problems::{At, Problems};
pub use self::shm::{DEFAULT as DEFAULT_SHM, Kind as ShmKind, ShmZone};
pub use self::values::{FailurePolicy, Isolation};
pub use self::wasm_block::DIRECTIVES as CORE_DIRECTIVES;
use self::wasm_block::Settings;
use crate::engine::Runtime;

/// What `wasm {}` says, and what the `http {}` side asks of it.
pub struct WasmConf {
    /// In the order of nginx.conf.
    pub modules: Vec<Module>,
    /// Every `proxy_wasm` line, by [`Filter::id`].
    pub filters: Vec<Arc<Filter>>,
    /// Every `wasm_call` line.
    pub wasm_calls: Vec<Arc<Call>>,
    /// The engines in use, from [`init_conf`] on.
    pub runtimes: Vec<Arc<dyn Runtime>>,
    /// What guests read as their environment.
    pub environ: Arc<[Vec<u8>]>,
    /// For callbacks, where `http {}` says nothing else; `None` is no limit.
    pub time_limit: Option<Duration>,
    /// For start, `on_vm_start` and `on_configure`; `None` is no limit.
    pub start_limit: Option<Duration>,
    /// Where `http {}` says nothing else.
    pub failure_policy: FailurePolicy,
    /// The most pooled instances of a worker.
    pub instances: u32,
    /// The most linear memory of an instance, in bytes.
    pub memory_limit: u64,
    /// Whether traps are logged with the guest's frames.
    pub backtraces: bool,
    /// Zones of shared data and queues, those included that nobody declared.
    pub shm: Vec<ShmZone>,
    /// Whether there are queues.
    pub queues: bool,
    pub metrics: MetricsConf,
    /// How filters call.
    pub dispatch: DispatchMain,

    /// Where the block stands; `None` without one.
    block: Option<At>,
    settings: Settings,
    calls: dispatch::MainCalls,
    engines: engines::Engines,
    caches: artefacts::Caches,
    /// The directives of `http {}` that make no sense without the block.
    dependents: Vec<(String, At)>,
    /// Time limits of `http {}`.
    http_limits: Vec<Duration>,
    problems: Problems,
    /// Lines for the log that [`announce`] writes: when they arise, nginx has not opened its logs yet.
    journal: Vec<(Level, String)>,
}

impl Default for WasmConf {
    fn default() -> Self {
        let defaults = ::engines::Config::default();
        Self {
            modules: Vec::new(),
            filters: Vec::new(),
            wasm_calls: Vec::new(),
            runtimes: Vec::new(),
            environ: Arc::default(),
            time_limit: Some(Duration::from_secs(1)),
            start_limit: Some(Duration::from_secs(60)),
            failure_policy: FailurePolicy::default(),
            instances: defaults.instances,
            memory_limit: defaults.memory_limit,
            backtraces: defaults.backtraces,
            shm: Vec::new(),
            queues: false,
            metrics: MetricsConf::default(),
            dispatch: DispatchMain::default(),
            block: None,
            settings: Settings::default(),
            calls: dispatch::MainCalls::default(),
            engines: engines::Engines::default(),
            caches: artefacts::Caches::default(),
            dependents: Vec::new(),
            http_limits: Vec::new(),
            problems: Problems::default(),
            journal: Vec::new(),
        }
    }
}

impl WasmConf {
    /// The shortest time limit anywhere: clocks have to be that fine. `None` when nothing is limited.
    pub fn shortest_limit(&self) -> Option<Duration> {
        let own = [self.time_limit, self.start_limit];
        own.into_iter().flatten().chain(self.http_limits.iter().copied()).min()
    }

    /// The filters of the module at that index, in the order of nginx.conf.
    fn filters_of(&self, module: usize) -> Vec<Arc<Filter>> {
        self.filters.iter().filter(|filter| filter.module.get() == Some(&module)).cloned().collect()
    }

    /// Whether a `wasm_call` line names the module at that index.
    pub fn calls_module(&self, module: usize) -> bool {
        self.wasm_calls.iter().any(|call| call.module.get() == Some(&module))
    }

    /// The functions of a module that `wasm_call` lines name, each once.
    fn functions_of(&self, module: &str) -> Vec<&str> {
        let mut functions = Vec::new();
        for call in self.wasm_calls.iter().filter(|call| call.name == module) {
            if !functions.contains(&call.function.as_str()) {
                functions.push(&call.function);
            }
        }
        functions
    }

    fn note(&mut self, level: Level, line: String) {
        self.journal.push((level, line));
    }
}

/// Ends the reading of the configuration: everything that can fail is done here, since a failure later would end a
/// running nginx.
///
/// # Errors
/// When anything was wrong; all of it has been logged.
pub fn init_conf(cycle: Cycle<'_>, conf: &mut WasmConf) -> Result<(), Failed> {
    let log = cycle.log();
    wasm_block::settle(conf);
    dispatch::settle(cycle, conf);
    if conf.block.is_some() {
        load::run(cycle, conf);
    } else {
        for (name, at) in std::mem::take(&mut conf.dependents) {
            conf.problems.tell(log, &at, format_args!("{}", without_block(&name)));
        }
    }
    if conf.problems.any() {
        announce(cycle, conf);
        return Err(Failed);
    }
    metrics::add_zone(cycle, conf)
}

/// The mistake of a directive of `http {}` that makes no sense without `wasm {}`.
fn without_block(name: &str) -> String {
    match name {
        // The block has the resolver that its hosts are known to.
        "resolver_add" => "no resolver defined and no default resolver".to_owned(),
        _ => format!("\"{name}\" directive is specified but config has no \"wasm\" section"),
    }
}

/// Writes what happened while the configuration was loaded, into the logs that it names.
pub fn announce(cycle: Cycle<'_>, conf: &WasmConf) {
    for (level, line) in &conf.journal {
        cycle.log().write(*level, format_args!("{line}"));
    }
}
