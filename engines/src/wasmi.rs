//! The wasmi engine: an interpreter, deadlines by slices of fuel.

mod convert;
mod flags;

use std::{
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use ::wasmi as w;
use anyhow::{Context as _, ensure};

pub(crate) use self::convert::raise;
use self::convert::{func_type, imports, neutral, trap};
use crate::{
    Args, Caller, Config, Export, FlagEffect, FlagError, HostFunction, Import, ImportError, Ret, Ticker, Trap,
    WasmEngine, Wiring,
    functions::Functions,
    rewind::{Backing, Image},
    rewrite::{self, StartSection},
    trap::one_line,
};

/// The most elements that one table may hold, as with wasmtime.
const TABLE_LIMIT: usize = 100_000;
/// Fuel between two looks at the clock: some hundred thousand instructions, about a millisecond.
const SLICE: u64 = 100_000;
/// Allocators within host functions within allocators and so on. wasmi's frames are not on our stack, but between two of
/// them a host function's are, and no limit of wasmi counts those.
const NESTING: u32 = 32;
/// What a serialised module begins with. The rest is its WebAssembly: translating it takes less than checking a
/// translation would.
const MAGIC: &[u8] = b"wasmx wasmi 2.0\n";

/// The wasmi engine.
pub struct Wasmi {
    engine: w::Engine,
    memory_limit: usize,
}

/// A translated module.
#[derive(Clone)]
pub struct Module(Arc<Translated>);

struct Translated {
    module: w::Module,
    wasm: Box<[u8]>,
}

/// The data of a store: the host's own, and what shims need at hand.
pub struct Cell<T> {
    data: T,
    memory: Option<w::Memory>,
    alloc: Option<w::TypedFunc<(u32,), u32>>,
    /// Whether the guest has trapped.
    dead: bool,
    /// How many calls of the allocator are under way.
    nested: u32,
    deadline: Deadline,
    limits: w::StoreLimits,
}

/// How long the outermost call may run.
#[derive(Clone, Copy)]
struct Deadline {
    limit: Option<Duration>,
    /// When that call ran out of its first slice: calls that end before never look at the clock.
    since: Option<Clock>,
}

type Give<T> = fn(&mut w::Linker<Cell<T>>, &'static str) -> Result<(), w::Error>;

/// The host functions for wasmi.
pub struct Linker<T: 'static>(Functions<Give<T>>);

impl<T: Send + 'static> crate::Linker<T> for Linker<T> {
    fn define<F: HostFunction<T>>(&mut self, module: &'static str) {
        self.0.define::<T, F>(module, F::Args::define_wasmi::<T, F>);
    }
}

/// A module with its imports resolved.
pub struct Plan<T: 'static> {
    module: Module,
    linker: w::Linker<Cell<T>>,
    memory: &'static str,
    alloc: Option<Slot<(u32,), u32>>,
    start: Option<Slot<(), ()>>,
}

/// An exported function. wasmi finds exports by name only.
pub struct Slot<A, R> {
    name: Arc<str>,
    _type: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for Slot<A, R> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), _type: PhantomData }
    }
}

impl<T: Send + 'static> crate::Plan<T> for Plan<T> {
    type Slot<A: Args, R: Ret> = Slot<A, R>;

    fn slot<A: Args, R: Ret>(&self, name: &str) -> Option<Slot<A, R>> {
        slot(&self.module.0.module, name)
    }
}

fn slot<A: Args, R: Ret>(module: &w::Module, name: &str) -> Option<Slot<A, R>> {
    let export = module.get_export(name)?;
    let ty = func_type(export.func()?);
    let same = ty.params == A::TYPES && ty.results == R::TYPES;
    same.then(|| Slot { name: name.into(), _type: PhantomData })
}

fn bind<T: 'static, A: Args, R: Ret>(
    store: &w::Store<Cell<T>>,
    instance: w::Instance,
    slot: &Slot<A, R>,
) -> w::TypedFunc<A, R> {
    let func = instance.get_typed_func(store, &slot.name);
    func.expect("a slot is bound to an instance of the plan that it came from")
}

/// A running instance.
pub struct Instance<T: 'static> {
    store: w::Store<Cell<T>>,
    instance: w::Instance,
    remembered: Option<Remembered>,
}

/// The state of a guest.
struct Remembered {
    memory: w::Memory,
    image: Image,
    globals: Vec<(w::Global, w::Val)>,
}

