//! The engines of this build, behind one `dyn` seam: nginx's statics cannot be generic, and modules of one
//! configuration may run on different engines.

use std::sync::Arc;
use std::time::Duration;

use engines::artefact::{Digest, Key, Keyed, Source, Unfit};
use engines::{Config, Export, FlagEffect, FlagError, Import, ImportError, Ticker, WasmEngine};

use crate::proxy_wasm::vm::{Program, VmConfig};
use crate::worker::WorkerHost;

#[cfg(not(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi")))]
compile_error!("enable an engine, or several: --features wasmtime,wasmer,wasmi");

/// The engines compiled in, by the names of nginx.conf. The first is the default.
pub const NAMES: &[&str] = &[
    #[cfg(feature = "wasmtime")]
    engines::Wasmtime::NAME,
    #[cfg(feature = "wasmer")]
    engines::Wasmer::NAME,
    #[cfg(feature = "wasmi")]
    engines::Wasmi::NAME,
];

const ENGINES: &[Entry] = &[
    #[cfg(feature = "wasmtime")]
    entry::<engines::Wasmtime>(),
    #[cfg(feature = "wasmer")]
    entry::<engines::Wasmer>(),
    #[cfg(feature = "wasmi")]
    entry::<engines::Wasmi>(),
];

/// One configured engine.
pub trait Runtime: Send + Sync {
    fn name(&self) -> &'static str;

    /// Compiles the bytes of a module. No thread that it starts is alive when it returns.
    ///
    /// # Errors
    /// When the bytes are no valid module.
    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Arc<dyn Compiled>>;

    /// What artefacts have to match; `None` when nothing is gained by those of this engine.
    fn key(&self) -> Option<&Key>;

    /// The module in an artefact; `digest` is that of the bytes it has to be compiled from, if that matters.
    ///
    /// # Errors
    /// When it is not to be run by this engine.
    fn load(&self, source: &Source, digest: Option<&Digest>) -> Result<Arc<dyn Compiled>, Unfit>;

    /// Starts the clock of time limits in this process; `None` when the engine needs none.
    fn ticker(&self, shortest: Duration) -> Option<Ticker>;

    /// How many instances of this process found the pool full.
    fn overflowed(&self) -> u64;
}

/// A compiled module, not yet linked: what modules of the same bytes share, within a configuration and over reloads.
pub trait Compiled: Send + Sync {
    /// Links it against the Proxy-Wasm host. Cheap.
    ///
    /// # Errors
    /// Every import that the host lacks, or has with another type.
    fn link(&self, config: VmConfig) -> Result<Arc<dyn Program<WorkerHost>>, Vec<ImportError>>;

    /// It as an artefact; `digest` is that of the bytes it was compiled from.
    ///
    /// # Errors
    /// When its engine makes none.
    fn artefact(&self, digest: &Digest) -> anyhow::Result<Vec<u8>>;

    fn exports(&self) -> Vec<Export>;

    fn imports(&self) -> Vec<Import>;
}

/// Makes an engine of this build.
///
/// # Errors
/// When there is none of that name, or it refuses the configuration.
pub fn runtime(name: &str, config: &Config) -> anyhow::Result<Arc<dyn Runtime>> {
    let entry = find(name).ok_or_else(|| anyhow::anyhow!("no engine \"{name}\" in this build"))?;
    (entry.make)(config)
}

/// The compilers that an engine takes by name, besides `auto`. Empty for an engine that is not compiled in.
pub fn compilers(name: &str) -> &'static [&'static str] {
    find(name).map_or(&[], |entry| entry.compilers)
}

/// Checks a `flag` of an engine's block; `None` when the engine is not compiled in.
pub fn check_flag(name: &str, flag: &str, value: &str) -> Option<Result<FlagEffect, FlagError>> {
    find(name).map(|entry| (entry.check_flag)(flag, value))
}

/// An engine type, without its type.
struct Entry {
    name: &'static str,
    compilers: &'static [&'static str],
    check_flag: fn(&str, &str) -> Result<FlagEffect, FlagError>,
    make: fn(&Config) -> anyhow::Result<Arc<dyn Runtime>>,
}

const fn entry<E: WasmEngine>() -> Entry {
    Entry {
        name: E::NAME,
        compilers: E::COMPILERS,
        check_flag: E::check_flag,
        make: |config| Ok(Arc::new(Engine(Arc::new(Keyed::<E>::new(config)?)))),
    }
}

fn find(name: &str) -> Option<&'static Entry> {
    ENGINES.iter().find(|entry| entry.name == name)
}

struct Engine<E>(Arc<Keyed<E>>);

impl<E: WasmEngine> Engine<E> {
    fn unlinked(&self, module: E::Module) -> Arc<dyn Compiled> {
        Arc::new(Unlinked { engine: self.0.clone(), module })
    }
}

impl<E: WasmEngine> Runtime for Engine<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn compile(&self, wasm: &[u8]) -> anyhow::Result<Arc<dyn Compiled>> {
        Ok(self.unlinked(self.0.engine().compile(wasm)?))
    }

    fn key(&self) -> Option<&Key> {
        self.0.key()
    }

    fn load(&self, source: &Source, digest: Option<&Digest>) -> Result<Arc<dyn Compiled>, Unfit> {
        Ok(self.unlinked(self.0.load(source, digest)?))
    }

    fn ticker(&self, shortest: Duration) -> Option<Ticker> {
        self.0.engine().ticker(shortest)
    }

    fn overflowed(&self) -> u64 {
        self.0.engine().overflowed()
    }
}

struct Unlinked<E: WasmEngine> {
    engine: Arc<Keyed<E>>,
    module: E::Module,
}

impl<E: WasmEngine> Compiled for Unlinked<E> {
    fn link(&self, config: VmConfig) -> Result<Arc<dyn Program<WorkerHost>>, Vec<ImportError>> {
        crate::proxy_wasm::load(self.engine.engine().clone(), &self.module, config)
    }

    fn artefact(&self, digest: &Digest) -> anyhow::Result<Vec<u8>> {
        self.engine.pack(&self.module, digest)
    }

    fn exports(&self) -> Vec<Export> {
        self.engine.engine().exports(&self.module)
    }

    fn imports(&self) -> Vec<Import> {
        self.engine.engine().imports(&self.module)
    }
}
