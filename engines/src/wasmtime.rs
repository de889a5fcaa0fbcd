//! The wasmtime engine: machine code, a pool of instances, deadlines by epochs.

mod convert;
mod flags;
mod ticker;

use std::{
    marker::PhantomData,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::wasmtime as w;
use anyhow::Context as _;

pub(crate) use self::convert::raise;
use self::convert::{neutral, reason, trap};
use crate::{
    Args, Caller, Config, Export, FlagEffect, FlagError, HostFunction, Import, ImportError, Ret, Ticker, Trap,
    WasmEngine, Wiring,
    functions::Functions,
    rewind::{Backing, Image},
    rewrite::{self, StartSection},
};

/// The most elements that one table may hold: the biggest guests seen have some ten thousand.
const TABLE_LIMIT: usize = 100_000;
/// Epochs that never pass: the deadline of a call without one. Small enough that adding it to any epoch is no overflow.
const NEVER: u64 = 1 << 62;
/// The clock's step before the first ticker is made.
const DEFAULT_STEP_US: u32 = 100_000;

/// The wasmtime engine.
pub struct Wasmtime(Arc<Shared>);

/// What instances keep of their engine.
struct Shared {
    /// Compiles, and runs what fits into its pool.
    main: w::Engine,
    /// Runs what does not: `main` with its pool taken away, so that its code runs here unchanged.
    /// `None` when there is no pool.
    spare: Option<w::Engine>,
    /// Instances that were made outside a pool.
    overflowed: AtomicU64,
    /// Microseconds between two ticks of the running ticker.
    step_us: AtomicU32,
    memory_limit: usize,
    /// Whether fuel is metered; then every store gets all there is.
    fuel: bool,
}

/// A compiled module.
#[derive(Clone)]
pub struct Module(Arc<Compiled>);

struct Compiled {
    main: w::Module,
    /// The same code for the spare engine, made when first needed.
    spare: OnceLock<Option<w::Module>>,
}

/// The data of a store: the host's own, and what shims need at hand.
pub struct Cell<T> {
    data: T,
    memory: Option<w::Memory>,
    alloc: Option<Func<(u32,), u32>>,
    wiring: Wiring,
    /// Whether `memory` and `alloc` have been looked for. Not yet while the start section runs.
    wired: bool,
    /// Whether the guest has trapped.
    dead: bool,
    limits: w::StoreLimits,
}

type Give<T> = fn(&mut w::Linker<Cell<T>>, &'static str) -> w::Result<()>;

/// The host functions for wasmtime.
pub struct Linker<T: 'static>(Functions<Give<T>>);

impl<T: Send + 'static> crate::Linker<T> for Linker<T> {
    fn define<F: HostFunction<T>>(&mut self, module: &'static str) {
        self.0.define::<T, F>(module, F::Args::define_wasmtime::<T, F>);
    }
}

/// A module with its imports resolved.
pub struct Plan<T: 'static> {
    shared: Arc<Shared>,
    module: Module,
    functions: Vec<(&'static str, Give<T>)>,
    main: w::InstancePre<Cell<T>>,
    spare: OnceLock<Option<w::InstancePre<Cell<T>>>>,
    wiring: Wiring,
    memory: Option<w::ModuleExport>,
    alloc: Option<Slot<(u32,), u32>>,
}

/// An exported function: where it is in the plan's module, and its name, which is the same in the spare one.
pub struct Slot<A, R> {
    export: w::ModuleExport,
    name: Arc<str>,
    _type: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for Slot<A, R> {
    fn clone(&self) -> Self {
        Self { export: self.export, name: self.name.clone(), _type: PhantomData }
    }
}

/// A function of an instance, whose type has been checked: wasmtime's own typed functions count references to the type,
/// which costs as much as calling them.
pub struct Func<A, R> {
    func: w::Func,
    _type: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for Func<A, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, R> Copy for Func<A, R> {}

impl<A: Args, R: Ret> Func<A, R> {
    /// `None` when the function has another type.
    fn checked(store: impl w::AsContext, func: w::Func) -> Option<Self> {
        let has_type = has_type::<A, R>(&func.ty(store));
        has_type.then_some(Self { func, _type: PhantomData })
    }

    #[inline]
    fn call(self, store: impl w::AsContextMut, args: A) -> w::Result<R> {
        // SAFETY: whoever made this has compared the function's type with that of the arguments and the result.
        unsafe { args.call_wasmtime(self.func, store) }
    }
}

fn has_type<A: Args, R: Ret>(ty: &w::FuncType) -> bool {
    let ty = convert::func_type(ty);
    ty.params == A::TYPES && ty.results == R::TYPES
}

impl<T: Send + 'static> crate::Plan<T> for Plan<T> {
    type Slot<A: Args, R: Ret> = Slot<A, R>;

    fn slot<A: Args, R: Ret>(&self, name: &str) -> Option<Slot<A, R>> {
        slot(&self.module.0.main, name)
    }
}

fn slot<A: Args, R: Ret>(module: &w::Module, name: &str) -> Option<Slot<A, R>> {
    let w::ExternType::Func(ty) = module.get_export(name)? else { return None };
    if !has_type::<A, R>(&ty) {
        return None;
    }
    let export = module.get_export_index(name)?;
    Some(Slot { export, name: name.into(), _type: PhantomData })
}

impl<T: Send + 'static> Plan<T> {
    /// A store and an instance in it, from the pool if it has room.
    fn instantiate(&self, data: T, ticks: u64) -> Result<(w::Store<Cell<T>>, w::Instance), Trap> {
        let store = self.store(&self.shared.main, data, ticks);
        let full = match self.start(store, &self.main) {
            Ok((store, instance)) => {
                if self.shared.spare.is_none() {
                    self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
                }
                return Ok((store, instance));
            }
            Err((store, error)) if error.is::<w::PoolConcurrencyLimitError>() => (store, error),
            Err((_, error)) => return Err(trap(error)),
        };
        let (store, error) = full;
        let (Some(spare), Some(engine)) = (self.spare(), &self.shared.spare) else {
            return Err(trap(error));
        };
        self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
        let store = self.store(engine, store.into_data().data, ticks);
        self.start(store, spare).map_err(|(_, error)| trap(error))
    }

    fn store(&self, engine: &w::Engine, data: T, ticks: u64) -> w::Store<Cell<T>> {
        let limits =
            w::StoreLimitsBuilder::new().memory_size(self.shared.memory_limit).table_elements(TABLE_LIMIT).build();
        let wiring = self.wiring;
        let cell = Cell { data, memory: None, alloc: None, wiring, wired: false, dead: false, limits };
        let mut store = w::Store::new(engine, cell);
        store.limiter(|cell| &mut cell.limits);
        store.set_epoch_deadline(ticks);
        if self.shared.fuel {
            store.set_fuel(u64::MAX).expect("fuel is metered");
        }
        store
    }

    /// Hands the store back when it fails: a full pool has not touched what is in it.
    #[expect(clippy::type_complexity, reason = "used in one place")]
    fn start(
        &self,
        mut store: w::Store<Cell<T>>,
        pre: &w::InstancePre<Cell<T>>,
    ) -> Result<(w::Store<Cell<T>>, w::Instance), (w::Store<Cell<T>>, w::Error)> {
        let instance = match pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => return Err((store, error)),
        };
        let memory = match self.memory.and_then(|it| instance.get_module_export(&mut store, &it)) {
            Some(export) => export.into_memory(),
            None => instance.get_memory(&mut store, self.wiring.memory),
        };
        let alloc = self.alloc.as_ref().map(|slot| bind(&mut store, instance, slot));
        let cell = store.data_mut();
        (cell.memory, cell.alloc, cell.wired) = (memory, alloc, true);
        Ok((store, instance))
    }

    /// This plan for the spare engine.
    #[cold]
    fn spare(&self) -> Option<&w::InstancePre<Cell<T>>> {
        let make = || {
            let engine = self.shared.spare.as_ref()?;
            let module = self.module.0.spare(engine)?;
            link(engine, &self.functions, module).ok()
        };
        self.spare.get_or_init(make).as_ref()
    }
}

