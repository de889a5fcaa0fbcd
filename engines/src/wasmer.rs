//! The wasmer engine: machine code by several compilers, deadlines by looks at the clock within it.

mod convert;
mod flags;
mod limits;
mod lines;
mod meter;
mod threads;

use std::{
    marker::PhantomData,
    slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant as Clock},
};

use ::wasmer as w;
use anyhow::{Context as _, ensure};

pub(crate) use self::convert::raise;
use self::{
    convert::{func_type, imports, neutral, no_instance, trap},
    flags::Settings,
    lines::Lines,
    meter::{Meter, SLICE},
    threads::contained,
};
use crate::{
    Args, Caller, Config, Export, FlagEffect, FlagError, HostFunction, Import, ImportError, Ret, Ticker, Trap,
    WasmEngine, Wiring,
    functions::Functions,
    guard::guard,
    rewind::{Backing, Image},
    rewrite,
    trap::one_line,
};

/// Allocators within host functions within allocators and so on. Each is on a stack of its own, but between two of them a
/// host function's frames are on ours, and no limit of wasmer counts those.
const NESTING: u32 = 32;

/// The wasmer engine.
pub struct Wasmer {
    settings: Settings,
    backtraces: bool,
    /// What artefacts begin with: all that they depend on besides the machine, which wasmer checks.
    stamp: String,
}

/// A compiled module, in an engine of its own: its meter is made for it alone.
#[derive(Clone)]
pub struct Module(Arc<Compiled>);

struct Compiled {
    // Before the engine, which holds its code.
    module: w::Module,
    engine: w::Engine,
    /// Only with backtraces.
    lines: Option<Arc<Lines>>,
}

/// The data of a store: the host's own, and what shims need at hand.
pub struct Cell<T> {
    data: T,
    memory: Option<w::Memory>,
    alloc: Option<Func<(u32,), u32>>,
    /// Whether the guest has trapped.
    dead: bool,
    /// How many calls of the allocator are under way.
    nested: u32,
    deadline: Deadline,
    /// Only with backtraces.
    lines: Option<Arc<Lines>>,
}

/// How long the outermost call may run.
#[derive(Clone, Copy)]
struct Deadline {
    limit: Option<Duration>,
    /// When that call first ran out of points: calls that end before never look at the clock.
    since: Option<Clock>,
}

type Give<T> = fn(&mut w::Store, &w::FunctionEnv<Cell<T>>) -> w::Function;

/// The host functions for wasmer.
pub struct Linker<T: Send + 'static>(Functions<Give<T>>);

impl<T: Send + 'static> crate::Linker<T> for Linker<T> {
    fn define<F: HostFunction<T>>(&mut self, module: &'static str) {
        self.0.define::<T, F>(module, F::Args::make_wasmer::<T, F>);
    }
}

/// A module with its imports resolved.
pub struct Plan<T: Send + 'static> {
    module: Module,
    /// One for each import, in their order.
    functions: Vec<Give<T>>,
    memory: &'static str,
    alloc: Option<Slot<(u32,), u32>>,
    start: Option<Slot<(), ()>>,
}

/// An exported function. wasmer finds exports by name only.
pub struct Slot<A, R> {
    name: Arc<str>,
    _type: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for Slot<A, R> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), _type: PhantomData }
    }
}

/// A function of an instance.
pub struct Func<A: Args, R: Ret>(w::TypedFunction<A::Wasmer, R>);

impl<A: Args, R: Ret> Clone for Func<A, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> crate::Plan<T> for Plan<T> {
    type Slot<A: Args, R: Ret> = Slot<A, R>;

    fn slot<A: Args, R: Ret>(&self, name: &str) -> Option<Slot<A, R>> {
        slot(&self.module.0.module, name)
    }
}

fn slot<A: Args, R: Ret>(module: &w::Module, name: &str) -> Option<Slot<A, R>> {
    let export = module.exports().functions().find(|export| export.name() == name)?;
    let ty = func_type(export.ty());
    let same = ty.params == A::TYPES && ty.results == R::TYPES;
    same.then(|| Slot { name: name.into(), _type: PhantomData })
}

fn bind<A: Args, R: Ret>(store: &w::Store, instance: &w::Instance, slot: &Slot<A, R>) -> Func<A, R> {
    let func = instance.exports.get_typed_function(store, &slot.name);
    Func(func.expect("a slot is bound to an instance of the plan that it came from"))
}

