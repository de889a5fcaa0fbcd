//! A zone in the memory of one process: for trial starts, which share nothing, and for tests. It gives out blocks by the
//! rules of nginx's slab pools: powers of two within pages of one size each, and runs of pages.

use super::slab::{At, Slab, WORDS};

const PAGE: usize = 4096;
/// The least block is 1 << 3 bytes.
const LEAST: u32 = 3;
const CLASSES: usize = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Page {
    Free,
    /// Blocks of `8 << class` bytes, and which of them are taken.
    Small {
        class: usize,
        taken: Vec<bool>,
        count: usize,
    },
    /// The first of that many pages.
    Run(usize),
    /// One of the others.
    Inner,
}

/// The zone.
#[derive(Clone, Debug)]
pub struct Plain {
    /// The first page is never given: no block is at 0.
    memory: Vec<u8>,
    pages: Vec<Page>,
    /// Pages that may have room for a block of each class.
    partial: [Vec<usize>; CLASSES],
    words: [u64; WORDS],
    dirty: bool,
}

impl Plain {
    /// A zone of `size` bytes, all of them for blocks.
    pub fn new(size: usize) -> Self {
        let pages = size / PAGE;
        Self {
            memory: vec![0; (pages + 1) * PAGE],
            pages: vec![Page::Free; pages],
            partial: Default::default(),
            words: [0; WORDS],
            dirty: false,
        }
    }

    /// Pages that nothing is in.
    pub fn free_pages(&self) -> usize {
        self.pages.iter().filter(|page| **page == Page::Free).count()
    }

    fn run(&mut self, count: usize) -> Option<usize> {
        let mut length = 0;
        let end = self.pages.iter().position(|page| {
            length = if *page == Page::Free { length + 1 } else { 0 };
            length == count
        })?;
        let first = end + 1 - count;
        self.pages[first..=end].fill(Page::Inner);
        self.pages[first] = Page::Run(count);
        Some(first)
    }

    fn small(&mut self, class: usize) -> Option<(usize, usize)> {
        while let Some(&number) = self.partial[class].last() {
            if let Page::Small { class: found, taken, count } = &mut self.pages[number]
                && *found == class
                && let Some(slot) = taken.iter().position(|taken| !taken)
            {
                taken[slot] = true;
                *count += 1;
                return Some((number, slot));
            }
            self.partial[class].pop();
        }
        let number = self.run(1)?;
        let mut taken = vec![false; PAGE >> (class as u32 + LEAST)];
        taken[0] = true;
        self.pages[number] = Page::Small { class, taken, count: 1 };
        self.partial[class].push(number);
        Some((number, 0))
    }

    fn range(&self, at: At, len: usize) -> Option<std::ops::Range<usize>> {
        let start = usize::try_from(at.get()).ok().filter(|start| *start >= PAGE)?;
        Some(start..start.checked_add(len).filter(|end| *end <= self.memory.len())?)
    }
}

impl Slab for Plain {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn pages(&self) -> usize {
        self.pages.len()
    }

    fn alloc(&mut self, size: usize) -> Option<At> {
        let offset = if size > PAGE / 2 {
            self.run(size.div_ceil(PAGE))? * PAGE
        } else {
            let shift = size.next_power_of_two().trailing_zeros().max(LEAST);
            let (page, slot) = self.small((shift - LEAST) as usize)?;
            page * PAGE + (slot << shift)
        };
        At::new((offset + PAGE) as u64)
    }

    fn free(&mut self, at: At) {
        let Some(range) = self.range(at, 0) else { return };
        let (number, offset) = (range.start / PAGE - 1, range.start % PAGE);
        match &mut self.pages[number] {
            Page::Run(count) => {
                let end = number + *count;
                self.pages[number..end].fill(Page::Free);
            }
            Page::Small { class, taken, count } => {
                let (class, slot) = (*class, offset >> (*class as u32 + LEAST));
                assert!(std::mem::take(&mut taken[slot]), "a block is freed twice");
                *count -= 1;
                match *count {
                    0 => self.pages[number] = Page::Free,
                    _ if self.partial[class].contains(&number) => {}
                    _ => self.partial[class].push(number),
                }
            }
            Page::Free | Page::Inner => panic!("what is freed is no block"),
        }
    }

    fn bytes(&self, at: At, len: usize) -> Option<&[u8]> {
        self.memory.get(self.range(at, len)?)
    }

    fn bytes_mut(&mut self, at: At, len: usize) -> Option<&mut [u8]> {
        let range = self.range(at, len)?;
        self.memory.get_mut(range)
    }

    fn reset(&mut self) {
        self.pages.fill(Page::Free);
        self.partial = Default::default();
    }

    fn is_dirty(&self) -> bool {
        self.dirty
    }

    fn set_dirty(&mut self, dirty: bool) {
        self.dirty = dirty;
    }

    fn word(&self, index: usize) -> u64 {
        self.words[index]
    }

    fn set_word(&mut self, index: usize, value: u64) {
        self.words[index] = value;
    }
}
