//! The store on plain memory.

mod crash;
mod filters;
mod host;

use super::{Bounds, Plain, Scope, Store};

const SIZE: usize = 256 << 10;

fn memory(bytes: usize) -> Plain {
    let memory = Plain::new(bytes);
    Store::format(&memory, 16).unwrap();
    memory
}

fn store(memory: &Plain, worker: usize) -> Store<Plain> {
    Store::open(memory.clone(), worker, 256, Bounds::default()).unwrap()
}

fn scope(memory: &Plain, worker: usize) -> Scope<Plain> {
    Scope::new(store(memory, worker), "filter")
}
