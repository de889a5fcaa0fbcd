//! WasmX for nginx: WebAssembly filters with the Proxy-Wasm ABI.

#![deny(unsafe_code)]

pub mod proxy_wasm;
pub mod wasi;
