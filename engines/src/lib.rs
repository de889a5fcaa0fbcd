//! The engine seam: what the rest of WasmX may ask of a WebAssembly engine.
//!
//! This crate knows WebAssembly. It does not know nginx, and it does not know Proxy-Wasm.
//!
//! Host functions are *types*, one zero-sized type each ([`HostFunction`]), generic over the engine that calls
//! them: closures over a generic caller cannot be written in Rust, and types cost neither a box nor a dynamic call.
//! An engine is built once, in the nginx master; modules are compiled and linked there ([`WasmEngine::compile`],
//! [`WasmEngine::plan`]); workers inherit both over `fork` and only instantiate.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod args;
#[cfg(feature = "rewind")]
pub mod artefact;
#[cfg(any(feature = "wasmtime", feature = "wasmer"))]
mod backtrace;
mod config;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod flag;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod functions;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod guard;
mod link;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod rewind;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod rewrite;
#[cfg(any(feature = "wasmtime", feature = "wasmer"))]
mod signals;
mod trap;
#[cfg(feature = "wasmer")]
mod wasmer;
#[cfg(feature = "wasmi")]
mod wasmi;
#[cfg(feature = "wasmtime")]
mod wasmtime;

use std::time::Duration;

pub use args::{Args, Ret, Scalar};
pub use config::{Config, FlagEffect, FlagError};
pub use link::{Export, ExternType, FuncType, Import, ImportError, ValType};
pub use trap::{Trap, TrapKind};
#[cfg(feature = "wasmer")]
pub use wasmer::Wasmer;
#[cfg(feature = "wasmi")]
pub use wasmi::Wasmi;
#[cfg(feature = "wasmtime")]
pub use wasmtime::Wasmtime;

/// One function that the host offers to guests: a name, a type and a body.
///
/// `T` is the data of the store, the only host state that a body can reach.
pub trait HostFunction<T>: 'static {
    /// The import's field name. Its module name is given to [`Linker::define`], as WASI goes by two.
    const NAME: &'static str;
    /// Its parameters.
    type Args: Args;
    /// Its result.
    type Ret: Ret;

    /// Runs the body. A panic in it is caught by the shim and becomes a [`TrapKind::Panic`].
    fn call(caller: &mut impl Caller<T>, args: Self::Args) -> Result<Self::Ret, Trap>;
}

/// What a host function sees while the guest waits for it.
pub trait Caller<T> {
    /// The host data of the store.
    fn data(&mut self) -> &mut T;

    /// Guest memory and host data, borrowed apart. A guest without a memory has an empty slice.
    fn split(&mut self) -> (&mut [u8], &mut T);

    /// Asks the guest's allocator (see [`Wiring::allocators`]) for `size` bytes: the only way back into the guest.
    ///
    /// Memory can move: what [`Caller::split`] gave before is stale, and the borrow checker says so.
    /// `Ok(0)` when the guest has no allocator or when it has no room left.
    fn alloc(&mut self, size: u32) -> Result<u32, Trap>;
}

/// The host functions that modules are linked against, for one engine.
pub trait Linker<T> {
    /// Offers `F` as `module.NAME`. Defining the same name again replaces it.
    fn define<F: HostFunction<T>>(&mut self, module: &'static str);
}

/// A compiled module, its imports resolved: everything that can be known before an instance is made.
pub trait Plan<T> {
    /// An exported function of a known type, located once for all instances of this plan.
    type Slot<A: Args, R: Ret>: Clone + Send + Sync;

    /// Locates the exported function `name`; `None` when there is none or when it has another type.
    fn slot<A: Args, R: Ret>(&self, name: &str) -> Option<Self::Slot<A, R>>;
}

/// A running instance: a store of its own with one module in it.
pub trait Instance<T> {
    /// What it was made from.
    type Plan: Plan<T>;
    /// An exported function of this instance, ready to be called.
    type Func<A: Args, R: Ret>: Clone;

    /// Binds a slot of this instance's plan, without a look at names where the engine has another way.
    ///
    /// # Panics
    /// When the slot is another plan's.
    fn bind<A: Args, R: Ret>(&mut self, slot: &<Self::Plan as Plan<T>>::Slot<A, R>) -> Self::Func<A, R>;

    /// Calls into the guest. The deadline set by [`Instance::set_time_limit`] starts anew with each call.
    ///
    /// # Errors
    /// A [`Trap`]; after one the instance is dead: every further call is another trap.
    fn call<A: Args, R: Ret>(&mut self, func: &Self::Func<A, R>, args: A) -> Result<R, Trap>;

