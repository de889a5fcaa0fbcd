//! A running VM, shared by the requests that hold contexts in it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engines::{Trap, TrapKind};
use ngx::{Log, Timer, error};

use super::WorkerHost;
use super::metrics::Meter;
use crate::conf::Filter;
use crate::dispatch::Caller;
use crate::http::Stream;
use crate::proxy_wasm::abi::Action;
use crate::proxy_wasm::vm::{CallResponse, Callback, GrpcEvent, Program, StartError, Vm, VmError, VmKind};
use crate::raw::Running;

/// A callback that did not run to its end. It has been logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure;

/// One VM and the ids of its root contexts.
pub struct Instance {
    vm: RefCell<Box<dyn Vm<WorkerHost>>>,
    program: Arc<dyn Program<WorkerHost>>,
    /// Filter id and root context id, in the order of their start.
    roots: Vec<(u32, u32)>,
    dead: Cell<bool>,
    /// It can be put back to what it was before its first stream.
    reusable: bool,
    /// Ends the contexts that wait for `proxy_done` too long.
    expiry: OnceCell<Timer>,
    measured: Option<Measured>,
}

impl Instance {
    pub(super) fn start(
        program: &Arc<dyn Program<WorkerHost>>,
        host: WorkerHost,
        kind: VmKind,
        filters: &[Arc<Filter>],
        meter: Option<&Rc<Meter>>,
    ) -> Result<Self, StartError> {
        let mut vm = program.clone().start(host, kind)?;
        let mut roots = Vec::with_capacity(filters.len());
        for filter in filters {
            roots.push((filter.id, vm.add_root(filter.config.clone())?));
        }
        let measured = meter.map(|meter| Measured::new(meter, vm.memory_size()));
        let (vm, program) = (RefCell::new(vm), program.clone());
        Ok(Self { vm, program, roots, dead: Cell::new(false), reusable: false, expiry: OnceCell::new(), measured })
    }

    /// Lets it serve one request after the other, if its engine can put it back in between.
    pub(super) fn make_reusable(&mut self) {
        self.reusable = self.vm.get_mut().remember();
    }

    /// Whether [`Instance::reuse`] may succeed.
    pub fn reusable(&self) -> bool {
        self.reusable && self.alive()
    }

    /// Makes it fit for another request; the bytes that it holds meanwhile.
    pub(super) fn reuse(&self) -> Option<usize> {
        self.vm.try_borrow_mut().ok()?.rewind()
    }

    /// Whether its roots are those of the filters of these ids.
    pub(super) fn has_roots(&self, filters: impl Iterator<Item = u32>) -> bool {
        self.roots.iter().map(|(id, _)| *id).eq(filters)
    }

    pub fn alive(&self) -> bool {
        !self.dead.get()
    }

    /// Reserves a context for a stream of the filter of that id; `None` when this VM has no root for it.
    pub fn open(&self, filter: u32, stream: Stream) -> Option<u32> {
        let root = self.roots.iter().find(|(id, _)| *id == filter)?.1;
        let context = self.vm.try_borrow_mut().ok()?.open(root, stream);
        self.count_contexts(1);
        Some(context)
    }

    /// Runs a callback of a stream context.
    ///
    /// # Errors
    /// When it trapped, or the VM had died: then every other stream of this VM has been told.
    pub fn call(
        self: &Rc<Self>,
        context: u32,
        callback: Callback,
        limit: Option<Duration>,
        log: Log<'_>,
    ) -> Result<Action, Failure> {
        if self.measured.is_some() && !self.program.callbacks().contains(callback.kind()) {
            return Ok(Action::Continue);
        }
        self.enter(log, |vm| vm.call(context, callback, limit))
    }

    /// Runs the raw function at that index of those that are named of its module.
    ///
    /// # Errors
    /// As in [`Instance::call`].
    pub fn call_function(
        self: &Rc<Self>,
        index: usize,
        running: Running<Stream>,
        limit: Option<Duration>,
        log: Log<'_>,
    ) -> Result<(), Failure> {
        self.enter(log, |vm| vm.call_function(index, running, limit))
    }

    /// Ends a stream context: done, log, delete.
    pub fn close(self: &Rc<Self>, context: u32, limit: Option<Duration>, log: Log<'_>) -> Result<(), Failure> {
        self.count_contexts(-1);
        if let Some(wait) = self.enter(log, |vm| vm.close(context, limit))? {
            self.expire_after(wait);
        }
        Ok(())
    }

    #[cold]
    fn expire_after(self: &Rc<Self>, wait: Duration) {
        let timer = self.expiry.get_or_init(|| {
            let instance = Rc::downgrade(self);
            Timer::new(move || {
                if let Some(instance) = instance.upgrade() {
                    instance.expire();
                }
            })
        });
        if !timer.is_running() {
            timer.start(wait);
        }
    }

    fn expire(self: &Rc<Self>) {
        let limit = super::with(|worker| worker.time_limit).flatten();
        if let Ok(Some(wait)) = self.enter(Log::cycle(), |vm| vm.expire(limit)) {
            self.expire_after(wait);
        }
    }

    /// Forgets a stream without a word to the guest.
    pub fn detach(&self, context: u32) {
        self.count_contexts(-1);
        if let Ok(mut vm) = self.vm.try_borrow_mut() {
            vm.detach(context);
        }
    }

    pub(super) fn tick(self: &Rc<Self>, root: u32, limit: Option<Duration>) -> Result<(), Failure> {
        self.enter(Log::cycle(), |vm| vm.tick(root, limit))
    }

