//! Zones of shared memory: made by the master, mapped at the same address in all of its workers, kept over a reload as long as
//! name and size stay (src/core/ngx_cycle.c, ngx_init_cycle and ngx_init_zone_pool).
//!
//! nginx puts a slab pool into each zone (src/core/ngx_slab.c), with a mutex that it unlocks when a worker dies
//! (src/os/unix/ngx_process.c, ngx_unlock_mutexes). It mends nothing that the worker was in the middle of: who changes a zone
//! says so with [`Locked::set_dirty`], and who finds it said does not trust what is there.

use std::{
    ffi::c_void,
    marker::PhantomData,
    mem,
    num::NonZeroUsize,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU64, Ordering, compiler_fence},
};

use crate::{Cycle, Failed, guard::guard, module::CoreModule, str::lend, sys};

/// Words of a zone that the slab pool does not know: the dirty word, and [`Memory::words`].
const WORDS: usize = 32;
const WORD_BYTES: usize = WORDS * size_of::<AtomicU64>();

/// The least size of a zone in bytes, a multiple of which nginx wants: three pages.
pub fn least_size() -> usize {
    3 * page_size()
}

/// The size of a page in bytes.
pub fn page_size() -> usize {
    // SAFETY: nginx sets it before it reads a configuration.
    unsafe { sys::ngx_pagesize }
}

/// What is done with a zone's memory when it is there.
pub trait Layout {
    /// Called in the master, before any worker of the new configuration. `kept`: the memory is that of a zone of the same
    /// name and size of the configuration before, whose workers may be using it.
    ///
    /// # Errors
    /// When the zone is too small; nginx then refuses the configuration.
    fn init(memory: Memory, kept: bool) -> Result<(), Failed>;
}

/// A zone of the configuration that is being read, or of the one in use.
#[derive(Debug)]
pub struct Zone<L>(NonNull<sys::ngx_shm_zone_t>, PhantomData<fn() -> L>);

impl<L> Clone for Zone<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Zone<L> {}

// SAFETY: a zone is read only, after its master has made it, until the configuration is gone that holds it.
unsafe impl<L> Send for Zone<L> {}
// SAFETY: as above.
unsafe impl<L> Sync for Zone<L> {}

impl<L: Layout> Zone<L> {
    /// Adds a zone to a configuration, for a module: while directives are read, or in `init_conf`. It must be forgotten
    /// when that configuration is.
    ///
    /// # Errors
    /// When a zone of that name is there already with another size or for another module; nginx has logged it.
    pub fn add<M: CoreModule>(cycle: Cycle<'_>, name: &str, size: usize) -> Result<Self, Failed> {
        // SAFETY: zero is a value of every field. ngx_shared_memory_add reads of it the cycle, and the log for its errors.
        let mut cf: sys::ngx_conf_t = unsafe { mem::zeroed() };
        (cf.cycle, cf.log, cf.pool) = (cycle.as_ptr(), cycle.log().as_ptr(), cycle.pool().as_ptr());
        let copy = cycle.pool().copy(name.as_bytes()).ok_or(Failed)?;
        let mut name = lend(copy);
        // SAFETY: the cycle is being made; nginx keeps the name, which is in the cycle's pool.
        let zone = unsafe { sys::ngx_shared_memory_add(&mut cf, &mut name, size, M::cell().as_ptr().cast()) };
        let zone = NonNull::new(zone).ok_or(Failed)?;
        // SAFETY: the zone is the cycle's, and nginx calls `init` before any worker runs.
        unsafe { (*zone.as_ptr()).init = Some(init::<L>) };
        Ok(Self(zone, PhantomData))
    }
}

impl<L> Zone<L> {
    /// The zone, whatever is in it.
    pub fn untyped(self) -> Zone<()> {
        Zone(self.0, PhantomData)
    }

    /// The zone's memory; `None` before nginx has made it.
    pub fn memory(self) -> Option<Memory> {
        // SAFETY: the zone lives as long as the configuration that holds it; nginx sets the address once.
        unsafe { Memory::of(self.0.as_ptr()) }
    }

    /// The size in bytes that the configuration gives it.
    pub fn size(self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).shm.size }
    }
}

