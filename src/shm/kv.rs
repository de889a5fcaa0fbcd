//! Keys and values in a zone: a hash table of chains, and for each size of block a queue of its entries in the order of
//! their use, so that any of the three policies finds what to evict, and a zone may change its policy while it is in use.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::slab::{At, Damaged, Slab, WORDS};

/// What is done when there is no room for a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// It is refused.
    None,
    /// What was not used for the longest time gives way, until there is room.
    Lru,
    /// The same, among the entries whose blocks are of the size that is needed; then among those with larger ones.
    #[default]
    Slru,
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    Done,
    /// The key has another cas, or is not there.
    CasMismatch,
    /// There is no room, and none was made.
    Full,
}

/// There is no room for the table: the zone is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

/// Changes with what is in a zone: another version of this module may find it.
const LAYOUT: u64 = 0x6b76_0001;

// The zone's words.
const FORMAT: usize = 0;
const SEED: [usize; 2] = [1, 2];
const TABLE: usize = 3;
/// The number of chains, a power of two.
const CHAINS: usize = 4;
const ENTRIES: usize = 5;
/// The last cas that was given.
const CAS: usize = 6;
/// Counts uses.
const CLOCK: usize = 7;
const EVICTED: usize = 8;
/// For each class of blocks, the entry used last and the one not used for the longest time.
const QUEUES: usize = 9;
const CLASSES: usize = (WORDS - QUEUES) / 2;
/// The class of blocks that are pages; the others are powers of two, the least first.
const PAGES: usize = 0;

// An entry: these, the key, the value.
const CHAIN: usize = 0;
const NEWER: usize = 8;
const OLDER: usize = 16;
const USED: usize = 24;
const ROOM: usize = 32;
const HASH: usize = 40;
const ENTRY_CAS: usize = 44;
const KEY_LEN: usize = 48;
const VALUE_LEN: usize = 52;
const HEADER: usize = 56;
/// The least block of an entry is 1 << 6 bytes.
const LEAST: u32 = 6;

/// One part of a zone for so many bytes is for the table.
const TABLE_SHARE: usize = 32;

/// An opened zone.
pub struct Kv<'a, S: ?Sized> {
    slab: &'a mut S,
    eviction: Eviction,
    emptied: bool,
}

/// What is read of an entry to find it.
#[derive(Clone, Copy)]
struct Entry {
    at: At,
    cas: u32,
    key_len: usize,
    value_len: usize,
}

impl<'a, S: Slab + ?Sized> Kv<'a, S> {
    /// Opens a zone that is locked; empties one whose last change was not completed, or that another version has made.
    ///
    /// # Errors
    /// When it is too small.
    pub fn open(slab: &'a mut S, eviction: Eviction) -> Result<Self, NoRoom> {
        let mut kv = Self { slab, eviction, emptied: false };
        if kv.slab.is_dirty() {
            kv.empty()?;
        } else if kv.slab.word(FORMAT) != kv.format() {
            kv.lay_out()?;
        }
        Ok(kv)
    }

    /// Whether the zone had to be emptied because it was left half-written.
    pub fn was_emptied(&self) -> bool {
        self.emptied
    }

    /// The number of keys.
    pub fn entries(&self) -> u64 {
        self.slab.word(ENTRIES)
    }

    /// How many keys have given way to others since the zone was made.
    pub fn evicted(&self) -> u64 {
        self.slab.word(EVICTED)
    }

    /// Appends the value of a key to `out`, and gives its cas.
    pub fn get(&mut self, key: &[u8], out: &mut Vec<u8>) -> Option<u32> {
        let hash = self.hash(key);
        let begin = out.len();
        self.retry(|kv| {
            out.truncate(begin);
            let Some(entry) = kv.find(key, hash)? else { return Ok(None) };
            let start = HEADER + entry.key_len;
            let bytes = kv.slab.bytes(entry.at, start + entry.value_len).ok_or(Damaged)?;
            out.extend_from_slice(&bytes[start..]);
            kv.touch(entry.at)?;
            Ok(Some(entry.cas))
        })
        .flatten()
    }