    pub(super) fn queue_ready(self: &Rc<Self>, root: u32, queue: u32, limit: Option<Duration>) -> Result<(), Failure> {
        self.enter(Log::cycle(), |vm| vm.queue_ready(root, queue, limit))
    }

    /// The answer of an HTTP call. A failure has been logged, and told to all that depend on this VM.
    pub(super) fn http_call_response(self: &Rc<Self>, caller: &Caller, response: CallResponse) {
        let answer = |vm: &mut dyn Vm<WorkerHost>| vm.http_call_response(caller.id.token, response, caller.time_limit);
        let _ = self.enter(caller.log_of(), answer);
    }

    /// What came of a gRPC call.
    pub(super) fn grpc_event(self: &Rc<Self>, caller: &Caller, event: GrpcEvent) {
        let tell = |vm: &mut dyn Vm<WorkerHost>| vm.grpc_event(caller.id.token, event, caller.time_limit);
        let _ = self.enter(caller.log_of(), tell);
    }

    /// Whether a context waits for answers.
    pub fn has_calls(&self, context: u32) -> bool {
        self.vm.try_borrow_mut().is_ok_and(|mut vm| vm.has_calls(context))
    }

    fn enter<R>(
        self: &Rc<Self>,
        log: Log<'_>,
        call: impl FnOnce(&mut dyn Vm<WorkerHost>) -> Result<R, VmError>,
    ) -> Result<R, Failure> {
        let answer = match self.vm.try_borrow_mut() {
            Ok(mut vm) => match &self.measured {
                None => call(&mut **vm),
                Some(measured) => measured.call(&mut **vm, call),
            },
            Err(_) => {
                error!(log, "[wasm] a running VM was entered again <{}>", self.program.describe());
                return Err(Failure);
            }
        };
        match answer {
            Ok(value) => Ok(value),
            Err(VmError::Trap(trap)) => {
                log_trap(log, &*self.program, &trap);
                self.die();
                Err(Failure)
            }
            Err(VmError::Dead | VmError::NoContext) => Err(Failure),
        }
    }

    #[inline]
    fn count_contexts(&self, change: i64) {
        if let Some(measured) = &self.measured {
            measured.count_contexts(change);
        }
    }

    /// Tells, once, everyone who depends on this VM.
    fn die(self: &Rc<Self>) {
        if self.dead.replace(true) {
            return;
        }
        let streams = self.vm.try_borrow_mut().map(|mut vm| vm.streams()).unwrap_or_default();
        for stream in streams {
            stream.instance_died(self);
        }
        super::with(|worker| worker.instance_died(self));
    }
}

/// What is measured of an instance, for the status page.
struct Measured {
    meter: Rc<Meter>,
    contexts: Cell<i64>,
    /// The bytes of linear memory that were told.
    memory: Cell<i64>,
}

impl Measured {
    fn new(meter: &Rc<Meter>, memory: usize) -> Self {
        meter.instances(1);
        let measured = Self { meter: meter.clone(), contexts: Cell::new(0), memory: Cell::new(0) };
        measured.tell_memory(memory);
        measured
    }

    fn call<R>(
        &self,
        vm: &mut dyn Vm<WorkerHost>,
        call: impl FnOnce(&mut dyn Vm<WorkerHost>) -> Result<R, VmError>,
    ) -> Result<R, VmError> {
        let begun = Instant::now();
        let answer = call(vm);
        self.meter.called(begun.elapsed());
        if let Err(VmError::Trap(trap)) = &answer {
            self.meter.trapped(trap.kind() == TrapKind::Deadline);
        }
        self.tell_memory(vm.memory_size());
        answer
    }

    fn tell_memory(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let change = bytes - self.memory.replace(bytes);
        if change != 0 {
            self.meter.memory(change);
        }
    }

    fn count_contexts(&self, change: i64) {
        let change = change.max(-self.contexts.get());
        self.contexts.set(self.contexts.get() + change);
        self.meter.contexts(change);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.meter.instances(-1);
        self.meter.contexts(-self.contexts.get());
        self.meter.memory(-self.memory.get());
    }
}

/// The part of a log line that says which instance it is about (directives.md, "Log lines").
pub(super) trait Describe {
    fn describe(&self) -> String;
}

impl Describe for dyn Program<WorkerHost> + '_ {
    fn describe(&self) -> String {
        format!("module: \"{}\", vm: \"main\", runtime: \"{}\"", self.name(), self.engine())
    }
}

fn log_trap(log: Log<'_>, program: &dyn Program<WorkerHost>, trap: &Trap) {
    match trap.backtrace() {
        Some(backtrace) => error!(log, "[wasm] {trap} {backtrace} <{}>", program.describe()),
        None => error!(log, "[wasm] {trap} <{}>", program.describe()),
    }
}

/// Logs why a VM did not start: the trap, if it was one, then what it means.
pub(super) fn log_start_failure(
    log: Log<'_>,
    program: &dyn Program<WorkerHost>,
    is_filter: bool,
    failure: &StartError,
) {
    if let Some(trap) = failure.trap() {
        log_trap(log, program, trap);
    }
    let name = program.name();
    if is_filter {
        error!(log, "[proxy-wasm] failed initializing \"{name}\" filter ({failure})");
    } else {
        error!(log, "[wasm] failed initializing \"{name}\" module ({failure})");
    }
}
