//! The memory that the algorithms work on.

use std::num::NonZeroU64;

/// The words of its own that a zone has.
pub const WORDS: usize = 31;

/// A block: its distance from the zone's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(NonZeroU64);

impl At {
    /// The block at a distance that was kept in a zone; `None` for 0.
    pub fn new(distance: u64) -> Option<Self> {
        NonZeroU64::new(distance).map(Self)
    }

    /// The distance, never 0.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The distance that stands for a block or for none.
    pub(super) fn link(at: Option<Self>) -> u64 {
        at.map_or(0, Self::get)
    }
}

/// What is there cannot have been written by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// A zone that nobody else reads or writes meanwhile: blocks, and [`WORDS`] words of its own.
pub trait Slab {
    /// The size of a page. A block of more than half of it takes whole pages; a smaller one the next power of two.
    fn page_size(&self) -> usize;
    /// The pages that there are for blocks.
    fn pages(&self) -> usize;
    /// A block of that many bytes at least; `None` when there is no room for it.
    fn alloc(&mut self, size: usize) -> Option<At>;
    /// Gives a block back.
    fn free(&mut self, at: At);
    /// The first `len` bytes of a block; `None` when they are not all within the zone.
    fn bytes(&self, at: At, len: usize) -> Option<&[u8]>;
    /// The same, to be written to.
    fn bytes_mut(&mut self, at: At, len: usize) -> Option<&mut [u8]>;
    /// Frees all blocks, whatever state they are in. The words stay.
    fn reset(&mut self);
    /// Whether a change was begun and not completed.
    fn is_dirty(&self) -> bool;
    /// Says that a change begins, or that it is complete.
    fn set_dirty(&mut self, dirty: bool);
    /// A word, 0 at first.
    fn word(&self, index: usize) -> u64;
    fn set_word(&mut self, index: usize, value: u64);

    /// The size of the block that [`Slab::alloc`] gives for `size` bytes.
    fn block(&self, size: usize) -> usize {
        let page = self.page_size();
        if size > page / 2 { size.div_ceil(page).saturating_mul(page) } else { size.next_power_of_two() }
    }

    /// A number of 64 bits, `offset` bytes into a block.
    fn u64(&self, at: At, offset: usize) -> Result<u64, Damaged> {
        let bytes = self.bytes(at, offset + 8).and_then(|bytes| bytes.last_chunk()).ok_or(Damaged)?;
        Ok(u64::from_ne_bytes(*bytes))
    }

    fn set_u64(&mut self, at: At, offset: usize, value: u64) -> Result<(), Damaged> {
        let bytes = self.bytes_mut(at, offset + 8).and_then(|bytes| bytes.last_chunk_mut()).ok_or(Damaged)?;
        *bytes = value.to_ne_bytes();
        Ok(())
    }

    /// A number of 32 bits, `offset` bytes into a block.
    fn u32(&self, at: At, offset: usize) -> Result<u32, Damaged> {
        let bytes = self.bytes(at, offset + 4).and_then(|bytes| bytes.last_chunk()).ok_or(Damaged)?;
        Ok(u32::from_ne_bytes(*bytes))
    }

    fn set_u32(&mut self, at: At, offset: usize, value: u32) -> Result<(), Damaged> {
        let bytes = self.bytes_mut(at, offset + 4).and_then(|bytes| bytes.last_chunk_mut()).ok_or(Damaged)?;
        *bytes = value.to_ne_bytes();
        Ok(())
    }
}
