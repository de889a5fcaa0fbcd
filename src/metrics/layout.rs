//! How the memory is used.
//!
//! ```text
//! header | processes | hash of names | table | records →                     ← chunks of cells
//! ```
//!
//! A metric is an entry of the table, at the place that its id says: what it is and where its first cell is. Its record has
//! the name. Its cells lie in a chunk: [`CHUNK`] words for each row, one row after the other. Row 0 is that of nobody, in
//! which a value is set; each worker adds in a row of its own, so that no two write to the same cache line.
//!
//! Metrics are only ever added, under a lock. One is there as soon as the first word of its entry is, and that is written
//! last: a worker that is killed before that leaves some words behind that nobody uses, and nothing to repair.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Words of a chunk in one row: what a metric needs at most.
pub const CHUNK: usize = 64;

/// Words in a cache line.
const LINE: usize = 8;
const MAGIC: u64 = u64::from_le_bytes(*b"wasmx-m1");

/// The words of the header.
const FORMAT: usize = 0;
const ROWS: usize = 1;
const PROCESSES: usize = 2;
/// A power of two.
const HASH: usize = 3;
/// Where the next record begins.
const LOW: usize = 4;
/// Where the lowest chunk begins (the high half), and how many words of its rows are used (the low half).
const HIGH: usize = 5;
/// How many metrics there are, or less.
const COUNT: usize = 6;
const HEADER: usize = 8;

/// The memory is too small to hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSmall;

/// What an entry of the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 0 to 3.
    pub kind: u8,
    /// Of 30 bits.
    pub owner: u32,
    /// Of row 0.
    pub cell: usize,
}

impl Entry {
    fn pack(self) -> u64 {
        u64::from(self.kind) << 62 | u64::from(self.owner) << 32 | self.cell as u64
    }

    /// No cell is at 0.
    fn unpack(word: u64) -> Option<Self> {
        let (kind, owner, cell) = ((word >> 62) as u8, (word >> 32) as u32 & OWNER_MASK, word as u32 as usize);
        (cell != 0).then_some(Self { kind, owner, cell })
    }
}

pub const OWNER_MASK: u32 = (1 << 30) - 1;

/// What identifies a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    pub kind: u8,
    pub owner: u32,
    pub module: &'a [u8],
    pub name: &'a [u8],
    /// Of a histogram.
    pub bounds: &'a [u64],
}

impl Key<'_> {
    fn hash(&self) -> u64 {
        fnv([self.kind].iter().chain(self.module).chain(&[0xff]).chain(self.name))
    }

    /// The first word of its record.
    fn lengths(&self) -> u64 {
        (self.module.len() as u64) << 40 | (self.name.len() as u64) << 8 | self.bounds.len() as u64
    }

    /// Its record, word by word.
    fn words(&self) -> impl Iterator<Item = u64> {
        let mut bytes = self.module.iter().chain(self.name).copied();
        let text = std::iter::from_fn(move || {
            let mut word = [0; 8];
            let mut used = 0;
            for byte in bytes.by_ref().take(8) {
                word[used] = byte;
                used += 1;
            }
            (used > 0).then_some(u64::from_le_bytes(word))
        });
        std::iter::once(self.lengths()).chain(self.bounds.iter().copied()).chain(text)
    }

    fn size(&self) -> usize {
        1 + self.bounds.len() + (self.module.len() + self.name.len()).div_ceil(8)
    }
}

/// FNV-1a.
pub fn fnv<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Where things are in memory that was formatted. It does not change.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    rows: usize,
    processes: usize,
    hash: usize,
    hash_at: usize,
    table_at: usize,
    most: usize,
}

impl Layout {
    /// Makes zeroed memory ready for `writers` workers that do not share a row, unless it is ready already.
    pub fn format(words: &[AtomicU64], writers: usize) -> Result<(), TooSmall> {
        if words.first().is_some_and(|word| word.load(Acquire) == MAGIC) {
            return Ok(());
        }
        // nginx built to debug its memory fills what is new with junk.
        words.iter().for_each(|word| word.store(0, Relaxed));
        let len = usable(words);
        if len < LINE * CHUNK {
            return Err(TooSmall);
        }
        let hash = 1usize << (len / 16).ilog2();
        // Little memory is not all for one chunk.
        let rows = (writers + 1).min((len / 4 / CHUNK).max(2));
        // During a reload there are two sets of workers.
        let processes = (len / 256).clamp(4, (2 * writers + 16).max(128));
        let layout = Self::new(rows, processes, hash);
        let set = |at: usize, value: usize| words[at].store(value as u64, Relaxed);
        set(ROWS, rows);
        set(PROCESSES, processes);
        set(HASH, hash);
        set(LOW, layout.table_at + 2 * layout.most);
        words[HIGH].store((len as u64) << 32 | CHUNK as u64, Relaxed);
        words[FORMAT].store(MAGIC, Release);
        Ok(())
    }

    /// That of memory that was formatted.
    pub fn of(words: &[AtomicU64]) -> Option<Self> {
        let word = |at: usize| words[at].load(Relaxed) as usize;
        let formatted = words.first()?.load(Acquire) == MAGIC;
        formatted.then(|| Self::new(word(ROWS), word(PROCESSES), word(HASH)))
    }

    fn new(rows: usize, processes: usize, hash: usize) -> Self {
        let hash_at = HEADER + processes;
        Self { rows, processes, hash, hash_at, table_at: hash_at + hash, most: hash / 4 * 3 }
    }

    /// The row of a worker, from 1 on: two share one when there are not enough.
    pub fn row(&self, worker: usize) -> usize {
        1 + worker % (self.rows - 1)
    }

