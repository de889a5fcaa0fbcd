//! What every engine must do, run on every engine that is compiled in: `calls::wasmi::…` is a test of wasmi.

#![cfg_attr(
    not(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi")),
    allow(dead_code, unused_imports, unused_macros)
)]

/// Mounts tests, functions generic over the engine. One that is not mounted is dead code, and the linter says so.
macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        #[cfg(feature = "wasmtime")]
        mod wasmtime { $( #[test] fn $test() { super::$test::<engines::Wasmtime>() } )* }
        #[cfg(feature = "wasmer")]
        mod wasmer { $( #[test] fn $test() { super::$test::<engines::Wasmer>() } )* }
        #[cfg(feature = "wasmi")]
        mod wasmi { $( #[test] fn $test() { super::$test::<engines::Wasmi>() } )* }
    };
}

mod artefacts;
mod calls;
mod deadlines;
mod flags;
mod forks;
mod host;
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
mod kept;
mod linking;
mod memory;
mod modules;
#[cfg(feature = "wasmtime")]
mod pool;
mod proposals;
mod rewind;
mod threads;
#[cfg(all(feature = "wasmtime", feature = "wasmer"))]
mod together;
mod traps;
