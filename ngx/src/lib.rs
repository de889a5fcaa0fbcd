//! nginx as safe Rust.
//!
//! This crate knows nginx and nothing of WebAssembly. Wrappers ([`http::Request`], [`Pool`], [`Log`], [`conf::Conf`])
//! are `Copy` pointers with a lifetime; no Rust reference to a C struct is ever kept, and bytes are lent as `&'a [u8]`.
//! Every function that nginx calls is guarded ([`guard`]): no panic unwinds into C.

pub mod http;
pub mod sys;