    /// The words that a cell has, one in each row.
    pub fn cells(&self, cell: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.rows).map(move |row| cell + row * CHUNK)
    }

    /// The words that name the processes that use this memory.
    pub fn processes(&self) -> Range<usize> {
        HEADER..HEADER + self.processes
    }

    /// The entry at `index`.
    #[inline]
    pub fn entry(&self, words: &[AtomicU64], index: usize) -> Option<Entry> {
        if index >= self.most {
            return None;
        }
        Entry::unpack(words[self.table_at + 2 * index].load(Acquire))
    }

    /// Where the record of the entry at `index` is.
    fn record(&self, words: &[AtomicU64], index: usize) -> usize {
        words[self.table_at + 2 * index + 1].load(Relaxed) as usize
    }

    /// The bounds of an entry's record: their number, and where they are.
    #[inline]
    pub fn bounds<'a>(&self, words: &'a [AtomicU64], index: usize) -> &'a [AtomicU64] {
        let at = self.record(words, index);
        let count = words[at].load(Relaxed) as u8;
        &words[at + 1..at + 1 + usize::from(count)]
    }

    /// Module and name of an entry.
    pub fn names(&self, words: &[AtomicU64], index: usize) -> (Vec<u8>, Vec<u8>) {
        let at = self.record(words, index);
        let lengths = words[at].load(Relaxed);
        let (module, name) = ((lengths >> 40) as usize, (lengths >> 8) as u32 as usize);
        let text = &words[at + 1 + usize::from(lengths as u8)..][..(module + name).div_ceil(8)];
        let mut module_bytes: Vec<u8> = text.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        module_bytes.truncate(module + name);
        let name_bytes = module_bytes.split_off(module);
        (module_bytes, name_bytes)
    }

    /// Words behind the record of an entry that [`Layout::insert`] was told to add.
    pub fn extra(&self, words: &[AtomicU64], index: usize) -> usize {
        let at = self.record(words, index);
        let lengths = words[at].load(Relaxed);
        let text = ((lengths >> 40) as usize + (lengths >> 8) as u32 as usize).div_ceil(8);
        (at + 1 + usize::from(lengths as u8) + text).next_multiple_of(LINE)
    }

    /// The entry of that key.
    pub fn find(&self, words: &[AtomicU64], key: &Key<'_>) -> Option<usize> {
        for place in self.places(key) {
            let index = (words[place].load(Acquire) as usize).checked_sub(1)?;
            let alike = |entry: Entry| entry.kind == key.kind && entry.owner == key.owner;
            if self.entry(words, index).is_some_and(alike) && self.is(words, index, key) {
                return Some(index);
            }
        }
        None
    }

    fn is(&self, words: &[AtomicU64], index: usize, key: &Key<'_>) -> bool {
        let record = &words[self.record(words, index)..];
        key.words().zip(record).all(|(wanted, word)| word.load(Relaxed) == wanted)
    }

    /// Where in the hash a key may be, in this order.
    fn places(&self, key: &Key<'_>) -> impl Iterator<Item = usize> + use<> {
        let (first, at, mask) = (key.hash() as usize, self.hash_at, self.hash - 1);
        (0..=mask).map(move |step| at + (first.wrapping_add(step) & mask))
    }

    /// Adds an entry with `cells` cells in each row, and `extra` words of zero behind its record. Only under the lock.
    /// `None` when there is no room.
    pub fn insert(&self, words: &[AtomicU64], key: &Key<'_>, cells: usize, extra: usize) -> Option<usize> {
        let counted = words[COUNT].load(Relaxed) as usize;
        let index = (counted..self.most).find(|&index| self.entry(words, index).is_none())?;
        let place = self.places(key).find(|&place| {
            let taken = words[place].load(Relaxed) as usize;
            taken == 0 || self.entry(words, taken - 1).is_none()
        })?;
        let record = words[LOW].load(Relaxed) as usize;
        let text_end = record + key.size();
        let end = if extra == 0 { text_end } else { text_end.next_multiple_of(LINE) + extra };
        let (mut chunk, mut used) = halves(words[HIGH].load(Relaxed));
        if used + cells > CHUNK {
            chunk = chunk.checked_sub(self.rows * CHUNK)?;
            used = 0;
        }
        if end > chunk {
            return None;
        }
        // In this order: what is taken is taken even if nothing comes of it.
        words[LOW].store(end as u64, Release);
        words[HIGH].store((chunk as u64) << 32 | (used + cells) as u64, Release);
        for (word, value) in words[record..].iter().zip(key.words()) {
            word.store(value, Release);
        }
        words[text_end..end].iter().for_each(|word| word.store(0, Release));
        words[self.table_at + 2 * index + 1].store(record as u64, Release);
        words[place].store(index as u64 + 1, Release);
        let entry = Entry { kind: key.kind, owner: key.owner, cell: chunk + used };
        words[self.table_at + 2 * index].store(entry.pack(), Release);
        words[COUNT].store(index as u64 + 1, Release);
        Some(index)
    }

    /// How many words there are, and how many of them are taken.
    pub fn taken(&self, words: &[AtomicU64]) -> (usize, usize) {
        let (chunk, _) = halves(words[HIGH].load(Relaxed));
        let len = usable(words);
        (len, len.saturating_sub(chunk) + words[LOW].load(Relaxed) as usize)
    }
}

/// Words are counted in 32 bits, and rows begin with a cache line.
fn usable(words: &[AtomicU64]) -> usize {
    words.len().min(u32::MAX as usize) / LINE * LINE
}

fn halves(word: u64) -> (usize, usize) {
    ((word >> 32) as usize, word as u32 as usize)
}
