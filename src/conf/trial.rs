//! The trial start: each filter, and each module that is called, is started once in the master, in an instance that is dropped, so that one that
//! says no fails `nginx -t` and a reload rather than the workers.

use std::sync::Arc;

use ::engines::Ticker;
use ngx::{Log, error};

use super::load::describe;
use super::{Call, Filter, WasmConf, metrics};
use crate::proxy_wasm::vm::{Program, StartError, Vm, VmKind};
use crate::worker::WorkerHost;
use crate::worker::metrics::Scope;

/// Starts every module that is in use, with its filters. No thread is left when it returns: nginx is about to fork.
pub fn run(log: Log<'_>, conf: &mut WasmConf) {
    let _tickers = clocks(conf);
    let store = metrics::for_trial(conf);
    for index in 0..conf.modules.len() {
        let Some(program) = conf.modules[index].program.clone() else { continue };
        let filters = conf.filters_of(index);
        check_functions(log, conf, index, &*program);
        if filters.is_empty() {
            if conf.calls_module(index) {
                let scope = metrics::scope(store.as_ref(), program.name());
                start_alone(log, conf, index, &program, scope);
            }
            continue;
        }
        for filter in &filters {
            // The only place where it is set.
            _ = filter.callbacks.set(program.callbacks());
        }
        match program.check_abi() {
            Ok(()) => start(log, conf, &program, &filters, metrics::scope(store.as_ref(), program.name())),
            Err(error) => conf.problems.tell(log, &conf.modules[index].at, format_args!("[proxy-wasm] {error}")),
        }
    }
}

/// The clocks by which start limits are seen, until they are dropped.
fn clocks(conf: &WasmConf) -> Vec<Ticker> {
    match conf.start_limit {
        Some(limit) if !(conf.filters.is_empty() && conf.wasm_calls.is_empty()) => {
            conf.runtimes.iter().filter_map(|r| r.ticker(limit)).collect()
        }
        _ => Vec::new(),
    }
}

/// Tells the functions that are called and not there.
fn check_functions(log: Log<'_>, conf: &mut WasmConf, module: usize, program: &dyn Program<WorkerHost>) {
    let missing = |call: &&Arc<Call>| call.module.get() == Some(&module) && !program.has_function(call.index);
    for call in conf.wasm_calls.iter().filter(missing) {
        let text = format_args!("no \"{}\" function defined in \"{}\" module", call.function, call.name);
        conf.problems.tell(log, &call.at, text);
    }
}

/// Starts a module that is called and is no filter.
fn start_alone(
    log: Log<'_>,
    conf: &mut WasmConf,
    module: usize,
    program: &Arc<dyn Program<WorkerHost>>,
    metrics: Option<Arc<Scope>>,
) {
    let started = program.clone().start(WorkerHost::trial(conf, metrics), VmKind::Root);
    if let Err(failure) = started {
        let name = program.name();
        log_trap(log, &**program, &failure);
        let text = format_args!("[wasm] failed initializing \"{name}\" module ({failure})");
        conf.problems.tell(log, &conf.modules[module].at, text);
    }
}

/// Starts the filters of one module as a worker does: one instance with a root context for each.
fn start(
    log: Log<'_>,
    conf: &mut WasmConf,
    program: &Arc<dyn Program<WorkerHost>>,
    filters: &[Arc<Filter>],
    metrics: Option<Arc<Scope>>,
) {
    let mut vm: Option<Box<dyn Vm<WorkerHost>>> = None;
    for filter in filters {
        let running = match vm.take().filter(|vm| vm.alive()) {
            Some(running) => Ok(running),
            None => program.clone().start(WorkerHost::trial(conf, metrics.clone()), VmKind::Root),
        };
        match running {
            Ok(mut running) => {
                if let Err(failure) = running.add_root(filter.config.clone()) {
                    tell(log, conf, &**program, filter, &failure);
                }
                vm = Some(running);
            }
            Err(failure) => {
                // It would fail for the others as well.
                tell(log, conf, &**program, filter, &failure);
                return;
            }
        }
    }
}

/// Tells why a filter did not start: the trap, if it was one, then what it means.
fn tell(log: Log<'_>, conf: &mut WasmConf, program: &dyn Program<WorkerHost>, filter: &Filter, failure: &StartError) {
    let name = program.name();
    log_trap(log, program, failure);
    let text = format_args!("[proxy-wasm] failed initializing \"{name}\" filter ({failure})");
    conf.problems.tell(log, &filter.at, text);
}

fn log_trap(log: Log<'_>, program: &dyn Program<WorkerHost>, failure: &StartError) {
    if let Some(trap) = failure.trap() {
        let backtrace = trap.backtrace().map(|frames| format!(" {frames}")).unwrap_or_default();
        error!(log, "[wasm] {trap}{backtrace} <{}>", describe(program.name(), program.engine()));
    }
}
