//! A zone whose process is killed while it writes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::plain::Plain;
use super::slab::{At, Slab};

/// Ends the work at one of its writes.
pub struct Dying {
    pub zone: Plain,
    left: Option<usize>,
}

impl Dying {
    pub fn new(zone: Plain) -> Self {
        Self { zone, left: None }
    }

    /// Runs `work` until it has written that many times; whether it came to its end.
    pub fn live_for(&mut self, writes: usize, work: impl FnOnce(&mut Self)) -> bool {
        self.left = Some(writes);
        let ended = catch_unwind(AssertUnwindSafe(|| work(self))).is_ok();
        self.left = None;
        ended
    }

    fn write(&mut self) {
        match &mut self.left {
            None => {}
            // Without a panic's message.
            Some(0) => resume_unwind(Box::new("killed")),
            Some(left) => *left -= 1,
        }
    }
}

impl Slab for Dying {
    fn page_size(&self) -> usize {
        self.zone.page_size()
    }

    fn pages(&self) -> usize {
        self.zone.pages()
    }

    fn alloc(&mut self, size: usize) -> Option<At> {
        self.write();
        self.zone.alloc(size)
    }

    fn free(&mut self, at: At) {
        self.write();
        self.zone.free(at);
    }

    fn bytes(&self, at: At, len: usize) -> Option<&[u8]> {
        self.zone.bytes(at, len)
    }

    fn bytes_mut(&mut self, at: At, len: usize) -> Option<&mut [u8]> {
        self.write();
        self.zone.bytes_mut(at, len)
    }

    fn reset(&mut self) {
        self.write();
        self.zone.reset();
    }

    fn is_dirty(&self) -> bool {
        self.zone.is_dirty()
    }

    fn set_dirty(&mut self, dirty: bool) {
        self.write();
        self.zone.set_dirty(dirty);
    }

    fn word(&self, index: usize) -> u64 {
        self.zone.word(index)
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.write();
        self.zone.set_word(index, value);
    }
}
