//! Every host function in every callback, and the status that it answers with.
//!
//! `proxy_wasm.txt` and `wasi.txt` are both: the calls to make, and what they answer. `table.rs` says how they are read.

mod guest;
mod statuses;
mod table;