    /// Sets the value of a key, or deletes it with `None`. A cas of 0 does it always; another one must be that of the
    /// key.
    pub fn set(&mut self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Set {
        let hash = self.hash(key);
        self.retry(|kv| {
            let found = kv.find(key, hash)?;
            if cas != 0 && found.is_none_or(|entry| entry.cas != cas) {
                return Ok(Set::CasMismatch);
            }
            match (value, found) {
                (Some(value), found) => kv.store(key, hash, value, found),
                (None, Some(entry)) => {
                    kv.slab.set_dirty(true);
                    kv.remove(entry.at)?;
                    kv.slab.set_dirty(false);
                    Ok(Set::Done)
                }
                (None, None) => Ok(Set::Done),
            }
        })
        .unwrap_or(Set::Full)
    }

    /// Runs an operation, on an empty zone if the first try finds damage.
    fn retry<T>(&mut self, mut operation: impl FnMut(&mut Self) -> Result<T, Damaged>) -> Option<T> {
        if let Ok(done) = operation(self) {
            return Some(done);
        }
        self.empty().ok()?;
        operation(self).ok()
    }

    /// Tells this layout, hash function included, from any other.
    fn format(&self) -> u64 {
        LAYOUT ^ self.hash64(b"layout")
    }

    fn empty(&mut self) -> Result<(), NoRoom> {
        self.emptied = true;
        self.lay_out()
    }

    fn lay_out(&mut self) -> Result<(), NoRoom> {
        self.slab.set_dirty(true);
        self.slab.reset();
        if self.slab.word(SEED[0]) == 0 {
            // Whoever chooses the keys must not know where they are put.
            let mut seed = [0; 16];
            getrandom::fill(&mut seed).map_err(|_| NoRoom)?;
            let seed = u128::from_ne_bytes(seed);
            self.slab.set_word(SEED[0], seed as u64 | 1);
            self.slab.set_word(SEED[1], (seed >> 64) as u64);
        }
        let room = self.slab.pages().saturating_mul(self.slab.page_size());
        let chains = (room / TABLE_SHARE / size_of::<u64>()).max(1);
        let chains = 1 << chains.ilog2();
        let table = self.slab.alloc(chains * size_of::<u64>()).ok_or(NoRoom)?;
        self.slab.bytes_mut(table, chains * size_of::<u64>()).ok_or(NoRoom)?.fill(0);
        self.slab.set_word(TABLE, table.get());
        self.slab.set_word(CHAINS, chains as u64);
        self.slab.set_word(ENTRIES, 0);
        (QUEUES..WORDS).for_each(|word| self.slab.set_word(word, 0));
        self.slab.set_word(FORMAT, self.format());
        self.slab.set_dirty(false);
        Ok(())
    }

    fn hash64(&self, key: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.slab.word(SEED[0]), self.slab.word(SEED[1]));
        hasher.write(key);
        hasher.finish()
    }

    fn hash(&self, key: &[u8]) -> u32 {
        self.hash64(key) as u32
    }

    /// Where the chain of a hash begins: the table, and the place in it.
    fn chain(&self, hash: u32) -> Result<(At, usize), Damaged> {
        let table = At::new(self.slab.word(TABLE)).ok_or(Damaged)?;
        let chain = u64::from(hash) & self.slab.word(CHAINS).wrapping_sub(1);
        Ok((table, usize::try_from(chain).map_err(|_| Damaged)?.checked_mul(size_of::<u64>()).ok_or(Damaged)?))
    }

    /// The first entry of a chain. It is read from the place itself: the table may be long.
    fn first(&self, hash: u32) -> Result<Option<At>, Damaged> {
        let (table, offset) = self.chain(hash)?;
        Ok(At::new(self.slab.u64(table, offset)?))
    }

    fn entry(&self, at: At) -> Result<Entry, Damaged> {
        let number = |offset| self.slab.u32(at, offset);
        let (key_len, value_len) = (number(KEY_LEN)? as usize, number(VALUE_LEN)? as usize);
        Ok(Entry { at, cas: number(ENTRY_CAS)?, key_len, value_len })
    }

    fn find(&self, key: &[u8], hash: u32) -> Result<Option<Entry>, Damaged> {
        let mut next = self.first(hash)?;
        // A chain has no more entries than there are: one that has is a circle.
        let mut left = self.entries();
        while let Some(at) = next {
            if self.slab.u32(at, HASH)? == hash {
                let entry = self.entry(at)?;
                let bytes = self.slab.bytes(at, HEADER + entry.key_len).ok_or(Damaged)?;
                if bytes[HEADER..] == *key {
                    return Ok(Some(entry));
                }
            }
            left = left.checked_sub(1).ok_or(Damaged)?;
            next = At::new(self.slab.u64(at, CHAIN)?);
        }
        Ok(None)
    }

