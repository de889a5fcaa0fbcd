//! The linear memory of an instance, put back to what it was.
//!
//! Memory that a guest has written to stays where it is, so that the next request costs no page faults: a copy of each page
//! that was ever written to is kept, and copied back. Which those are, the kernel knows: they are the pages that are
//! no longer the module's own image (Documentation/admin-guide/mm/pagemap.rst). It is asked again only if this thread
//! has had a page fault since.

use std::{cell::RefCell, fs::File, mem::MaybeUninit, os::unix::fs::FileExt, process, ptr, slice};

/// The most bytes that are copied back for one instance. What has more to copy is better made anew.
const MOST: usize = 4 << 20;
/// The most pages that may have been written to for the first time between two copies: a guest that writes here and
/// there would have us keep everything.
const MOST_NEW: usize = 256;

/// Bits of an entry of the page map.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// What is in a memory where nobody has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// The module's own image, or zeros.
    #[cfg(any(feature = "wasmtime", feature = "wasmer"))]
    Image,
    /// Zeros. The engine has written to all of it, zeros mostly.
    #[cfg(feature = "wasmi")]
    Zeros,
}

/// What a memory was.
pub(crate) struct Image {
    base: *mut u8,
    len: usize,
    page: usize,
    /// Which pages are kept, one entry for each page that the memory touches.
    is_kept: Vec<bool>,
    /// The kept pages, in the order of `copies`.
    kept: Vec<usize>,
    /// `page` bytes for each kept page; of one that the memory covers in part, the beginning is used.
    copies: Vec<u8>,
    /// The page faults of this thread when the page map was last read.
    faults: u64,
}

// SAFETY: the pointer is that of an instance's memory, which moves to another thread only together with its instance.
unsafe impl Send for Image {}

impl Image {
    /// Remembers what the memory is now. `None` when the kernel does not tell, or when it would be too much to keep.
    ///
    /// # Safety
    /// `base` to `base + len` is the memory of an instance, private to this process, and nothing else uses it now. It
    /// is what `backing` says.
    pub(crate) unsafe fn take(base: *mut u8, len: usize, backing: Backing) -> Option<Self> {
        let page = page_size()?;
        let count = (base as usize + len).div_ceil(page) - base as usize / page;
        let faults = faults()?;
        let is_kept = vec![false; count];
        let mut image = Self { base, len, page, is_kept, kept: Vec::new(), copies: Vec::new(), faults };
        let mut written = image.written()?;
        // Around a memory that is a part of a bigger allocation are others' bytes: such pages are never given back.
        let edges = (0..count).filter(|&index| image.part(index).1 < page);
        written.extend(edges);
        written.sort_unstable();
        written.dedup();
        if backing.is_zeros() {
            image.give_back_zeros(&mut written)?;
        }
        if written.len() * page > MOST {
            return None;
        }
        written.into_iter().for_each(|index| image.keep(index));
        Some(image)
    }

    /// Puts the memory back; the bytes that are held for it. `None`: it cannot be, and the instance is of no use any more.
    ///
    /// # Safety
    /// As for [`Image::take`]; the instance is the same.
    pub(crate) unsafe fn put_back(&mut self, base: *mut u8, len: usize) -> Option<usize> {
        if (base, len) != (self.base, self.len) {
            return None;
        }
        let faults = faults()?;
        if faults != self.faults {
            self.keep_new()?;
            self.faults = faults;
        }
        for (copy, index) in self.copies.chunks_exact(self.page).zip(&self.kept) {
            let (at, len) = self.part(*index);
            // SAFETY: the part lies within the memory, which nothing else uses, and the copy is as long as a page.
            unsafe { ptr::copy_nonoverlapping(copy.as_ptr(), at, len) };
        }
        Some(2 * self.copies.len())
    }

    /// Keeps the pages that have been written to for the first time since the image was taken: what they were then is what
    /// they are in the module's image, or zero.
    fn keep_new(&mut self) -> Option<()> {
        let new: Vec<usize> = self.written()?.into_iter().filter(|&index| !self.is_kept[index]).collect();
        if new.len() > MOST_NEW || self.copies.len() + new.len() * self.page > MOST {
            return None;
        }
        for index in new {
            self.give_back(index)?;
            self.keep(index);
        }
        Some(())
    }

