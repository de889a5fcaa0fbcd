//! What the host itself measures of each module and engine.
//!
//! Some of it only grows, and is kept like the counters of filters. The rest is what a worker process holds now: that is
//! kept for each process apart, and counts as long as the process lives.

use std::ops::Range;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::time::Duration;

use super::histogram::Histogram;
use super::layout::Key;
use super::store::{Store, owner, text};
use super::{Memory, Refusal};

/// The kind of these entries in the table.
const HOST: u8 = 3;

/// The cells.
const FAILURES: usize = 0;
const TRAPS: usize = 1;
const DEADLINES: usize = 2;
const RESTARTS: usize = 3;
const TIME: usize = 4;
const BUCKETS: usize = 5;
const CELLS: usize = BUCKETS + (LAST_POWER - FIRST_POWER) as usize + 2;

/// Times are counted in buckets of powers of two: from 256 ns up to 4.3 s.
const FIRST_POWER: u32 = 8;
const LAST_POWER: u32 = 32;

/// What a process holds: a cache line of its own for each module.
const INSTANCES: usize = 0;
const CONTEXTS: usize = 1;
const MEMORY: usize = 2;
const HELD: usize = 8;

/// The numbers of a module in an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub module: String,
    pub engine: String,
    /// Requests that a filter of it failed.
    pub failures: u64,
    /// Calls that did not return, those that took too long among them.
    pub traps: u64,
    pub deadlines: u64,
    /// Instances of roots that were replaced.
    pub restarts: u64,
    /// Nanoseconds of each call into the guest.
    pub time: Histogram,
    pub instances: u64,
    pub contexts: u64,
    /// Bytes of linear memory.
    pub memory: u64,
}

/// A process that uses the metrics, as long as this lives.
pub struct Process<M: Memory> {
    store: Store<M>,
    place: usize,
}

impl<M: Memory> Process<M> {
    /// Registers a process; `None` when there is no place. `lives` tells of a process, by its id, whether it does.
    pub fn register(store: &Store<M>, pid: u32, lives: impl Fn(u32) -> bool) -> Option<Self> {
        let words = store.words();
        let claim = |place: &usize| {
            let seen = words[*place].load(Relaxed);
            let free = seen == 0 || seen == u64::from(pid) || !lives(seen as u32);
            free && words[*place].compare_exchange(seen, pid.into(), AcqRel, Relaxed).is_ok()
        };
        let mut places = store.layout.processes();
        let first = places.start;
        let place = places.find(claim)? - first;
        for (index, _) in store.entries().filter(|(_, entry)| entry.kind == HOST) {
            words[held(store, index, place)].iter().for_each(|word| word.store(0, Relaxed));
        }
        Some(Self { store: store.clone(), place })
    }
}

impl<M: Memory> Drop for Process<M> {
    fn drop(&mut self) {
        self.store.words()[self.store.layout.processes().start + self.place].store(0, Relaxed);
    }
}

/// The words of a process behind the record of an entry.
fn held<M: Memory>(store: &Store<M>, index: usize, place: usize) -> Range<usize> {
    let at = store.layout.extra(store.words(), index) + place * HELD;
    at..at + HELD
}

/// Measures one module in one worker.
pub struct Meter<M> {
    store: Store<M>,
    cell: usize,
    /// Where what this process holds is told.
    held: Option<usize>,
}

impl<M: Memory> Meter<M> {
    /// # Errors
    /// [`Refusal::Full`].
    pub fn new(store: &Store<M>, process: Option<&Process<M>>, module: &str, engine: &str) -> Result<Self, Refusal> {
        let (owner, module, name) = (owner(module), module.as_bytes(), engine.as_bytes());
        let key = Key { kind: HOST, owner, module, name, bounds: &[] };
        let extra = store.layout.processes().len() * HELD;
        let index = store.find_or_insert(&key, CELLS, extra)?;
        let cell = store.layout.entry(store.words(), index).ok_or(Refusal::Full)?.cell;
        let held = process.map(|process| held(store, index, process.place).start);
        Ok(Self { store: store.clone(), cell, held })
    }

    /// A call into the guest took so long.
    #[inline]
    pub fn called(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.store.add(self.cell + TIME, nanos);
        self.store.add(self.cell + BUCKETS + bucket(nanos), 1);
    }

    /// A call did not return; `late`: because it took too long.
    pub fn trapped(&self, late: bool) {
        self.store.add(self.cell + TRAPS, 1);
        self.store.add(self.cell + DEADLINES, late.into());
    }

    /// A filter failed a request.
    pub fn failed(&self) {
        self.store.add(self.cell + FAILURES, 1);
    }

    /// The instance of the roots was replaced.
    pub fn restarted(&self) {
        self.store.add(self.cell + RESTARTS, 1);
    }

    /// This process holds so many more, or fewer, instances.
    pub fn instances(&self, change: i64) {
        self.hold(INSTANCES, change);
    }

    #[inline]
    pub fn contexts(&self, change: i64) {
        self.hold(CONTEXTS, change);
    }

    /// Bytes of linear memory.
    pub fn memory(&self, change: i64) {
        self.hold(MEMORY, change);
    }

    #[inline]
    fn hold(&self, what: usize, change: i64) {
        if let Some(held) = self.held {
            self.store.words()[held + what].fetch_add(change as u64, Relaxed);
        }
    }
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let power = u64::BITS - nanos.saturating_sub(1).leading_zeros();
    (power.clamp(FIRST_POWER, LAST_POWER + 1) - FIRST_POWER) as usize
}

impl<M: Memory> Store<M> {
    /// The numbers of every module that was ever measured, and how many processes there are. `lives` as in
    /// [`Process::register`].
    pub fn usages(&self, lives: impl Fn(u32) -> bool) -> (Vec<Usage>, usize) {
        let words = self.words();
        let pid = |at: usize| words[at].load(Relaxed) as u32;
        let Range { start, end } = self.layout.processes();
        let living: Vec<_> = (start..end).filter(|&at| pid(at) != 0 && lives(pid(at))).map(|at| at - start).collect();
        let hosts = self.entries().filter(|(_, entry)| entry.kind == HOST);
        (hosts.map(|(index, entry)| self.usage_of(index, entry.cell, &living)).collect(), living.len())
    }

    fn usage_of(&self, index: usize, cell: usize, living: &[usize]) -> Usage {
        let now = |what: usize| {
            let each = living.iter().map(|&place| self.words()[held(self, index, place).start + what].load(Relaxed));
            each.fold(0, u64::wrapping_add)
        };
        let (module, engine) = self.layout.names(self.words(), index);
        let bounds: Vec<u64> = (FIRST_POWER..=LAST_POWER).map(|power| 1 << power).collect();
        let counts = (0..=bounds.len()).map(|bucket| self.sum(cell + BUCKETS + bucket)).collect();
        Usage {
            module: text(module),
            engine: text(engine),
            failures: self.sum(cell + FAILURES),
            traps: self.sum(cell + TRAPS),
            deadlines: self.sum(cell + DEADLINES),
            restarts: self.sum(cell + RESTARTS),
            time: Histogram { sum: self.sum(cell + TIME), bounds, counts },
            instances: now(INSTANCES),
            contexts: now(CONTEXTS),
            memory: now(MEMORY),
        }
    }
}