impl Compiled {
    fn spare(&self, engine: &w::Engine) -> Option<&w::Module> {
        let make = || {
            let artefact = self.main.serialize().ok()?;
            // SAFETY: the artefact was made this moment from a module that compiled, and the two engines differ in
            // where instances live only.
            unsafe { w::Module::deserialize(engine, artefact) }.ok()
        };
        self.spare.get_or_init(make).as_ref()
    }
}

fn link<T: 'static>(
    engine: &w::Engine,
    functions: &[(&'static str, Give<T>)],
    module: &w::Module,
) -> w::Result<w::InstancePre<Cell<T>>> {
    let mut linker = w::Linker::new(engine);
    for (module, give) in functions {
        give(&mut linker, module)?;
    }
    linker.instantiate_pre(module)
}

fn bind<T: Send + 'static, A: Args, R: Ret>(
    store: &mut w::Store<Cell<T>>,
    instance: w::Instance,
    slot: &Slot<A, R>,
) -> Func<A, R> {
    if let Some(w::Extern::Func(func)) = instance.get_module_export(&mut *store, &slot.export) {
        // An export location belongs to one module, the instance's own or it would not have been found, and `slot` has
        // compared the type of the function at that location when it made this one.
        return Func { func, _type: PhantomData };
    }
    // An instance outside the pool is one of another copy of the module.
    let func = instance.get_func(&mut *store, &slot.name).and_then(|func| Func::checked(&*store, func));
    func.expect("a slot is bound to an instance of the plan that it came from")
}