impl<T: Send + 'static> crate::Instance<T> for Instance<T> {
    type Plan = Plan<T>;
    type Func<A: Args, R: Ret> = w::TypedFunc<A, R>;

    fn bind<A: Args, R: Ret>(&mut self, slot: &Slot<A, R>) -> w::TypedFunc<A, R> {
        bind(&self.store, self.instance, slot)
    }

    #[inline]
    fn call<A: Args, R: Ret>(&mut self, func: &w::TypedFunc<A, R>, args: A) -> Result<R, Trap> {
        self.store.data_mut().deadline.since = None;
        run(&mut self.store, func, args)
    }

    fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.store.data_mut().deadline.limit = limit;
    }

    fn remember(&mut self) -> bool {
        self.remembered = self.state();
        self.remembered.is_some()
    }

    fn rewind(&mut self) -> Option<usize> {
        let Remembered { memory, image, globals } = self.remembered.as_mut().filter(|_| !self.store.data().dead)?;
        // SAFETY: it is this instance's memory, and no guest runs.
        let bytes = unsafe { image.put_back(memory.data_ptr(&self.store), memory.data_size(&self.store)) }?;
        for (global, value) in globals {
            global.set(&mut self.store, value.clone()).ok()?;
        }
        Some(bytes)
    }

    fn data(&mut self) -> &mut T {
        &mut self.store.data_mut().data
    }

    fn memory_size(&mut self) -> usize {
        self.store.data().memory.map_or(0, |memory| memory.data_size(&self.store))
    }
}

impl<T: 'static> Instance<T> {
    fn state(&self) -> Option<Remembered> {
        let memory = self.instance.get_memory(&self.store, rewrite::MEMORY)?;
        let exports = self.instance.exports(&self.store).filter(|it| it.name().starts_with(rewrite::GLOBAL));
        let globals = exports.filter_map(w::Export::into_global).map(|it| (it, it.get(&self.store))).collect();
        // SAFETY: it is this instance's memory, and no guest runs.
        let image =
            unsafe { Image::take(memory.data_ptr(&self.store), memory.data_size(&self.store), Backing::Zeros) }?;
        Some(Remembered { memory, image, globals })
    }
}

/// Calls into the guest, a slice of fuel at a time, and leaves the instance dead when that traps.
fn run<T: 'static, A: Args, R: Ret>(
    mut store: impl w::AsContextMut<Data = Cell<T>>,
    func: &w::TypedFunc<A, R>,
    args: A,
) -> Result<R, Trap> {
    let mut store = store.as_context_mut();
    if store.data().dead {
        return Err(Trap::dead());
    }
    let mut step = func.call_resumable(&mut store, args);
    let trap = loop {
        match step {
            Ok(w::TypedResumableCall::Finished(result)) => return Ok(result),
            Ok(w::TypedResumableCall::HostTrap(call)) => break trap(call.host_error()),
            Ok(w::TypedResumableCall::OutOfFuel(call)) => {
                if store.data_mut().deadline.passed() {
                    break Trap::deadline();
                }
                // One instruction that moves much memory can need more than a slice.
                let fuel = SLICE.max(call.required_fuel());
                store.set_fuel(fuel).expect("fuel is metered");
                step = call.resume(&mut store);
            }
            Err(error) => break trap(&error),
        }
    };
    store.data_mut().dead = true;
    Err(trap)
}

impl Deadline {
    fn passed(&mut self) -> bool {
        let Some(limit) = self.limit else { return false };
        self.since.get_or_insert_with(Clock::now).elapsed() >= limit
    }
}

