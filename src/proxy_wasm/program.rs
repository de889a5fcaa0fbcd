//! Programs and VMs over any engine: the one implementation of [`Program`] and [`Vm`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use engines::{ImportError, Instance, Plan, Trap, WasmEngine, Wiring};

use super::abi::{Action, LogLevel};
use super::calls::{Answer, Content};
use super::context::Stage;
use super::exports::{self, ALLOCATORS, Funcs, Marker, Slots};
use super::functions::{self, Function};
use super::host::Host;
use super::hostcalls;
use super::snapshot::{Room, Snapshot};
use super::state::State;
use super::vm::{
    AbiError, CallResponse, Callback, Callbacks, FilterConfig, GrpcEvent, MAX_WAITING, Program, StartError, Vm,
    VmConfig, VmError, VmKind,
};
use crate::raw::Running as RunningRaw;
use crate::{raw, wasi};

const WIRING: Wiring = Wiring { memory: "memory", allocators: ALLOCATORS };

/// Links a compiled module against the Proxy-Wasm host.
///
/// # Errors
/// Every import that the host lacks, or has with another type.
pub fn load<E: WasmEngine, H: Host>(
    engine: Arc<E>,
    module: &E::Module,
    config: VmConfig,
) -> Result<Arc<dyn Program<H>>, Vec<ImportError>> {
    let mut linker = engine.linker::<State<H>>();
    hostcalls::define(&mut linker);
    raw::define_all(&mut linker);
    wasi::define_all(&mut linker);
    let plan = engine.plan(&linker, module, WIRING)?;
    let slots = Slots::locate(&plan);
    Ok(Arc::new(Loaded {
        marker: Marker::find(&engine.exports(module)),
        has_allocator: ALLOCATORS.iter().any(|name| plan.slot::<(u32,), u32>(name).is_some()),
        callbacks: slots.callbacks(),
        functions: config.functions.iter().map(|name| functions::locate::<E, H>(&plan, name)).collect(),
        engine,
        plan,
        slots,
        config: Arc::new(config),
    }))
}

/// A module linked for an engine.
struct Loaded<E: WasmEngine, H: Host> {
    engine: Arc<E>,
    plan: E::Plan<State<H>>,
    slots: Slots<E, H>,
    marker: Marker,
    has_allocator: bool,
    callbacks: Callbacks,
    /// In the order of [`VmConfig::functions`].
    functions: Vec<Option<Function<E, H>>>,
    config: Arc<VmConfig>,
}

impl<E: WasmEngine, H: Host> Program<H> for Loaded<E, H> {
    fn engine(&self) -> &'static str {
        E::NAME
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    fn check_abi(&self) -> Result<(), AbiError> {
        exports::check(&self.config.name, self.marker, self.has_allocator, self.slots.context_create.is_some())
    }

    fn has_function(&self, index: usize) -> bool {
        self.functions.get(index).is_some_and(Option::is_some)
    }

    fn start(self: Arc<Self>, host: H, kind: VmKind) -> Result<Box<dyn Vm<H>>, StartError> {
        let limit = self.config.start_limit;
        let state = State::new(host, Arc::clone(&self.config), self.marker.version(), kind);
        let instance = self.engine.instantiate(&self.plan, state, limit).map_err(StartError::Start)?;
        let mut vm = Running {
            program: self,
            instance,
            funcs: Funcs::unbound(),
            limit: None,
            alive: true,
            waiting: VecDeque::new(),
            room: Room::default(),
            overflow_told: false,
        };
        vm.set_limit(limit);
        let started = vm.start();
        vm.instance.data().leave();
        started.map_err(StartError::Start)?;
        Ok(Box::new(vm))
    }
}

/// An instance of a program.
struct Running<E: WasmEngine, H: Host> {
    program: Arc<Loaded<E, H>>,
    instance: E::Instance<State<H>>,
    funcs: Funcs<E, H>,
    /// The limit that the instance has now.
    limit: Option<Duration>,
    alive: bool,
    /// Contexts whose `on_done` has answered false, and when; those that are done since are skipped.
    waiting: VecDeque<(u32, Clock)>,
    /// What the copies of their streams may take.
    room: Room,
    overflow_told: bool,
}

/// Calls an entry point if the module has it.
macro_rules! call {
    ($vm:ident.$field:ident($($arg:expr),*)) => {
        match $vm.funcs.$field(&$vm.program.slots, &mut $vm.instance) {
            Some(func) => $vm.instance.call(func, ($($arg,)*)).map(Some),
            None => Ok(None),
        }
    };
}

impl<E: WasmEngine, H: Host> Running<E, H> {
    /// Most calls have the limit of the call before them, and setting one costs.
    fn set_limit(&mut self, limit: Option<Duration>) {
        if self.limit != limit {
            self.instance.set_time_limit(limit);
            self.limit = limit;
        }
    }

