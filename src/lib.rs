//! WasmX for nginx: WebAssembly filters with the Proxy-Wasm ABI.
//!
//! Three nginx modules in one `.so`, over a Proxy-Wasm host that names no nginx and no engine.

#![deny(unsafe_code)]

pub mod metrics;
pub mod proxy_wasm;
pub mod shm;
pub mod status;
pub mod wasi;

#[cfg(feature = "nginx")]
pub mod conf;
#[cfg(feature = "nginx")]
pub mod engine;
#[cfg(feature = "nginx")]
pub mod http;
#[cfg(feature = "nginx")]
mod modules;
#[cfg(feature = "nginx")]
pub mod worker;
