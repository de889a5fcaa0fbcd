//! WasmX for nginx: WebAssembly filters with the Proxy-Wasm ABI.
//!
//! Three nginx modules in one `.so`, over a Proxy-Wasm host that names no nginx and no engine.

#![deny(unsafe_code)]

pub mod metrics;
pub mod proxy_wasm;
pub mod raw;
pub mod shm;
pub mod status;
pub mod text;
pub mod wasi;
#[cfg(any(feature = "nginx", test))]
mod wasmtime_cache;

#[cfg(feature = "nginx")]
pub mod conf;
#[cfg(any(feature = "nginx", test))]
#[cfg_attr(not(feature = "nginx"), allow(dead_code, reason = "a part of it, for its tests"))]
pub mod dispatch;
#[cfg(feature = "nginx")]
pub mod engine;
#[cfg(feature = "nginx")]
pub mod http;
#[cfg(feature = "nginx")]
mod modules;
#[cfg(feature = "nginx")]
pub mod worker;