    /// `_initialize`, then `main`; or `_start`, and never both.
    fn start(&mut self) -> Result<(), Trap> {
        if call!(self.initialize())?.is_none() {
            call!(self.start())?;
            return Ok(());
        }
        if call!(self.main(0, 0))?.is_none() && call!(self.main_plain())?.is_none() {
            call!(self.main_void())?;
        }
        Ok(())
    }

    /// The guard of every callback: the VM must be alive; a trap in it is its end; what was put off until the guest
    /// has returned is done then, and the contexts' scopes end.
    fn run<T>(
        &mut self,
        limit: Option<Duration>,
        callback: impl FnOnce(&mut Self) -> Result<T, VmError>,
    ) -> Result<T, VmError> {
        if !self.alive {
            return Err(VmError::Dead);
        }
        self.set_limit(limit);
        let mut result = callback(self);
        self.instance.data().leave();
        if result.is_ok() && self.instance.data().has_finished() {
            result = self.delete_finished().and(result);
        }
        if let Err(VmError::Trap(_)) = result {
            self.die();
        }
        result
    }

    #[cold]
    fn die(&mut self) {
        self.alive = false;
        self.instance.data().cancel_all_calls();
    }

    /// Begins a callback for a context; tells the guest of the context if it has not heard of it.
    fn enter(&mut self, context: u32) -> Result<(), VmError> {
        let state = self.instance.data();
        let stage = state.enter(context).ok_or(VmError::NoContext)?;
        if stage == Stage::Reserved { self.create(context) } else { Ok(()) }
    }

    fn create(&mut self, context: u32) -> Result<(), VmError> {
        let state = self.instance.data();
        state.contexts.set_stage(context, Stage::Created);
        let root = state.effective().map_or(0, |scope| scope.root);
        let parent = if root == context { 0 } else { root };
        call!(self.context_create(context, parent))?;
        self.instance.data().reset_effective();
        Ok(())
    }

    /// Creates, starts and configures a root; false from the guest is `None` in the error.
    fn start_root(&mut self, root: u32) -> Result<(), StartError> {
        let missing = || StartError::Configure(None);
        let state = self.instance.data();
        state.enter(root).ok_or_else(missing)?;
        let vm_config_size = size(&state.config.config);
        let config_size = state.filter().map_or(0, |filter| size(&filter.config));

        state.configuring = true;
        call!(self.context_create(root, 0)).map_err(StartError::Create)?;
        let state = self.instance.data();
        state.reset_effective();
        state.configuring = false;
        if state.kind == VmKind::Root {
            let started = call!(self.vm_start(root, vm_config_size));
            if started.map_err(|trap| StartError::VmStart(Some(trap)))? == Some(0) {
                return Err(StartError::VmStart(None));
            }
        }
        let state = self.instance.data();
        state.reset_effective();
        state.configuring = true;
        let configured = call!(self.configure(root, config_size));
        match configured.map_err(|trap| StartError::Configure(Some(trap)))? {
            Some(0) => Err(StartError::Configure(None)),
            _ => Ok(()),
        }
    }

    fn callback(&mut self, id: u32, callback: Callback) -> Result<Action, Trap> {
        let answer = match callback {
            Callback::RequestHeaders { count, end_of_stream } => {
                match call!(self.request_headers(id, count, u32::from(end_of_stream)))? {
                    None => call!(self.request_headers_0_1_0(id, count))?,
                    answer => answer,
                }
            }
            Callback::ResponseHeaders { count, end_of_stream } => {
                match call!(self.response_headers(id, count, u32::from(end_of_stream)))? {
                    None => call!(self.response_headers_0_1_0(id, count))?,
                    answer => answer,
                }
            }
            Callback::RequestBody { size, end_of_stream } => {
                call!(self.request_body(id, size, u32::from(end_of_stream)))?
            }
            Callback::ResponseBody { size, end_of_stream } => {
                call!(self.response_body(id, size, u32::from(end_of_stream)))?
            }
            Callback::RequestTrailers { count } => call!(self.request_trailers(id, count))?,
            Callback::ResponseTrailers { count } => call!(self.response_trailers(id, count))?,
        };
        Ok(answer.map_or(Action::Continue, Action::from_abi))
    }

    /// Gives what has come for a call to the guest, and lets the stream go on that has waited for it.
    fn answer(&mut self, token: u32, content: Content, limit: Option<Duration>) -> Result<(), VmError> {
        if !self.alive {
            return Err(VmError::Dead);
        }
        let Some(answer) = self.instance.data().take_answer(token, content) else {
            return Ok(());
        };
        self.run(limit, |vm| vm.deliver(&answer))?;
        if answer.last {
            self.instance.data().calls_answered(answer.call);
        }
        Ok(())
    }

