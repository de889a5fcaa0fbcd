//! nginx's headers, translated by bindgen, and what bindgen cannot translate.
#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unsafe_op_in_unsafe_fn,
    reason = "generated from C, with C's names"
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
