//! Ticks over the life of workers. What a tick is, `lifecycle::tick` tells.

mod changes;
mod ends;