    /// Puts a value in the place of what was found, or in a new entry. Nothing is changed when there is no room.
    fn store(&mut self, key: &[u8], hash: u32, value: &[u8], found: Option<Entry>) -> Result<Set, Damaged> {
        let (Ok(key_len), Ok(value_len)) = (u32::try_from(key.len()), u32::try_from(value.len())) else {
            return Ok(Set::Full);
        };
        let size = HEADER + key.len() + value.len();
        let block = self.slab.block(size) as u64;
        if let Some(entry) = found
            && self.slab.u64(entry.at, ROOM)? == block
        {
            self.slab.set_dirty(true);
            self.overwrite(entry, value)?;
            self.slab.set_dirty(false);
            return Ok(Set::Done);
        }
        if block > self.largest() {
            return Ok(Set::Full);
        }
        self.slab.set_dirty(true);
        let mut old = found;
        let done = match self.make_room(size, &mut old)? {
            Some(at) => {
                if let Some(old) = old {
                    self.remove(old.at)?;
                }
                let numbers = [(HASH, hash), (KEY_LEN, key_len), (VALUE_LEN, value_len)];
                numbers.into_iter().try_for_each(|(offset, number)| self.slab.set_u32(at, offset, number))?;
                self.slab.set_u64(at, ROOM, block)?;
                let bytes = self.slab.bytes_mut(at, size).ok_or(Damaged)?;
                bytes[HEADER..HEADER + key.len()].copy_from_slice(key);
                bytes[HEADER + key.len()..].copy_from_slice(value);
                self.insert(at, hash)?;
                Set::Done
            }
            None => match old {
                // A smaller block would have been better, but there is none.
                Some(old) if block <= self.slab.u64(old.at, ROOM)? => {
                    self.overwrite(old, value)?;
                    Set::Done
                }
                _ => Set::Full,
            },
        };
        self.slab.set_dirty(false);
        Ok(done)
    }

    /// The most bytes that a block can have, when all others have given way.
    fn largest(&self) -> u64 {
        let page = self.slab.page_size() as u64;
        let table = (self.slab.word(CHAINS) * size_of::<u64>() as u64).div_ceil(page);
        (self.slab.pages() as u64).saturating_sub(table).max(1) * page
    }

    fn overwrite(&mut self, entry: Entry, value: &[u8]) -> Result<(), Damaged> {
        let start = HEADER + entry.key_len;
        self.slab.bytes_mut(entry.at, start + value.len()).ok_or(Damaged)?[start..].copy_from_slice(value);
        self.slab.set_u32(entry.at, VALUE_LEN, value.len() as u32)?;
        let cas = self.next_cas();
        self.slab.set_u32(entry.at, ENTRY_CAS, cas)?;
        self.touch(entry.at)
    }

    fn next_cas(&mut self) -> u32 {
        let cas = (self.slab.word(CAS) as u32).wrapping_add(1).max(1);
        self.slab.set_word(CAS, cas.into());
        cas
    }

