//! What workers share: the algorithms over a zone of memory, named [`Slab`] here. They name no nginx: `worker` runs them
//! on nginx's shared zones, trial starts and tests on plain memory.
//!
//! A process may be killed anywhere. Who changes a zone says so first ([`Slab::set_dirty`]); who opens a zone in which
//! that is said does not trust what is there, and empties it.

#![forbid(unsafe_code)]

pub mod kv;
pub mod plain;
pub mod queue;
mod slab;

#[cfg(test)]
mod dying;

pub use slab::{At, Damaged, Slab, WORDS};