/// A running instance.
pub struct Instance<T: Send + 'static> {
    store: w::Store,
    cell: w::FunctionEnv<Cell<T>>,
    instance: w::Instance,
    remembered: Option<Remembered>,
    /// Outlives what runs its code.
    _module: Module,
}

/// The state of a guest.
struct Remembered {
    memory: w::Memory,
    image: Image,
    globals: Vec<(w::Global, w::Value)>,
}

impl<T: Send + 'static> crate::Instance<T> for Instance<T> {
    type Plan = Plan<T>;
    type Func<A: Args, R: Ret> = Func<A, R>;

    fn bind<A: Args, R: Ret>(&mut self, slot: &Slot<A, R>) -> Func<A, R> {
        bind(&self.store, &self.instance, slot)
    }

    #[inline]
    fn call<A: Args, R: Ret>(&mut self, func: &Func<A, R>, args: A) -> Result<R, Trap> {
        self.cell.as_mut(&mut self.store).deadline.since = None;
        run(&mut self.store, &self.cell, func, args)
    }

    fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.cell.as_mut(&mut self.store).deadline.limit = limit;
    }

    fn remember(&mut self) -> bool {
        self.remembered = self.state();
        self.remembered.is_some()
    }

    fn rewind(&mut self) -> Option<usize> {
        let dead = self.cell.as_ref(&self.store).dead;
        let Remembered { memory, image, globals } = self.remembered.as_mut().filter(|_| !dead)?;
        let (base, len) = extent(memory, &self.store);
        // SAFETY: it is this instance's memory, and no guest runs.
        let bytes = unsafe { image.put_back(base, len) }?;
        for (global, value) in globals {
            global.set(&mut self.store, value.clone()).ok()?;
        }
        Some(bytes)
    }

    fn data(&mut self) -> &mut T {
        &mut self.cell.as_mut(&mut self.store).data
    }

    fn memory_size(&mut self) -> usize {
        let memory = &self.cell.as_ref(&self.store).memory;
        memory.as_ref().map_or(0, |memory| extent(memory, &self.store).1)
    }
}

impl<T: Send + 'static> Instance<T> {
    fn state(&mut self) -> Option<Remembered> {
        let exports = &self.instance.exports;
        let memory = exports.get_memory(rewrite::MEMORY).ok()?.clone();
        let globals = exports.iter().globals().filter(|(name, _)| name.starts_with(rewrite::GLOBAL));
        let globals = globals.map(|(_, global)| (global.clone(), global.get(&mut self.store))).collect();
        let (base, len) = extent(&memory, &self.store);
        // SAFETY: it is this instance's memory, and no guest runs.
        let image = unsafe { Image::take(base, len, Backing::Image) }?;
        Some(Remembered { memory, image, globals })
    }
}

/// Where a memory is, and how long.
fn extent(memory: &w::Memory, store: &impl w::AsStoreRef) -> (*mut u8, usize) {
    let view = memory.view(store);
    (view.data_ptr(), usize::try_from(view.data_size()).unwrap_or(0))
}

/// Calls into the guest, and leaves the instance dead when that traps.
#[inline]
fn run<T: Send + 'static, A: Args, R: Ret>(
    store: &mut impl w::AsStoreMut,
    cell: &w::FunctionEnv<Cell<T>>,
    func: &Func<A, R>,
    args: A,
) -> Result<R, Trap> {
    if cell.as_ref(store).dead {
        return Err(Trap::dead());
    }
    args.call_wasmer(&func.0, store).map_err(|error| {
        let cell = cell.as_mut(store);
        cell.dead = true;
        trap(error, cell.lines.as_deref())
    })
}

impl Deadline {
    fn passed(&mut self) -> bool {
        let Some(limit) = self.limit else { return false };
        self.since.get_or_insert_with(Clock::now).elapsed() >= limit
    }
}

/// What the guest calls when it has no points left: gives it new ones.
fn look_at_clock<T: Send + 'static>(mut caller: w::FunctionEnvMut<'_, Cell<T>>) -> Result<i64, w::RuntimeError> {
    match guard(|| Ok(caller.data_mut().deadline.passed())) {
        Ok(false) => Ok(SLICE),
        Ok(true) => Err(raise(Trap::deadline())),
        Err(trap) => Err(raise(trap)),
    }
}