    /// A block, for which others give way if the policy says so and the value does not fit where it was. `old`, which is
    /// to be replaced, is the last of them.
    fn make_room(&mut self, size: usize, old: &mut Option<Entry>) -> Result<Option<At>, Damaged> {
        if let Some(at) = self.slab.alloc(size) {
            return Ok(Some(at));
        }
        if self.eviction == Eviction::None {
            return Ok(None);
        }
        if let Some(old) = old {
            if size as u64 <= self.slab.u64(old.at, ROOM)? {
                return Ok(None);
            }
            self.touch(old.at)?;
        }
        let class = self.class(self.slab.block(size) as u64);
        while let Some(victim) = self.victim(class)? {
            if old.is_some_and(|old| old.at == victim) {
                *old = None;
            }
            self.remove(victim)?;
            self.slab.set_word(EVICTED, self.evicted() + 1);
            if let Some(at) = self.slab.alloc(size) {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The entry that gives way next.
    fn victim(&self, class: usize) -> Result<Option<At>, Damaged> {
        let oldest = |class| At::new(self.slab.word(last(class)));
        if self.eviction == Eviction::Slru {
            // Where there is none of the size that is needed, pages become free, the sooner the larger the blocks.
            let others = std::iter::once(PAGES).chain((PAGES + 1..CLASSES).rev());
            return Ok(std::iter::once(class).chain(others).find_map(oldest));
        }
        let mut found: Option<(u64, At)> = None;
        for at in (0..CLASSES).filter_map(oldest) {
            let used = self.slab.u64(at, USED)?;
            if found.is_none_or(|(other, _)| used < other) {
                found = Some((used, at));
            }
        }
        Ok(found.map(|(_, at)| at))
    }

    fn class(&self, block: u64) -> usize {
        if block > self.slab.page_size() as u64 / 2 {
            return PAGES;
        }
        let shift = block.max(1).ilog2().max(LEAST);
        ((shift - LEAST) as usize + 1).min(CLASSES - 1)
    }

    /// Notes that an entry was used. Where nothing is evicted, that is of no use.
    fn touch(&mut self, at: At) -> Result<(), Damaged> {
        if self.eviction == Eviction::None {
            return Ok(());
        }
        let class = self.class(self.slab.u64(at, ROOM)?);
        if self.slab.word(first(class)) == at.get() {
            return self.stamp(at);
        }
        let was_dirty = self.slab.is_dirty();
        self.slab.set_dirty(true);
        self.leave_queue(at)?;
        self.join_queue(at)?;
        self.slab.set_dirty(was_dirty);
        Ok(())
    }

    fn stamp(&mut self, at: At) -> Result<(), Damaged> {
        let now = self.slab.word(CLOCK) + 1;
        self.slab.set_word(CLOCK, now);
        self.slab.set_u64(at, USED, now)
    }

    /// Makes a written entry part of the zone.
    fn insert(&mut self, at: At, hash: u32) -> Result<(), Damaged> {
        let cas = self.next_cas();
        self.slab.set_u32(at, ENTRY_CAS, cas)?;
        let (table, offset) = self.chain(hash)?;
        let next = self.slab.u64(table, offset)?;
        self.slab.set_u64(at, CHAIN, next)?;
        self.slab.set_u64(table, offset, at.get())?;
        self.join_queue(at)?;
        self.slab.set_word(ENTRIES, self.entries() + 1);
        Ok(())
    }

    fn remove(&mut self, at: At) -> Result<(), Damaged> {
        let hash = self.slab.u32(at, HASH)?;
        let next = self.slab.u64(at, CHAIN)?;
        let (mut holder, mut offset) = self.chain(hash)?;
        let mut left = self.entries();
        loop {
            let here = At::new(self.slab.u64(holder, offset)?).ok_or(Damaged)?;
            if here == at {
                break;
            }
            left = left.checked_sub(1).ok_or(Damaged)?;
            (holder, offset) = (here, CHAIN);
        }
        self.slab.set_u64(holder, offset, next)?;
        self.leave_queue(at)?;
        self.slab.set_word(ENTRIES, self.entries().checked_sub(1).ok_or(Damaged)?);
        self.slab.free(at);
        Ok(())
    }

    /// Puts an entry at the head of the queue of its class.
    fn join_queue(&mut self, at: At) -> Result<(), Damaged> {
        let class = self.class(self.slab.u64(at, ROOM)?);
        let head = At::new(self.slab.word(first(class)));
        self.slab.set_u64(at, NEWER, 0)?;
        self.slab.set_u64(at, OLDER, At::link(head))?;
        match head {
            Some(head) => self.slab.set_u64(head, NEWER, at.get())?,
            None => self.slab.set_word(last(class), at.get()),
        }
        self.slab.set_word(first(class), at.get());
        self.stamp(at)
    }

    fn leave_queue(&mut self, at: At) -> Result<(), Damaged> {
        let class = self.class(self.slab.u64(at, ROOM)?);
        let (newer, older) = (self.slab.u64(at, NEWER)?, self.slab.u64(at, OLDER)?);
        match At::new(newer) {
            Some(newer) => self.slab.set_u64(newer, OLDER, older)?,
            None => self.slab.set_word(first(class), older),
        }
        match At::new(older) {
            Some(older) => self.slab.set_u64(older, NEWER, newer)?,
            None => self.slab.set_word(last(class), newer),
        }
        Ok(())
    }
}

/// The word of the entry of a class that was used last.
fn first(class: usize) -> usize {
    QUEUES + 2 * class
}

/// The word of the entry of a class that was not used for the longest time.
fn last(class: usize) -> usize {
    first(class) + 1
}

#[cfg(test)]
mod tests;