    /// Drops what was written to a page that is wholly the memory's.
    fn give_back(&self, index: usize) -> Option<()> {
        let (at, len) = self.part(index);
        // SAFETY: no byte of the page is another's (`take` keeps the pages of which that is not so), and the mapping is
        // a private one, of a file or of none: the kernel brings back what was there before it was written to.
        (unsafe { libc::madvise(at.cast(), len, libc::MADV_DONTNEED) } == 0).then_some(())
    }

    /// Makes pages of zeros such that nobody has written to, so that writing to them will be seen.
    fn give_back_zeros(&self, written: &mut Vec<usize>) -> Option<()> {
        let mut failed = false;
        written.retain(|&index| {
            let zeros = self.part(index).1 == self.page && self.bytes(index).iter().all(|&byte| byte == 0);
            failed |= zeros && self.give_back(index).is_none();
            !zeros
        });
        (!failed).then_some(())
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let (at, len) = self.part(index);
        // SAFETY: the part lies within the memory, which nothing else uses while a method of ours runs.
        unsafe { slice::from_raw_parts(at, len) }
    }

    fn keep(&mut self, index: usize) {
        let mut copies = std::mem::take(&mut self.copies);
        copies.extend_from_slice(self.bytes(index));
        self.copies = copies;
        self.copies.resize((self.kept.len() + 1) * self.page, 0);
        self.kept.push(index);
        self.is_kept[index] = true;
    }

    /// The part of a page that is the memory's.
    fn part(&self, index: usize) -> (*mut u8, usize) {
        let first = self.base as usize / self.page * self.page;
        let begin = (first + index * self.page).max(self.base as usize);
        let end = (first + (index + 1) * self.page).min(self.base as usize + self.len);
        (self.base.wrapping_add(begin - self.base as usize), end - begin)
    }

    /// The pages that have been written to.
    fn written(&self) -> Option<Vec<usize>> {
        let mut entries = vec![0; self.is_kept.len() * size_of::<u64>()];
        read_page_map(&mut entries, self.base as usize / self.page)?;
        let entries = entries.chunks_exact(size_of::<u64>()).enumerate();
        let written = entries.filter(|(_, entry)| {
            let entry = u64::from_ne_bytes((*entry).try_into().unwrap_or_default());
            entry & SWAPPED != 0 || entry & (PRESENT | OF_A_FILE) == PRESENT
        });
        Some(written.map(|(index, _)| index).collect())
    }
}

impl Backing {
    fn is_zeros(self) -> bool {
        match self {
            #[cfg(any(feature = "wasmtime", feature = "wasmer"))]
            Self::Image => false,
            #[cfg(feature = "wasmi")]
            Self::Zeros => true,
        }
    }
}

fn page_size() -> Option<usize> {
    // SAFETY: asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()
}

/// The page faults of this thread.
fn faults() -> Option<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the structure is ours, and filled when the answer is 0.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    Some((usage.ru_minflt + usage.ru_majflt) as u64)
}

/// Reads the entries of the page map from that of the page `first` on. Those of a memory that was never there are 0.
fn read_page_map(entries: &mut [u8], first: usize) -> Option<()> {
    thread_local! {
        /// The page map of the process that opened it: after a fork it is still the parent's.
        static PAGE_MAP: RefCell<Option<(u32, File)>> = const { RefCell::new(None) };
    }
    let read = |map: &RefCell<Option<(u32, File)>>| {
        let mut map = map.borrow_mut();
        let process = process::id();
        let file = match &*map {
            Some((opened_by, file)) if *opened_by == process => file,
            _ => &map.insert((process, File::open("/proc/self/pagemap").ok()?)).1,
        };
        file.read_exact_at(entries, (first * size_of::<u64>()) as u64).ok()
    };
    PAGE_MAP.try_with(read).ok()?
}