    /// The longest that one [`Instance::call`] may run from now on; `None` is no limit.
    fn set_time_limit(&mut self, limit: Option<Duration>);

    /// Remembers the guest's state as it is now: its memory and its variables. False when that cannot be done for this
    /// module (it changes more than that), or on this machine.
    fn remember(&mut self) -> bool;

    /// Puts the guest back to the state that was remembered; the bytes that are held for it, for the memory that is
    /// in use and the copy of it. `None` when that cannot be done: the instance is of no use any more.
    fn rewind(&mut self) -> Option<usize>;

    /// The host data of the store.
    fn data(&mut self) -> &mut T;

    /// Linear memory held now, in bytes.
    fn memory_size(&mut self) -> usize;
}

/// The names by which a host finds its way around a guest. Each is looked up once for each plan.
#[derive(Clone, Copy, Debug)]
pub struct Wiring {
    /// The exported memory that [`Caller::split`] gives.
    pub memory: &'static str,
    /// Exported allocators of type `(i32) -> i32`; the first that the module has is the one of [`Caller::alloc`].
    pub allocators: &'static [&'static str],
}

/// Advances the clock by which deadlines are seen, from a thread of its own with all signals blocked.
/// Made after `fork`; dropping it ends and joins the thread.
pub struct Ticker {
    _stop: Box<dyn Send>,
}

/// A WebAssembly engine.
pub trait WasmEngine: Sized + Send + Sync + 'static {
    /// Its name in nginx.conf and in log lines.
    const NAME: &'static str;
    /// The compilers it takes by name, the one that `auto` means first.
    const COMPILERS: &'static [&'static str];
    /// Whether a module is made faster from what [`WasmEngine::serialize`] gives than from its own bytes.
    const ARTEFACTS: bool = true;

    /// A compiled module.
    type Module: Send + Sync + 'static;
    /// The host functions for one kind of store.
    type Linker<T: Send + 'static>: Linker<T>;
    /// A module with its imports resolved.
    type Plan<T: Send + 'static>: Plan<T> + Send + Sync;
    /// A running instance.
    type Instance<T: Send + 'static>: Instance<T, Plan = Self::Plan<T>>;

    /// Whether this engine knows the flag and takes the value; the text of nginx.conf, `on`, `1m`, `speed`.
    ///
    /// # Errors
    /// [`FlagError`] says which of name and value is wrong.
    fn check_flag(name: &str, value: &str) -> Result<FlagEffect, FlagError>;

    /// # Errors
    /// When the configuration's parts contradict each other or the machine lacks what they need.
    fn new(config: &Config) -> anyhow::Result<Self>;

    /// Compiles the bytes of a module (binary form). No thread it starts is alive when it returns.
    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Self::Module>;

    /// The compiled module as bytes that [`WasmEngine::deserialize`] takes back.
    fn serialize(&self, module: &Self::Module) -> anyhow::Result<Vec<u8>>;

    /// # Safety
    /// `artefact` came from [`WasmEngine::serialize`] of the same engine, version and flags, unchanged: it holds
    /// machine code that will be run. (An engine checks version and flags itself, and not the code.)
    unsafe fn deserialize(&self, artefact: &[u8]) -> anyhow::Result<Self::Module>;

    /// What the module asks of the host.
    fn imports(&self, module: &Self::Module) -> Vec<Import>;
    /// What the module offers to the host.
    fn exports(&self, module: &Self::Module) -> Vec<Export>;

    /// A linker without functions.
    fn linker<T: Send + 'static>(&self) -> Self::Linker<T>;

    /// Resolves a module's imports.
    ///
    /// # Errors
    /// Every import that the linker lacks or has with another type.
    fn plan<T: Send + 'static>(
        &self,
        linker: &Self::Linker<T>,
        module: &Self::Module,
        wiring: Wiring,
    ) -> Result<Self::Plan<T>, Vec<ImportError>>;

    /// Makes an instance and runs the module's `start` section, within `limit`.
    fn instantiate<T: Send + 'static>(
        &self,
        plan: &Self::Plan<T>,
        data: T,
        limit: Option<Duration>,
    ) -> Result<Self::Instance<T>, Trap>;

    /// Starts what makes time limits work in this process; `None` when the engine needs no thread for it.
    /// `shortest` is the shortest limit in use: the clock's step follows from it. One ticker at a time.
    ///
    /// # Panics
    /// When the process may have no more threads: going on without would be going on without time limits.
    fn ticker(&self, shortest: Duration) -> Option<Ticker>;

    /// How many instances of this process were made outside the pool, because it was full or could not be had.
    /// `0` for an engine without a pool.
    fn overflowed(&self) -> u64 {
        0
    }
}