/// The guest while it waits for a host function.
pub struct Guest<'a, T: 'static>(pub(crate) w::Caller<'a, Cell<T>>);

impl<T: Send + 'static> Caller<T> for Guest<'_, T> {
    #[inline]
    fn data(&mut self) -> &mut T {
        &mut self.0.data_mut().data
    }

    #[inline]
    fn split(&mut self) -> (&mut [u8], &mut T) {
        match self.0.data().memory {
            Some(memory) => {
                let (bytes, cell) = memory.data_and_store_mut(&mut self.0);
                (bytes, &mut cell.data)
            }
            None => (&mut [], &mut self.0.data_mut().data),
        }
    }

    fn alloc(&mut self, size: u32) -> Result<u32, Trap> {
        let cell = self.0.data_mut();
        let Some(alloc) = cell.alloc else { return Ok(0) };
        if cell.nested == NESTING {
            cell.dead = true;
            return Err(Trap::guest("call stack exhausted"));
        }
        cell.nested += 1;
        let result = run(&mut self.0, &alloc, (size,));
        self.0.data_mut().nested -= 1;
        result
    }
}

impl WasmEngine for Wasmi {
    const NAME: &'static str = "wasmi";
    const COMPILERS: &'static [&'static str] = &[];
    const ARTEFACTS: bool = false;

    type Module = Module;
    type Linker<T: Send + 'static> = Linker<T>;
    type Plan<T: Send + 'static> = Plan<T>;
    type Instance<T: Send + 'static> = Instance<T>;

    fn check_flag(name: &str, value: &str) -> Result<FlagEffect, FlagError> {
        flags::set(&mut w::Config::default(), name, value)
    }

    fn new(config: &Config) -> anyhow::Result<Self> {
        ensure!(config.compiler == "auto", "invalid compiler \"{}\"", config.compiler);
        let memory_limit = usize::try_from(config.memory_limit).unwrap_or(usize::MAX);
        Ok(Self { engine: w::Engine::new(&flags::settings(config)?), memory_limit })
    }

    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Module> {
        let translate = |wasm: &[u8]| w::Module::new(&self.engine, wasm);
        let rewritten = rewrite::rewrite(wasm, StartSection::Exported)?;
        let module = match &rewritten {
            // What is wrong is told in words about the module as it was given.
            Some(rewritten) => translate(rewritten).map_err(|error| translate(wasm).err().unwrap_or(error)),
            None => translate(wasm),
        };
        let module = module.map_err(|error| anyhow::Error::msg(one_line(error)))?;
        let starts = module.get_export(rewrite::START).is_some();
        let sound = !starts || slot::<(), ()>(&module, rewrite::START).is_some();
        ensure!(sound, "the start function has parameters or results");
        Ok(Module(Arc::new(Translated { module, wasm: wasm.into() })))
    }

    fn serialize(&self, module: &Module) -> anyhow::Result<Vec<u8>> {
        Ok([MAGIC, &module.0.wasm].concat())
    }

    unsafe fn deserialize(&self, artefact: &[u8]) -> anyhow::Result<Module> {
        let wasm = artefact.strip_prefix(MAGIC).context("not an artefact of this version of wasmi")?;
        self.compile(wasm)
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
        let translated = &module.0.module;
        let mut linker_of_plan = w::Linker::new(&self.engine);
        for (name, give) in linker.0.resolve(imports(translated))? {
            give(&mut linker_of_plan, name).expect("every function comes once");
        }
        Ok(Plan {
            memory: wiring.memory,
            alloc: wiring.allocators.iter().find_map(|name| slot(translated, name)),
            start: slot(translated, rewrite::START),
            module: module.clone(),
            linker: linker_of_plan,
        })
    }

    fn instantiate<T: Send + 'static>(
        &self,
        plan: &Plan<T>,
        data: T,
        limit: Option<Duration>,
    ) -> Result<Instance<T>, Trap> {
        let limits = w::StoreLimitsBuilder::new().memory_size(self.memory_limit).table_elements(TABLE_LIMIT).build();
        let deadline = Deadline { limit, since: None };
        let cell = Cell { data, memory: None, alloc: None, dead: false, nested: 0, deadline, limits };
        let mut store = w::Store::new(&self.engine, cell);
        store.limiter(|cell| &mut cell.limits);
        // Filling memory from the module's data costs fuel too, and cannot be resumed.
        store.set_fuel(u64::MAX).expect("fuel is metered");
        let module = &plan.module.0.module;
        let instance = plan.linker.instantiate_and_start(&mut store, module).map_err(|error| trap(&error))?;
        store.set_fuel(SLICE).expect("fuel is metered");
        let memory = instance.get_memory(&store, plan.memory);
        let alloc = plan.alloc.as_ref().map(|slot| bind(&store, instance, slot));
        (store.data_mut().memory, store.data_mut().alloc) = (memory, alloc);
        if let Some(start) = &plan.start {
            let start = bind(&store, instance, start);
            run(&mut store, &start, ())?;
        }
        Ok(Instance { store, instance, remembered: None })
    }

    fn ticker(&self, _: Duration) -> Option<Ticker> {
        None
    }
}