/// The guest while it waits for a host function.
pub struct Guest<'a, T: Send + 'static>(pub(crate) w::FunctionEnvMut<'a, Cell<T>>);

impl<T: Send + 'static> Caller<T> for Guest<'_, T> {
    #[inline]
    fn data(&mut self) -> &mut T {
        &mut self.0.data_mut().data
    }

    #[inline]
    fn split(&mut self) -> (&mut [u8], &mut T) {
        let (cell, store) = self.0.data_and_store_mut();
        let bytes: &mut [u8] = match &cell.memory {
            Some(memory) => {
                let (base, len) = extent(memory, &store);
                // SAFETY: it is the memory of the guest that waits for us. It can grow, and move, by running the guest
                // only, for which `self` is borrowed anew; and it lies outside of the data of the store.
                unsafe { slice::from_raw_parts_mut(base, len) }
            }
            None => &mut [],
        };
        (bytes, &mut cell.data)
    }

    fn alloc(&mut self, size: u32) -> Result<u32, Trap> {
        let cell = self.0.data_mut();
        let Some(alloc) = cell.alloc.clone() else { return Ok(0) };
        if cell.nested == NESTING {
            cell.dead = true;
            return Err(Trap::guest("call stack exhausted"));
        }
        cell.nested += 1;
        let cell = self.0.as_ref();
        let result = run(&mut self.0, &cell, &alloc, (size,));
        self.0.data_mut().nested -= 1;
        result
    }
}

impl WasmEngine for Wasmer {
    const NAME: &'static str = "wasmer";
    const COMPILERS: &'static [&'static str] = &[
        "cranelift",
        #[cfg(feature = "wasmer-singlepass")]
        "singlepass",
        #[cfg(feature = "wasmer-llvm")]
        "llvm",
    ];

    type Module = Module;
    type Linker<T: Send + 'static> = Linker<T>;
    type Plan<T: Send + 'static> = Plan<T>;
    type Instance<T: Send + 'static> = Instance<T>;

    fn check_flag(name: &str, value: &str) -> Result<FlagEffect, FlagError> {
        flags::set(&mut Settings::default(), name, value)
    }

    fn new(config: &Config) -> anyhow::Result<Self> {
        let settings = Settings::of(config)?;
        let stamp = format!(
            "wasmx wasmer {} {} {:?} {}\n",
            w::sys::vm::VERSION,
            config.compiler,
            config.flags,
            config.backtraces
        );
        Ok(Self { settings, backtraces: config.backtraces, stamp })
    }

    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Module> {
        let reason = |error: w::CompileError| anyhow::Error::msg(one_line(error));
        let compile = || {
            // What is wrong is told in words about the module as it was given.
            w::Module::validate(&self.settings.engine(None), wasm).map_err(reason)?;
            let clocked = rewrite::with_clock(wasm)?.context("the module is malformed")?;
            let engine = self.settings.engine(Some(Meter::new(clocked.bodies)));
            // SAFETY: the module is valid, and what was added to it are a table and exports.
            let module = unsafe { w::Module::from_binary_unchecked(&engine, &clocked.wasm) }.map_err(reason)?;
            let lines = self.backtraces.then(|| Arc::new(Lines::of(&clocked.wasm)));
            anyhow::Ok(Compiled { module, engine, lines })
        };
        self.check(contained(compile)??)
    }

    fn serialize(&self, module: &Module) -> anyhow::Result<Vec<u8>> {
        let artefact = module.0.module.serialize().map_err(|error| anyhow::Error::msg(one_line(error)))?;
        let lines = module.0.lines.as_ref().map(|lines| lines.to_bytes()).unwrap_or_default();
        Ok([self.stamp.as_bytes(), &lines, &artefact].concat())
    }

    unsafe fn deserialize(&self, artefact: &[u8]) -> anyhow::Result<Module> {
        let artefact = artefact.strip_prefix(self.stamp.as_bytes()).context("not an artefact of this wasmer")?;
        let (lines, artefact) = match self.backtraces {
            true => Lines::from_bytes(artefact).map(|(lines, rest)| (Some(Arc::new(lines)), rest)),
            false => Some((None, artefact)),
        }
        .context("the artefact is cut short")?;
        // It goes by where the bytes begin, behind the stamp anywhere.
        let artefact = artefact.to_vec();
        let engine = self.settings.engine(None);
        // SAFETY: the caller vouches for the artefact; version and machine are checked by wasmer.
        let module = unsafe { w::Module::deserialize(&engine, artefact) };
        let module = module.map_err(|error| anyhow::Error::msg(one_line(error)))?;
        self.check(Compiled { module, engine, lines })
    }

    fn imports(&self, module: &Module) -> Vec<Import> {
        imports(&module.0.module)
    }

    fn exports(&self, module: &Module) -> Vec<Export> {
        let theirs = module.0.module.exports().filter(|it| !rewrite::is_ours(it.name()));
        theirs.map(|it| Export { name: it.name().into(), ty: neutral(it.ty()) }).collect()
    }

    fn linker<T: Send + 'static>(&self) -> Linker<T> {
        Linker(Functions::new())
    }

    fn plan<T: Send + 'static>(
        &self,
        linker: &Linker<T>,
        module: &Module,
        wiring: Wiring,
    ) -> Result<Plan<T>, Vec<ImportError>> {
        let compiled = &module.0.module;
        let functions = linker.0.resolve_each(imports(compiled))?;
        Ok(Plan {
            functions: functions.into_iter().map(|(_, _, give)| give).collect(),
            memory: wiring.memory,
            alloc: wiring.allocators.iter().find_map(|name| slot(compiled, name)),
            start: slot(compiled, rewrite::START),
            module: module.clone(),
        })
    }

    fn instantiate<T: Send + 'static>(
        &self,
        plan: &Plan<T>,
        data: T,
        limit: Option<Duration>,
    ) -> Result<Instance<T>, Trap> {
        settle_stacks(self.settings.stack);
        let deadline = Deadline { limit, since: None };
        let lines = plan.module.0.lines.clone();
        let cell = Cell { data, memory: None, alloc: None, dead: false, nested: 0, deadline, lines };
        let mut store = w::Store::new(plan.module.0.engine.clone());
        let cell = w::FunctionEnv::new(&mut store, cell);
        let functions: Vec<_> = plan.functions.iter().map(|give| give(&mut store, &cell).into()).collect();
        let instance = w::Instance::new_by_index(&mut store, &plan.module.0.module, &functions)
            .map_err(|error| no_instance(error, plan.module.0.lines.as_deref()))?;
        set_clock(&mut store, &cell, &instance)?;
        let memory = instance.exports.get_memory(plan.memory).ok().cloned();
        let alloc = plan.alloc.as_ref().map(|slot| bind(&store, &instance, slot));
        let it = cell.as_mut(&mut store);
        (it.memory, it.alloc) = (memory, alloc);
        if let Some(start) = &plan.start {
            let start = bind(&store, &instance, start);
            run(&mut store, &cell, &start, ())?;
        }
        Ok(Instance { store, cell, instance, remembered: None, _module: plan.module.clone() })
    }

    fn ticker(&self, _: Duration) -> Option<Ticker> {
        None
    }
}