/// A running instance.
pub struct Instance<T: 'static> {
    store: w::Store<Cell<T>>,
    instance: w::Instance,
    shared: Arc<Shared>,
    limit: Option<Duration>,
    /// The limit in ticks, and the step that they were computed for.
    ticks: (u32, u64),
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
    type Func<A: Args, R: Ret> = Func<A, R>;

    fn bind<A: Args, R: Ret>(&mut self, slot: &Slot<A, R>) -> Func<A, R> {
        bind(&mut self.store, self.instance, slot)
    }

    #[inline]
    fn call<A: Args, R: Ret>(&mut self, func: &Func<A, R>, args: A) -> Result<R, Trap> {
        if self.store.data().dead {
            return Err(Trap::dead());
        }
        let step = self.shared.step_us.load(Ordering::Relaxed);
        if step != self.ticks.0 {
            self.ticks = (step, ticks(self.limit, step));
        }
        self.store.set_epoch_deadline(self.ticks.1);
        func.call(&mut self.store, args).map_err(|error| {
            self.store.data_mut().dead = true;
            trap(error)
        })
    }

    fn set_time_limit(&mut self, limit: Option<Duration>) {
        let step = self.ticks.0;
        (self.limit, self.ticks) = (limit, (step, ticks(limit, step)));
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
            global.set(&mut self.store, *value).ok()?;
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
    fn state(&mut self) -> Option<Remembered> {
        let Self { store, instance, .. } = self;
        let memory = instance.get_memory(&mut *store, rewrite::MEMORY)?;
        let names = instance.module(&*store).exports().map(|it| it.name()).filter(|it| it.starts_with(rewrite::GLOBAL));
        let names: Vec<String> = names.map(str::to_owned).collect();
        let mut globals = Vec::with_capacity(names.len());
        for name in names {
            let global = instance.get_global(&mut *store, &name)?;
            globals.push((global, global.get(&mut *store)));
        }
        // SAFETY: it is this instance's memory, and no guest runs.
        let image = unsafe { Image::take(memory.data_ptr(&*store), memory.data_size(&*store), Backing::Image) }?;
        Some(Remembered { memory, image, globals })
    }
}

/// How many ticks a call may see. The first can come at once, so it does not count.
fn ticks(limit: Option<Duration>, step_us: u32) -> u64 {
    let Some(limit) = limit else { return NEVER };
    let ticks = limit.as_micros().div_ceil(u128::from(step_us)) + 1;
    u64::try_from(ticks).map_or(NEVER, |ticks| ticks.min(NEVER))
}