    /// The callback of an answer. SDKs know by the token whose it is, and take it as the root's.
    fn deliver(&mut self, answer: &Answer) -> Result<(), VmError> {
        let token = answer.call.token;
        let (scope, _) = self.instance.data().contexts.scope(answer.call.context).ok_or(VmError::NoContext)?;
        let root = scope.root;
        self.enter(root)?;
        match &answer.content {
            Content::Http(response) if response.failure.is_some() => {
                call!(self.http_call_response(root, token, 0, 0, 0))?;
            }
            Content::Http(response) => {
                let (headers, trailers) = (size(&response.headers), size(&response.trailers));
                call!(self.http_call_response(root, token, headers, size(&response.body), trailers))?;
            }
            Content::Grpc(GrpcEvent::InitialMetadata(fields)) => {
                call!(self.grpc_initial_metadata(root, token, size(fields)))?;
            }
            Content::Grpc(GrpcEvent::Message(message)) => {
                call!(self.grpc_receive(root, token, size(message)))?;
            }
            Content::Grpc(GrpcEvent::TrailingMetadata(fields)) => {
                call!(self.grpc_trailing_metadata(root, token, size(fields)))?;
            }
            Content::Grpc(GrpcEvent::Close { .. }) => {
                call!(self.grpc_close(root, token, answer.code))?;
            }
        }
        Ok(())
    }

    /// `on_done`, and the rest unless the guest asks to wait.
    fn end(&mut self, context: u32) -> Result<(), VmError> {
        self.enter(context)?;
        let completed = call!(self.done(context))? != Some(0);
        let state = self.instance.data();
        if completed || state.kind == VmKind::Stream || !self.has_room_to_wait() {
            return self.delete(context);
        }
        let state = self.instance.data();
        let (scope, _) = state.contexts.scope(context).ok_or(VmError::NoContext)?;
        let snapshot = match scope.stream.map(|stream| Snapshot::of(&stream, &self.room)) {
            Some(None) => {
                self.tell_of_overflow();
                return self.delete(context);
            }
            Some(Some(snapshot)) => Some(Box::new(snapshot)),
            None => None,
        };
        self.instance.data().contexts.outlive(context, snapshot);
        self.waiting.push_back((context, Clock::now()));
        Ok(())
    }

    /// Whether one more context may wait for `proxy_done`.
    fn has_room_to_wait(&mut self) -> bool {
        if self.waiting.len() < MAX_WAITING {
            return true;
        }
        let state = self.instance.data();
        self.waiting.retain(|(context, _)| state.contexts.stage(*context) == Some(Stage::Pending));
        let room = self.waiting.len() < MAX_WAITING;
        if !room {
            self.tell_of_overflow();
        }
        room
    }

    #[cold]
    fn tell_of_overflow(&mut self) {
        if !std::mem::replace(&mut self.overflow_told, true) {
            let line = b"too many contexts wait for proxy_done: others end without it";
            self.instance.data().log(LogLevel::Error, line);
        }
    }

    /// `on_log` and `on_delete` of a context that has been entered.
    fn delete(&mut self, context: u32) -> Result<(), VmError> {
        self.instance.data().reset_effective();
        call!(self.log(context))?;
        self.instance.data().reset_effective();
        call!(self.delete(context))?;
        self.instance.data().remove(context);
        Ok(())
    }

    /// Deletes the contexts for which `proxy_done` was called, those included for which it is called meanwhile.
    #[cold]
    fn delete_finished(&mut self) -> Result<(), VmError> {
        loop {
            let finished = self.instance.data().take_finished();
            if finished.is_empty() {
                return Ok(());
            }
            for context in finished {
                self.enter(context)?;
                self.delete(context)?;
                self.instance.data().leave();
            }
        }
    }

    /// Deletes the contexts that have waited for `proxy_done` too long; how long the next one may still wait.
    fn delete_overdue(&mut self) -> Result<Option<Duration>, VmError> {
        let patience = self.program.config.done_patience;
        while let Some((context, since)) = self.waiting.front().copied() {
            let pending = self.instance.data().contexts.stage(context) == Some(Stage::Pending);
            let left = patience.saturating_sub(since.elapsed());
            if pending && !left.is_zero() {
                return Ok(Some(left));
            }
            self.waiting.pop_front();
            if pending {
                self.enter(context)?;
                self.delete(context)?;
                self.instance.data().leave();
            }
        }
        Ok(None)
    }
}

fn size<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}

