//! The engines of this build, each without its type.

use engines::artefact::{Digest, Key, Keyed};
use engines::{Config, Export, FlagError, Import, WasmEngine};

#[cfg(not(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi")))]
compile_error!("enable an engine, or several: --features wasmtime,wasmer,wasmi");

/// In the order in which they are the default of nginx.conf.
pub const ENGINES: &[Engine] = &[
    #[cfg(feature = "wasmtime")]
    engine::<engines::Wasmtime>(),
    #[cfg(feature = "wasmer")]
    engine::<engines::Wasmer>(),
    #[cfg(feature = "wasmi")]
    engine::<engines::Wasmi>(),
];

/// What is asked of an engine.
pub struct Engine {
    pub name: &'static str,
    pub compilers: &'static [&'static str],
    check_flag: fn(&str, &str) -> Result<(), FlagError>,
    /// What artefacts have to match; `None` for an engine that has none.
    pub key: fn(&Config) -> Option<Key>,
    /// A module as an artefact; the digest is that of its bytes.
    pub compile: fn(&Config, &[u8], &Digest) -> anyhow::Result<Vec<u8>>,
    /// What a module wants and offers.
    pub interface: fn(&[u8]) -> anyhow::Result<Interface>,
}

/// What a module wants of its host, and offers to it.
pub struct Interface {
    pub imports: Vec<Import>,
    pub exports: Vec<Export>,
}

const fn engine<E: WasmEngine>() -> Engine {
    Engine {
        name: E::NAME,
        compilers: E::COMPILERS,
        check_flag: |name, value| E::check_flag(name, value).map(drop),
        key: Key::of::<E>,
        compile: |config, wasm, digest| {
            let engine = Keyed::<E>::new(config)?;
            let module = engine.engine().compile(wasm)?;
            engine.pack(&module, digest)
        },
        interface: |wasm| {
            // Nothing is run: no pool is needed.
            let engine = E::new(&Config { instances: 0, ..Config::default() })?;
            let module = engine.compile(wasm)?;
            Ok(Interface { imports: engine.imports(&module), exports: engine.exports(&module) })
        },
    }
}

impl Engine {
    /// # Errors
    /// The first setting that the engine does not take.
    pub fn check(&self, config: &Config) -> anyhow::Result<()> {
        let (name, compiler) = (self.name, &config.compiler);
        let known = compiler == "auto" || self.compilers.contains(&compiler.as_str());
        anyhow::ensure!(known, "invalid compiler \"{compiler}\": {name} has auto {}", self.compilers.join(" "));
        for (flag, value) in &config.flags {
            (self.check_flag)(flag, value).map_err(|error| anyhow::anyhow!("{name} flag \"{flag}\": {error}"))?;
        }
        Ok(())
    }
}

pub fn names() -> Vec<&'static str> {
    ENGINES.iter().map(|engine| engine.name).collect()
}

/// # Errors
/// When this build has none of that name.
pub fn find(name: &str) -> anyhow::Result<&'static Engine> {
    let found = ENGINES.iter().find(|engine| engine.name == name);
    found.ok_or_else(|| anyhow::anyhow!("unknown engine \"{name}\", this build has: {}", names().join(", ")))
}
