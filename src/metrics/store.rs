//! The metrics of filters: defined, changed, read.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::histogram::{self, Bounds, Histogram};
use super::layout::{CHUNK, Entry, Key, Layout, OWNER_MASK, TooSmall, fnv};
use super::{Kind, Memory, Refusal};

/// The kinds in the table, besides those of the host's own (see `meter`).
const COUNTER: u8 = 0;
const GAUGE: u8 = 1;
const HISTOGRAM: u8 = 2;

/// What one worker sees of the metrics.
#[derive(Clone)]
pub struct Store<M> {
    pub(super) memory: M,
    pub(super) layout: Layout,
    /// The row that this worker adds in.
    row: usize,
    longest_name: usize,
    bounds: Bounds,
}

/// A metric as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The module that has defined it.
    pub module: String,
    pub name: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Counter(u64),
    Gauge(u64),
    Histogram(Histogram),
}

impl<M: Memory> Store<M> {
    /// Makes memory ready, unless it is in use already, for so many workers that each have a row of their own.
    ///
    /// # Errors
    /// When there is not enough of it.
    pub fn format(memory: &M, writers: usize) -> Result<(), TooSmall> {
        Layout::format(memory.words(), writers)
    }

    /// The store in memory that is ready, for the worker of that number; `None` when it is not ready.
    pub fn open(memory: M, worker: usize, longest_name: usize, bounds: Bounds) -> Option<Self> {
        let layout = Layout::of(memory.words())?;
        Some(Self { memory, layout, row: layout.row(worker), longest_name, bounds })
    }

    #[inline]
    pub(super) fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    /// Adds in this worker's row.
    #[inline]
    pub(super) fn add(&self, cell: usize, value: u64) {
        self.words()[cell + self.row * CHUNK].fetch_add(value, Relaxed);
    }

    /// The sum of all rows.
    pub(super) fn sum(&self, cell: usize) -> u64 {
        let words = self.words();
        self.layout.cells(cell).fold(0, |sum, at| sum.wrapping_add(words[at].load(Relaxed)))
    }

    /// Finds an entry, or adds it. Of what is there already, no lock is taken.
    pub(super) fn find_or_insert(&self, key: &Key<'_>, cells: usize, extra: usize) -> Result<usize, Refusal> {
        let words = self.words();
        if let Some(index) = self.layout.find(words, key) {
            return Ok(index);
        }
        self.memory.exclusively(|| {
            let found = self.layout.find(words, key);
            found.or_else(|| self.layout.insert(words, key, cells, extra)).ok_or(Refusal::Full)
        })
    }

    /// Every entry, by its place in the table.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, Entry)> {
        (0..).map_while(|index| Some((index, self.layout.entry(self.words(), index)?)))
    }

    /// All metrics, in the order in which they were defined. A histogram of other bounds than are configured is not shown:
    /// it is of an earlier configuration, and goes on when its bounds come back.
    pub fn metrics(&self) -> Vec<Metric> {
        self.entries().filter_map(|(index, entry)| self.metric(index, entry)).collect()
    }

    fn metric(&self, index: usize, entry: Entry) -> Option<Metric> {
        let value = match entry.kind {
            COUNTER => Value::Counter(self.sum(entry.cell)),
            GAUGE => Value::Gauge(self.sum(entry.cell)),
            HISTOGRAM => {
                let bounds = self.layout.bounds(self.words(), index);
                if !bounds.iter().map(|bound| bound.load(Relaxed)).eq(self.bounds.raw().iter().copied()) {
                    return None;
                }
                Value::Histogram(Histogram::read(bounds, |nth| self.sum(entry.cell + nth)))
            }
            _ => return None,
        };
        let (module, name) = self.layout.names(self.words(), index);
        Some(Metric { module: text(module), name: text(name), value })
    }

    /// How many bytes there are, and how many of them are taken.
    pub fn usage(&self) -> (usize, usize) {
        let (all, taken) = self.layout.taken(self.words());
        (all * size_of::<u64>(), taken * size_of::<u64>())
    }
}

pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What tells the metrics of modules apart without a look at their names.
pub(super) fn owner(module: &str) -> u32 {
    fnv(module.as_bytes()) as u32 & OWNER_MASK
}

/// What one module sees of the metrics: its own.
pub struct Scope<M> {
    store: Store<M>,
    module: String,
    owner: u32,
}

impl<M: Memory> Scope<M> {
    pub fn new(store: Store<M>, module: &str) -> Self {
        Self { store, module: module.to_owned(), owner: owner(module) }
    }

    /// Makes a metric, or finds the one that there is; its id, the same in every worker.
    ///
    /// # Errors
    /// [`Refusal::Unfit`] for a name that is none, [`Refusal::TooLong`], [`Refusal::Full`].
    pub fn define(&self, kind: Kind, name: &[u8]) -> Result<u32, Refusal> {
        if name.is_empty() || std::str::from_utf8(name).is_err() {
            return Err(Refusal::Unfit);
        }
        if name.len() > self.store.longest_name {
            return Err(Refusal::TooLong);
        }
        let (kind, bounds) = match kind {
            Kind::Counter => (COUNTER, &[][..]),
            Kind::Gauge => (GAUGE, &[][..]),
            Kind::Histogram => (HISTOGRAM, self.store.bounds.raw()),
        };
        let cells = if kind == HISTOGRAM { histogram::cells(bounds) } else { 1 };
        let key = Key { kind, owner: self.owner, module: self.module.as_bytes(), name, bounds };
        let index = self.store.find_or_insert(&key, cells, 0)?;
        u32::try_from(index + 1).map_err(|_| Refusal::Full)
    }

    #[inline]
    fn entry(&self, id: u32) -> Result<(usize, Entry), Refusal> {
        let index = (id as usize).checked_sub(1).ok_or(Refusal::Unknown)?;
        let entry = self.store.layout.entry(self.store.words(), index).ok_or(Refusal::Unknown)?;
        if entry.owner != self.owner || entry.kind > HISTOGRAM {
            return Err(Refusal::Unknown);
        }
        Ok((index, entry))
    }

    /// Adds to a counter, which only grows, or to a gauge.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::Unfit`].
    #[inline]
    pub fn increment(&self, id: u32, delta: i64) -> Result<(), Refusal> {
        let (_, entry) = self.entry(id)?;
        if entry.kind == HISTOGRAM || (entry.kind == COUNTER && delta < 0) {
            return Err(Refusal::Unfit);
        }
        self.store.add(entry.cell, delta as u64);
        Ok(())
    }

    /// Sets a counter or a gauge; adds a value to a histogram.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    #[inline]
    pub fn record(&self, id: u32, value: u64) -> Result<(), Refusal> {
        let (index, entry) = self.entry(id)?;
        if entry.kind == HISTOGRAM {
            let bounds = self.store.layout.bounds(self.store.words(), index);
            self.store.add(entry.cell, value);
            self.store.add(entry.cell + 1 + histogram::bucket(bounds, value), 1);
        } else {
            self.set(entry.cell, value);
        }
        Ok(())
    }

    /// Row 0 makes up for what is in the others. Of two workers that set at once, one is the last; what others add
    /// meanwhile is added to what was set.
    fn set(&self, cell: usize, value: u64) {
        let words = self.store.words();
        let others = self.store.layout.cells(cell).skip(1);
        let others = others.fold(0u64, |sum, at| sum.wrapping_add(words[at].load(Relaxed)));
        words[cell].store(value.wrapping_sub(others), Relaxed);
    }

    /// The value of a counter or gauge.
    ///
    /// # Errors
    /// [`Refusal::Unknown`], [`Refusal::Unfit`] for a histogram.
    pub fn get(&self, id: u32) -> Result<u64, Refusal> {
        let (_, entry) = self.entry(id)?;
        if entry.kind == HISTOGRAM { Err(Refusal::Unfit) } else { Ok(self.store.sum(entry.cell)) }
    }
}
