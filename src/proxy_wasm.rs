//! The Proxy-Wasm host: the ABI between filters and the server around them.
//!
//! Nothing in here names nginx or an engine. The server is reached through [`host`], an engine through the traits of
//! the `engines` crate; the rest of WasmX sees [`load`], [`vm::Program`] and [`vm::Vm`].
//!
//! From the guest outwards: [`hostcalls`] is what guests call, [`exports`] what guests are called by, [`context`] who
//! is speaking, [`state`] what a host function can reach, [`calls`] what is being called and
//! answered, [`snapshot`] what is left of a stream that has ended, `program` the instance around them all.

#![forbid(unsafe_code)]

pub mod abi;
pub mod calls;
pub mod chain;
pub mod context;
pub mod exports;
pub mod foreign;
pub mod functions;
pub mod host;
pub mod hostcalls;
pub mod memory;
pub mod pairs;
mod program;
pub mod snapshot;
pub mod state;
pub mod vm;

#[cfg(all(test, any(feature = "wasmtime", feature = "wasmi")))]
mod tests;

pub use program::load;
