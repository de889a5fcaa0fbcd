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

/// The module of the bytes with that digest, if this engine has it.
pub fn module(runtime: &Arc<dyn Runtime>, digest: &Digest) -> Option<Arc<dyn Compiled>> {
    let mut cache = lock();
    cache.modules.retain(|known| known.compiled.strong_count() > 0);
    let known = cache.modules.iter().find(|known| known.digest == *digest && same(&known.runtime, runtime));
    known.and_then(|known| known.compiled.upgrade())
}

/// Remembers a module that the engine has now.
pub fn remember(runtime: &Arc<dyn Runtime>, digest: Digest, compiled: &Arc<dyn Compiled>) {
    let (runtime, compiled) = (Arc::downgrade(runtime), Arc::downgrade(compiled));
    lock().modules.push(KnownModule { runtime, digest, compiled });
}

/// One allocation: an address is not used again while a weak reference to it is left.
fn same(weak: &Weak<dyn Runtime>, runtime: &Arc<dyn Runtime>) -> bool {
    ptr::addr_eq(weak.as_ptr(), Arc::as_ptr(runtime))
}

/// An engine that panicked while it was made left the lists as they were.
fn lock() -> MutexGuard<'static, Cache> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}