impl From<Trap> for VmError {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

impl<E: WasmEngine, H: Host> Vm<H> for Running<E, H> {
    fn add_root(&mut self, filter: Arc<FilterConfig>) -> Result<u32, StartError> {
        if !self.alive {
            return Err(StartError::Configure(None));
        }
        self.set_limit(self.program.config.start_limit);
        let root = self.instance.data().contexts.add_root(filter);
        let result = self.start_root(root);
        let state = self.instance.data();
        state.leave();
        match result {
            Ok(()) => Ok(root),
            Err(error) => {
                if state.kind == VmKind::Root {
                    state.host.set_tick_period(root, None);
                }
                state.remove(root);
                if error.trap().is_some() {
                    self.die();
                }
                Err(error)
            }
        }
    }

    fn open(&mut self, root: u32, stream: H::Stream) -> u32 {
        self.instance.data().contexts.add_stream(root, stream).unwrap_or(0)
    }

    fn call(&mut self, context: u32, callback: Callback, limit: Option<Duration>) -> Result<Action, VmError> {
        if !self.program.callbacks.contains(callback.kind()) {
            return Ok(Action::Continue);
        }
        self.run(limit, |vm| {
            vm.enter(context)?;
            Ok(vm.callback(context, callback)?)
        })
    }

    fn call_function(
        &mut self,
        index: usize,
        running: RunningRaw<H::Stream>,
        limit: Option<Duration>,
    ) -> Result<(), VmError> {
        self.run(limit, |vm| {
            let function = vm.program.functions.get(index).and_then(Option::as_ref).ok_or(VmError::NoContext)?;
            vm.instance.data().raw = Some(running);
            Ok(function(&mut vm.instance)?)
        })
    }

    fn close(&mut self, context: u32, limit: Option<Duration>) -> Result<Option<Duration>, VmError> {
        let logs = self.program.slots.log.is_some();
        let state = self.instance.data();
        match state.contexts.stage(context) {
            None => return Err(VmError::NoContext),
            Some(Stage::Reserved) if !logs => {
                state.remove(context);
                return Ok(None);
            }
            Some(Stage::Pending | Stage::Finished) => return Ok(None),
            Some(Stage::Reserved | Stage::Created) => {}
        }
        let result = self.run(limit, |vm| {
            vm.end(context)?;
            Ok((!vm.waiting.is_empty()).then_some(vm.program.config.done_patience))
        });
        if result.is_err() {
            self.instance.data().remove(context);
        }
        result
    }

    fn detach(&mut self, context: u32) {
        self.instance.data().detach(context);
    }

    fn tick(&mut self, root: u32, limit: Option<Duration>) -> Result<(), VmError> {
        self.run(limit, |vm| {
            if !vm.instance.data().contexts.is_root(root) {
                return Err(VmError::NoContext);
            }
            vm.enter(root)?;
            call!(vm.tick(root))?;
            Ok(())
        })
    }

    fn expire(&mut self, limit: Option<Duration>) -> Result<Option<Duration>, VmError> {
        self.run(limit, Self::delete_overdue)
    }

    fn foreign_function(
        &mut self,
        context: u32,
        function: u32,
        answer: Arc<[u8]>,
        limit: Option<Duration>,
    ) -> Result<(), VmError> {
        self.run(limit, |vm| {
            vm.enter(context)?;
            let size = size(&answer);
            vm.instance.data().foreign = Some(answer);
            call!(vm.foreign_function(context, function, size))?;
            Ok(())
        })
    }

    fn http_call_response(
        &mut self,
        token: u32,
        response: CallResponse,
        limit: Option<Duration>,
    ) -> Result<(), VmError> {
        self.answer(token, Content::Http(response), limit)
    }

    fn grpc_event(&mut self, token: u32, event: GrpcEvent, limit: Option<Duration>) -> Result<(), VmError> {
        self.answer(token, Content::Grpc(event), limit)
    }

    fn has_calls(&mut self, context: u32) -> bool {
        self.instance.data().calls.first_of(context).is_some()
    }

    fn queue_ready(&mut self, root: u32, queue: u32, limit: Option<Duration>) -> Result<(), VmError> {
        self.run(limit, |vm| {
            if !vm.instance.data().contexts.is_root(root) {
                return Err(VmError::NoContext);
            }
            vm.enter(root)?;
            call!(vm.queue_ready(root, queue))?;
            Ok(())
        })
    }

    fn remember(&mut self) -> bool {
        // A root that keeps something, or waits for an answer, could not be put back.
        let state = self.instance.data();
        self.alive && state.calls.first().is_none() && state.rewind() && self.instance.remember()
    }

    fn rewind(&mut self) -> Option<usize> {
        if !self.alive || !self.instance.data().rewind() {
            return None;
        }
        self.waiting.clear();
        self.instance.rewind()
    }

    fn streams(&mut self) -> Vec<H::Stream> {
        self.instance.data().contexts.streams()
    }

    fn alive(&self) -> bool {
        self.alive
    }

    fn memory_size(&mut self) -> usize {
        self.instance.memory_size()
    }
}
