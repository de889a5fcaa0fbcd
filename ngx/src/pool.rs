//! nginx's memory pools (src/core/ngx_palloc.c).

use std::{marker::PhantomData, ptr, slice};

use crate::{Failed, Log, guard::guard, str::lend, sys};

/// A pool; what is allocated lives as long as it.
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    raw: *mut sys::ngx_pool_t,
    _lent: PhantomData<&'a ()>,
}

impl<'a> Pool<'a> {
    /// # Safety
    /// `raw` must stay a valid pool for `'a`.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ngx_pool_t) -> Self {
        Pool { raw, _lent: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_pool_t {
        self.raw
    }

    /// A pool of one's own, of blocks of `size` bytes. `None` when there is no memory.
    pub fn create(size: usize) -> Option<OwnedPool> {
        // SAFETY: the log is valid; OwnedPool renews it before each use.
        let raw = unsafe { sys::ngx_create_pool(size.max(MIN_POOL), Log::cycle().as_ptr()) };
        (!raw.is_null()).then_some(OwnedPool(raw))
    }

    /// Bytes without a value, aligned for any of nginx's structs; null when there is no memory.
    #[inline]
    pub fn alloc(self, len: usize) -> *mut u8 {
        // SAFETY: the pool is valid for 'a.
        unsafe { sys::ngx_palloc(self.raw, len).cast() }
    }

    /// A zeroed struct of nginx's; null when there is no memory.
    #[inline]
    pub fn calloc<T: Copy>(self) -> *mut T {
        const { assert!(align_of::<T>() <= align_of::<usize>()) };
        // SAFETY: the pool is valid for 'a; it aligns to NGX_ALIGNMENT, that of a long.
        unsafe { sys::ngx_pcalloc(self.raw, size_of::<T>()).cast() }
    }

    /// Copies bytes into the pool. `None` when there is no memory.
    #[inline]
    pub fn copy(self, bytes: &[u8]) -> Option<&'a [u8]> {
        if bytes.is_empty() {
            return Some(&[]);
        }
        // SAFETY: the pool is valid for 'a; unaligned memory is enough for bytes.
        let to: *mut u8 = unsafe { sys::ngx_pnalloc(self.raw, bytes.len()).cast() };
        if to.is_null() {
            return None;
        }
        // SAFETY: `to` was just allocated with that length, so it overlaps nothing and lives as long as the pool.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            Some(slice::from_raw_parts(to, bytes.len()))
        }
    }

    /// [`Pool::copy`] as nginx's own string.
    #[inline]
    pub fn copy_str(self, bytes: &[u8]) -> Option<sys::ngx_str_t> {
        self.copy(bytes).map(lend)
    }

    /// Runs `f` when the pool is destroyed, after what was registered later. On failure `f` is dropped at once.
    pub fn cleanup<F: FnOnce() + 'static>(self, f: F) -> Result<(), Failed> {
        extern "C" fn run<F: FnOnce()>(data: *mut std::ffi::c_void) {
            // SAFETY: data is the box made below, and nginx runs a cleanup once.
            let f = unsafe { Box::from_raw(data.cast::<F>()) };
            guard((), f);
        }
        // SAFETY: the pool is valid for 'a.
        let cleanup = unsafe { sys::ngx_pool_cleanup_add(self.raw, 0) };
        if cleanup.is_null() {
            return Err(Failed);
        }
        // SAFETY: just allocated by nginx; without a handler it is skipped, so data is set first.
        unsafe {
            (*cleanup).data = Box::into_raw(Box::new(f)).cast();
            (*cleanup).handler = Some(run::<F>);
        }
        Ok(())
    }
}

/// A pool that is destroyed when dropped, with its cleanups.
pub struct OwnedPool(*mut sys::ngx_pool_t);

impl OwnedPool {
    /// The pool, for allocation.
    #[inline]
    pub fn pool(&self) -> Pool<'_> {
        // SAFETY: ours until self is dropped. Its log may be of a cycle that is gone by now, so it is renewed.
        unsafe {
            (*self.0).log = Log::cycle().as_ptr();
            Pool::from_raw(self.0)
        }
    }
}

impl Drop for OwnedPool {
    fn drop(&mut self) {
        // SAFETY: created by us, destroyed once, with a log that is valid.
        unsafe { sys::ngx_destroy_pool(self.pool().as_ptr()) }
    }
}

/// NGX_MIN_POOL_SIZE, rounded up: room for the header and the first large allocations.
const MIN_POOL: usize = 256;
