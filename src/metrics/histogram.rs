//! Histograms: which bucket a value falls into, and what came together in them.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::layout::CHUNK;

/// The most bounds that a histogram can have: its cells are a sum, the buckets, and one for all above.
pub const MOST_BOUNDS: usize = CHUNK - 2;

/// Bounds are powers of two unless something else is said: up to 2^35, which is half a minute of nanoseconds, or 32 GiB.
const POWERS: u32 = 35;

/// The upper bounds of the buckets, each part of its bucket. None at all: powers of two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds(Arc<[u64]>);

impl Bounds {
    /// `None` unless they grow and are neither none nor too many.
    pub fn new(bounds: &[u64]) -> Option<Self> {
        let grow = bounds.is_sorted_by(|a, b| a < b);
        (grow && (1..=MOST_BOUNDS).contains(&bounds.len())).then(|| Self(bounds.into()))
    }

    /// As a record has them.
    pub(super) fn raw(&self) -> &[u64] {
        &self.0
    }
}

/// How many cells a histogram of these bounds needs: a sum and the buckets.
pub(super) fn cells(bounds: &[u64]) -> usize {
    1 + buckets(bounds.len())
}

fn buckets(bounds: usize) -> usize {
    if bounds == 0 { POWERS as usize + 2 } else { bounds + 1 }
}

/// The bucket of a value.
#[inline]
pub(super) fn bucket(bounds: &[AtomicU64], value: u64) -> usize {
    if bounds.is_empty() {
        let power = if value <= 1 { 0 } else { u64::BITS - (value - 1).leading_zeros() };
        return power.min(POWERS + 1) as usize;
    }
    bounds.partition_point(|bound| bound.load(Relaxed) < value)
}

/// What was recorded in a histogram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    pub sum: u64,
    /// The upper bounds.
    pub bounds: Vec<u64>,
    /// One more than bounds: the last is that of values above all of them.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Reads one whose cells `cell` gives, the sum being the first.
    pub(super) fn read(bounds: &[AtomicU64], cell: impl Fn(usize) -> u64) -> Self {
        let bounds: Vec<u64> = match bounds {
            [] => (0..=POWERS).map(|power| 1 << power).collect(),
            given => given.iter().map(|bound| bound.load(Relaxed)).collect(),
        };
        let counts = (0..=bounds.len()).map(|bucket| cell(1 + bucket)).collect();
        Self { sum: cell(0), bounds, counts }
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Each bound with the number of values up to it; the last has no bound.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.counts).scan(0u64, |sum, (bound, count)| {
            *sum = sum.wrapping_add(*count);
            Some((bound, *sum))
        })
    }
}
