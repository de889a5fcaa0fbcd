//! WASI preview 1.

mod functions;
mod rust;
