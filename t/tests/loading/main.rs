//! How a module becomes a filter: versions, start, memory.

mod memory;
mod start;
mod symbols;
mod versions;
