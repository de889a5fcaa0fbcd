//! What this process has compiled: a reload compiles only what changed.
//!
//! References are weak. The cycle being served keeps its engines and modules until the new one is up, and that is when
//! they are asked for here. Workers inherit both over `fork` and never come here.

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ::engines::Config;

use super::values::Digest;
use crate::engine::{self, Compiled, Runtime};

static CACHE: Mutex<Cache> = Mutex::new(Cache { runtimes: Vec::new(), modules: Vec::new() });

struct Cache {
    runtimes: Vec<KnownRuntime>,
    modules: Vec<KnownModule>,
}

struct KnownRuntime {
    name: &'static str,
    config: Config,
    runtime: Weak<dyn Runtime>,
}

struct KnownModule {
    runtime: Weak<dyn Runtime>,
    digest: Digest,
    compiled: Weak<dyn Compiled>,
}

/// A compiled module, and whether it had been compiled before.
pub struct Found {
    pub compiled: Arc<dyn Compiled>,
    pub reused: bool,
}

/// The engine of that name made from that configuration: the one there is, or a new one.
///
/// # Errors
/// When the engine refuses the configuration.
pub fn runtime(name: &'static str, config: &Config) -> anyhow::Result<Arc<dyn Runtime>> {
    let mut cache = lock();
    cache.runtimes.retain(|known| known.runtime.strong_count() > 0);
    let known = cache.runtimes.iter().find(|known| known.name == name && known.config == *config);
    if let Some(runtime) = known.and_then(|known| known.runtime.upgrade()) {
        return Ok(runtime);
    }
    let runtime = engine::runtime(name, config)?;
    cache.runtimes.push(KnownRuntime { name, config: config.clone(), runtime: Arc::downgrade(&runtime) });
    Ok(runtime)
}

/// The module of these bytes, compiled by this engine now or before.
///
/// # Errors
/// When they are no valid module.
pub fn compile(runtime: &Arc<dyn Runtime>, digest: Digest, wasm: &[u8]) -> anyhow::Result<Found> {
    let mut cache = lock();
    cache.modules.retain(|known| known.compiled.strong_count() > 0);
    let known = cache.modules.iter().find(|known| known.digest == digest && same(&known.runtime, runtime));
    if let Some(compiled) = known.and_then(|known| known.compiled.upgrade()) {
        return Ok(Found { compiled, reused: true });
    }
    let compiled = runtime.compile(wasm)?;
    let (by, of) = (Arc::downgrade(runtime), Arc::downgrade(&compiled));
    cache.modules.push(KnownModule { runtime: by, digest, compiled: of });
    Ok(Found { compiled, reused: false })
}

/// One allocation: an address is not used again while a weak reference to it is left.
fn same(weak: &Weak<dyn Runtime>, runtime: &Arc<dyn Runtime>) -> bool {
    ptr::addr_eq(weak.as_ptr(), Arc::as_ptr(runtime))
}

/// An engine that panicked while it compiled left the lists as they were.
fn lock() -> MutexGuard<'static, Cache> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}
