//! Metrics in memory that all workers share: those that filters define, and the host's own about them.
//!
//! Nothing in here names nginx. An update is one atomic addition in a row of memory that belongs to the worker, without a
//! lock; whoever reads adds the rows up. So nothing is lost by a reload, by another number of workers, or with a worker
//! that is killed, whatever it was doing: [`layout`] says why.

#![forbid(unsafe_code)]

mod histogram;
mod layout;
mod meter;
mod plain;
mod store;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;

pub use histogram::{Bounds, Histogram, MOST_BOUNDS};
pub use layout::TooSmall;
pub use meter::{Meter, Process, Usage};
pub use plain::Plain;
pub use store::{Metric, Scope, Store, Value};

/// The memory of a store, and its lock.
pub trait Memory: Clone {
    /// All of it: the same words in every process, zero before [`Store::format`].
    fn words(&self) -> &[AtomicU64];

    /// Runs `f` while nobody else runs one.
    fn exclusively<R>(&self, f: impl FnOnce() -> R) -> R;
}

/// What a metric is (spec v0.2.1, `proxy_metric_type_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn from_abi(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Counter,
            1 => Self::Gauge,
            2 => Self::Histogram,
            _ => return None,
        })
    }
}

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No metric of this module has that id.
    Unknown,
    /// Not with a metric of that kind, or not with that value.
    Unfit,
    /// There is no room for another metric.
    Full,
    /// The name is longer than is allowed.
    TooLong,
}