impl Wasmer {
    fn check(&self, compiled: Compiled) -> anyhow::Result<Module> {
        let shared = compiled.module.info().memories.values().any(|memory| memory.shared);
        ensure!(!shared || self.settings.shared_memory, "shared memory needs the flag \"wasm_threads\"");
        Ok(Module(Arc::new(compiled)))
    }
}

/// Puts the host's function into the table of a module that only its meter knows.
fn set_clock<T: Send + 'static>(
    store: &mut w::Store,
    cell: &w::FunctionEnv<Cell<T>>,
    instance: &w::Instance,
) -> Result<(), Trap> {
    let look = w::Function::new_typed_with_env(store, cell, look_at_clock::<T>);
    let clock = instance.exports.get_table(rewrite::CLOCK).map_err(|error| Trap::host(one_line(error)))?;
    clock.set(store, 0, w::Value::FuncRef(Some(look))).map_err(|error| Trap::host(one_line(error)))
}

/// Guests run on stacks that the process keeps; one that is large enough is taken, and it may be larger than an engine
/// allows. Those are dropped when another engine has its turn.
fn settle_stacks(size: usize) {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    if SIZE.load(Ordering::Relaxed) != size {
        w::sys::vm::drain_stack_pool();
        SIZE.store(size, Ordering::Relaxed);
    }
}