unsafe extern "C" fn init<L: Layout>(zone: *mut sys::ngx_shm_zone_t, old: *mut c_void) -> sys::ngx_int_t {
    guard(sys::NGX_ERROR as sys::ngx_int_t, || {
        // SAFETY: nginx calls this with a zone whose memory is mapped and holds a slab pool.
        let done = unsafe {
            let Some(memory) = Memory::of(zone) else { return sys::NGX_ERROR as sys::ngx_int_t };
            // Whatever is not null tells the next configuration that the memory is in use.
            (*zone).data = memory.pool.as_ptr().cast();
            if old.is_null() {
                memory.set_up();
            }
            L::init(memory, !old.is_null())
        };
        if done.is_ok() { sys::NGX_OK as sys::ngx_int_t } else { sys::NGX_ERROR as sys::ngx_int_t }
    })
}

/// The memory of a zone. It stays mapped as long as the process lives, or, in an nginx of a single process, as long as
/// configurations have the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pool: NonNull<sys::ngx_slab_pool_t>,
    size: usize,
}

// SAFETY: the memory is shared between processes anyway: all access is through the mutex or by atomic operations.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// # Safety
    /// `zone` must be a live zone.
    unsafe fn of(zone: *mut sys::ngx_shm_zone_t) -> Option<Self> {
        // SAFETY: by contract.
        let shm = unsafe { &raw const (*zone).shm };
        // SAFETY: as above.
        let (addr, size) = unsafe { ((*shm).addr, (*shm).size) };
        Some(Self { pool: NonNull::new(addr.cast())?, size })
    }

    /// Finds a place for the words of a new zone: between the pool's own data and its first page, which is aligned, or
    /// after the last page, which then is lost.
    ///
    /// # Safety
    /// The zone is new: no worker has it.
    unsafe fn set_up(self) {
        // SAFETY: nginx has put a slab pool at the zone's beginning (ngx_init_zone_pool); making it anew with an earlier
        // end leaves the words out. ngx_slab_init clears one page's data more than it uses at most.
        unsafe {
            let pool = self.pool.as_ptr();
            let used = (*pool).last.add(1) as usize;
            if ((*pool).start as usize).saturating_sub(used) < WORD_BYTES {
                (*pool).end = pool.cast::<u8>().add(self.size - WORD_BYTES);
            }
            self.make_empty();
        }
        for word in self.all_words() {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// # Safety
    /// Nobody else uses the pool: the zone is new, or locked.
    unsafe fn make_empty(self) {
        // SAFETY: by contract; the pool's own fields stay valid.
        unsafe {
            sys::ngx_slab_init(self.pool.as_ptr());
            // That there is no room is told by whoever asked for it.
            sys::ngx_slab_pool_t::set_log_nomem_raw(self.pool.as_ptr(), 0);
        }
    }

    /// The size of the zone in bytes.
    pub fn size(self) -> usize {
        self.size
    }

    /// Words of the zone's own, zero at first, which live as long as it does and are never emptied by [`Locked::reset`].
    pub fn words<'a>(self) -> &'a [AtomicU64] {
        &self.all_words()[1..]
    }

    fn all_words<'a>(self) -> &'a [AtomicU64] {
        // SAFETY: within the mapping; both places are aligned to pages before the size is taken off. The pool has nothing
        // there (see set_up). They are used atomically only.
        unsafe {
            let pool = self.pool.as_ptr();
            let end = pool.cast::<u8>().add(self.size);
            let behind = if (*pool).end == end { (*pool).start } else { end };
            slice::from_raw_parts(behind.sub(WORD_BYTES).cast(), WORDS)
        }
    }

    /// All of the pool's pages, as words, zero at first: for a zone that is used without
    /// [`Locked::alloc`].
    pub fn flat<'a>(self) -> &'a [AtomicU64] {
        // SAFETY: the pool's pages, aligned to pages. They are used atomically only, by the contract of this function.
        unsafe {
            let pool = self.pool.as_ptr();
            let (start, end) = ((*pool).start, (*pool).end);
            slice::from_raw_parts(start.cast(), (end as usize - start as usize) / size_of::<AtomicU64>())
        }
    }

    /// Locks the zone, for all processes. Not to be called twice by one: it would wait for itself.
    pub fn lock(self) -> Locked {
        // SAFETY: the mutex is the pool's, made by nginx.
        unsafe { sys::ngx_shmtx_lock(&raw mut (*self.pool.as_ptr()).mutex) };
        Locked { memory: self }
    }
}

/// A place in a zone: its distance from the zone's beginning in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct At(NonZeroUsize);

impl At {
    /// The distance, to be kept in the zone.
    pub fn get(self) -> usize {
        self.0.get()
    }

    /// The place at a distance that was kept; `None` for 0.
    pub fn new(distance: usize) -> Option<Self> {
        NonZeroUsize::new(distance).map(Self)
    }
}

/// A zone that this process has locked, until the value is dropped.
#[derive(Debug)]
pub struct Locked {
    memory: Memory,
}

impl Locked {
    fn pool(&self) -> *mut sys::ngx_slab_pool_t {
        self.memory.pool.as_ptr()
    }

    /// [`Memory::words`].
    pub fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    /// Whether somebody has begun to change the zone and has not come to the end.
    pub fn is_dirty(&self) -> bool {
        self.memory.all_words()[0].load(Ordering::Relaxed) != 0
    }

    /// Says that a change begins, or that it is complete. A killed process has done all that comes before the place where
    /// it was killed and nothing of what comes after it, so that it is only for the compiler to keep the order.
    pub fn set_dirty(&mut self, dirty: bool) {
        compiler_fence(Ordering::SeqCst);
        self.memory.all_words()[0].store(dirty.into(), Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Frees everything that was allocated, whatever state it is in.
    pub fn reset(&mut self) {
        // SAFETY: locked.
        unsafe { self.memory.make_empty() };
    }

    /// Allocates that many bytes; `None` when there is no room for them.
    pub fn alloc(&mut self, size: usize) -> Option<At> {
        // SAFETY: locked; the pool is nginx's.
        let found = unsafe { sys::ngx_slab_alloc_locked(self.pool(), size) };
        At::new(if found.is_null() { 0 } else { found as usize - self.pool() as usize })
    }

    /// Frees what [`Locked::alloc`] gave. nginx logs an alert about anything else, and does nothing.
    pub fn free(&mut self, at: At) {
        let place = self.pool().cast::<u8>().wrapping_add(at.get());
        // SAFETY: locked; ngx_slab_free_locked checks that the place is one of the pool's pages, and allocated.
        unsafe { sys::ngx_slab_free_locked(self.pool(), place.cast()) };
    }

    /// The bytes at a place; `None` when they are not all within the pool.
    pub fn bytes(&self, at: At, len: usize) -> Option<&[u8]> {
        let place = self.place(at, len)?;
        // SAFETY: within the pool, and locked: nobody writes to it meanwhile.
        Some(unsafe { slice::from_raw_parts(place, len) })
    }

    /// The same, to be written to.
    pub fn bytes_mut(&mut self, at: At, len: usize) -> Option<&mut [u8]> {
        let place = self.place(at, len)?;
        // SAFETY: within the pool, and locked: nobody reads or writes it meanwhile.
        Some(unsafe { slice::from_raw_parts_mut(place, len) })
    }

    fn place(&self, at: At, len: usize) -> Option<*mut u8> {
        let base = self.pool().cast::<u8>();
        // SAFETY: the pool's own fields.
        let (start, end) = unsafe { ((*self.pool()).start as usize, (*self.pool()).end as usize) };
        let begin = (base as usize).checked_add(at.get())?;
        let within = begin >= start && begin.checked_add(len)? <= end;
        within.then(|| base.wrapping_add(at.get()))
    }

    /// Pages that nothing is allocated in.
    pub fn free_pages(&self) -> usize {
        // SAFETY: locked.
        unsafe { (*self.pool()).pfree }
    }

    /// All pages that there are to allocate.
    pub fn pages(&self) -> usize {
        // SAFETY: locked; both point into the array of pages.
        unsafe { (*self.pool()).last.offset_from((*self.pool()).pages).unsigned_abs() }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: this process has locked it.
        unsafe { sys::ngx_shmtx_unlock(ptr::addr_of_mut!((*self.pool()).mutex)) };
    }
}