/// The guest while it waits for a host function.
pub struct Guest<'a, T: 'static>(pub(crate) w::Caller<'a, Cell<T>>);

impl<T: Send + 'static> Guest<'_, T> {
    /// Host functions called by the start section come before the instance is known to us.
    #[cold]
    fn wire(&mut self) {
        let Wiring { memory, allocators } = self.0.data().wiring;
        let memory = self.0.get_export(memory).and_then(w::Extern::into_memory);
        let alloc = allocators.iter().find_map(|name| {
            let func = self.0.get_export(name)?.into_func()?;
            Func::checked(&self.0, func)
        });
        let cell = self.0.data_mut();
        (cell.memory, cell.alloc, cell.wired) = (memory, alloc, true);
    }
}

impl<T: Send + 'static> Caller<T> for Guest<'_, T> {
    #[inline]
    fn data(&mut self) -> &mut T {
        &mut self.0.data_mut().data
    }

    #[inline]
    fn split(&mut self) -> (&mut [u8], &mut T) {
        if !self.0.data().wired {
            self.wire();
        }
        match self.0.data().memory {
            Some(memory) => {
                let (bytes, cell) = memory.data_and_store_mut(&mut self.0);
                (bytes, &mut cell.data)
            }
            None => (&mut [], &mut self.0.data_mut().data),
        }
    }

    fn alloc(&mut self, size: u32) -> Result<u32, Trap> {
        if !self.0.data().wired {
            self.wire();
        }
        let cell = self.0.data();
        if cell.dead {
            return Err(Trap::dead());
        }
        let Some(alloc) = cell.alloc else { return Ok(0) };
        alloc.call(&mut self.0, (size,)).map_err(|error| {
            // Also when the host function goes on as if nothing had happened.
            self.0.data_mut().dead = true;
            trap(error)
        })
    }
}

impl WasmEngine for Wasmtime {
    const NAME: &'static str = "wasmtime";
    const COMPILERS: &'static [&'static str] = &["cranelift", "winch"];

    type Module = Module;
    type Linker<T: Send + 'static> = Linker<T>;
    type Plan<T: Send + 'static> = Plan<T>;
    type Instance<T: Send + 'static> = Instance<T>;

    fn check_flag(name: &str, value: &str) -> Result<FlagEffect, FlagError> {
        flags::set(&mut flags::Settings::default(), name, value)
    }

    fn new(config: &Config) -> anyhow::Result<Self> {
        let settings = flags::Settings::of(config)?;
        let (main, spare) = settings.engines(config)?;
        Ok(Self(Arc::new(Shared {
            main,
            spare,
            overflowed: AtomicU64::new(0),
            step_us: AtomicU32::new(DEFAULT_STEP_US),
            memory_limit: flags::memory_limit(config),
            fuel: settings.fuel,
        })))
    }

    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Module> {
        let compile = |wasm: &[u8]| w::Module::from_binary(&self.0.main, wasm);
        let rewritten = rewrite::rewrite(wasm, StartSection::Kept)?;
        let module = match &rewritten {
            // What is wrong is told in words about the module as it was given.
            Some(rewritten) => compile(rewritten).map_err(|error| compile(wasm).err().unwrap_or(error)),
            None => compile(wasm),
        };
        let module = module.map_err(reason)?;
        Module::new(module)
    }

    fn serialize(&self, module: &Module) -> anyhow::Result<Vec<u8>> {
        module.0.main.serialize().map_err(reason)
    }

    unsafe fn deserialize(&self, artefact: &[u8]) -> anyhow::Result<Module> {
        // SAFETY: the caller vouches for the artefact; engine, version and flags are checked by wasmtime.
        let module = unsafe { w::Module::deserialize(&self.0.main, artefact) }.map_err(reason)?;
        Module::new(module)
    }

    fn imports(&self, module: &Module) -> Vec<Import> {
        convert::imports(&module.0.main)
    }

    fn exports(&self, module: &Module) -> Vec<Export> {
        let exports = module.0.main.exports().filter(|it| !rewrite::is_ours(it.name()));
        exports.map(|it| Export { name: it.name().into(), ty: neutral(&it.ty()) }).collect()
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
        let functions = linker.0.resolve(convert::imports(&module.0.main))?;
        let main = link(&self.0.main, &functions, &module.0.main)
            .expect("every import has been checked and comes from this engine");
        let alloc = wiring.allocators.iter().find_map(|name| slot(&module.0.main, name));
        Ok(Plan {
            shared: self.0.clone(),
            memory: module.0.main.get_export_index(wiring.memory),
            module: module.clone(),
            functions,
            main,
            spare: OnceLock::new(),
            wiring,
            alloc,
        })
    }

    fn instantiate<T: Send + 'static>(
        &self,
        plan: &Plan<T>,
        data: T,
        limit: Option<Duration>,
    ) -> Result<Instance<T>, Trap> {
        let step = self.0.step_us.load(Ordering::Relaxed);
        let ticks = (step, ticks(limit, step));
        let (store, instance) = plan.instantiate(data, ticks.1)?;
        Ok(Instance { store, instance, shared: self.0.clone(), limit, ticks, remembered: None })
    }

    fn ticker(&self, shortest: Duration) -> Option<Ticker> {
        let step = (shortest / 8).clamp(Duration::from_millis(1), Duration::from_millis(100));
        let shared = self.0.clone();
        shared.step_us.store(step.as_micros() as u32, Ordering::Relaxed);
        let tick = move || {
            shared.main.increment_epoch();
            shared.spare.iter().for_each(w::Engine::increment_epoch);
        };
        Some(Ticker { _stop: Box::new(ticker::start(step, tick)) })
    }

    fn overflowed(&self) -> u64 {
        self.0.overflowed.load(Ordering::Relaxed)
    }
}

impl Module {
    fn new(main: w::Module) -> anyhow::Result<Self> {
        // The image of the initial memory is made here, in the master, and then shared by all workers.
        main.initialize_copy_on_write_image().map_err(reason).context("cannot prepare the initial memory")?;
        Ok(Self(Arc::new(Compiled { main, spare: OnceLock::new() })))
    }
}
