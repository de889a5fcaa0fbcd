//! Requests that may be gone: generation-checked handles, data of ours per request, and holding one.
//!
//! All of it hangs on one *anchor* per request: a cleanup of the request's pool, found again through the module's
//! `r->ctx` slot, or, when an internal redirect zeroed that, among the pool's cleanups (as the realip module does).

use std::{
    any::Any,
    cell::RefCell,
    ffi::c_void,
    mem::ManuallyDrop,
    ptr,
    rc::Rc,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{Status, guard::guard, http::Request, sys};

/// The http module in whose `r->ctx` slots anchors are kept.
static OWNER: AtomicPtr<sys::ngx_module_t> = AtomicPtr::new(ptr::null_mut());

pub(crate) fn keep_anchors_in(module: *mut sys::ngx_module_t) {
    OWNER.store(module, Ordering::Relaxed);
}

/// What we keep for a request, in its pool.
struct Anchor {
    /// Null once the request is gone.
    request: *mut sys::ngx_http_request_t,
    handle: Handle,
    ctx: Option<Rc<dyn Any>>,
}

/// A request that may be gone by now. A handle is never mistaken for that of a later request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    slot: u32,
    generation: u64,
}

impl Handle {
    /// The request, if it lives. A handle of another thread's request finds none.
    #[inline]
    pub fn get(&self) -> Option<Request<'_>> {
        LIVE.with_borrow(|live| {
            let entry = live.entries.get(self.slot as usize)?;
            // SAFETY: the generation matches, so the pool's cleanup has not run: the request is alive.
            (entry.generation == self.generation).then(|| unsafe { Request::from_raw(entry.request) })
        })
    }

    pub fn is_live(&self) -> bool {
        self.get().is_some()
    }
}

/// The live requests of this thread that have a handle.
struct Live {
    entries: ManuallyDrop<Vec<Entry>>,
    free: ManuallyDrop<Vec<u32>>,
    /// Counted for all slots together, so that none repeats.
    generation: u64,
}

struct Entry {
    /// 0 when the slot is free.
    generation: u64,
    request: *mut sys::ngx_http_request_t,
}

thread_local! {
    /// Never dropped: nginx destroys pools in its last moments too, and access without a destructor is cheaper.
    static LIVE: RefCell<Live> = const {
        RefCell::new(Live { entries: ManuallyDrop::new(Vec::new()), free: ManuallyDrop::new(Vec::new()), generation: 0 })
    };
}

impl Live {
    fn insert(&mut self, request: *mut sys::ngx_http_request_t) -> Handle {
        self.generation += 1;
        let entry = Entry { generation: self.generation, request };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.entries[slot as usize] = entry;
                slot
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        Handle { slot, generation: self.generation }
    }

    fn remove(&mut self, handle: Handle) {
        let entry = &mut self.entries[handle.slot as usize];
        if entry.generation == handle.generation {
            *entry = Entry { generation: 0, request: ptr::null_mut() };
            self.free.push(handle.slot);
        }
    }
}

/// The `r->ctx` slot for anchors; `None` without an http module of ours.
#[inline]
fn slot(r: *mut sys::ngx_http_request_t) -> Option<*mut *mut c_void> {
    let owner = OWNER.load(Ordering::Relaxed);
    if owner.is_null() {
        return None;
    }
    // SAFETY: r is a live request; its ctx array has an entry for each http module, at the index that nginx wrote.
    unsafe { Some((*r).ctx.add((*owner).ctx_index)) }
}

/// The request's anchor, if it has one.
#[inline]
fn find(r: *mut sys::ngx_http_request_t) -> Option<*mut Anchor> {
    let slot = slot(r)?;
    // SAFETY: the slot is ours: null, or what `anchor` or `recover` put there, which lives until the pool goes.
    let kept = unsafe { (*slot).cast::<Anchor>() };
    if !kept.is_null() {
        return Some(kept);
    }
    // SAFETY: r is a live request. Only internal redirects and error pages zero the slots.
    let redirected = unsafe {
        sys::ngx_http_request_s::internal_raw(r) != 0 || sys::ngx_http_request_s::filter_finalize_raw(r) != 0
    };
    if redirected { recover(r, slot) } else { None }
}

#[cold]
fn recover(r: *mut sys::ngx_http_request_t, slot: *mut *mut c_void) -> Option<*mut Anchor> {
    // SAFETY: the pool's list of cleanups is valid while the request is; data of those with our handler is an Anchor.
    // Subrequests share the pool, so the request is compared.
    unsafe {
        let mut cleanup = (*r).pool.as_ref()?.cleanup;
        while let Some(found) = cleanup.as_ref() {
            let ours = found.handler.is_some_and(|handler| ptr::fn_addr_eq(handler, RELEASE));
            let anchor = found.data.cast::<Anchor>();
            if ours && (*anchor).request == r {
                *slot = anchor.cast();
                return Some(anchor);
            }
            cleanup = found.next;
        }
    }
    None
}

const RELEASE: unsafe extern "C" fn(*mut c_void) = release;

/// The request's anchor, made when there is none. `None` when there is no memory.
fn anchor(r: *mut sys::ngx_http_request_t) -> Option<*mut Anchor> {
    if let Some(anchor) = find(r) {
        return Some(anchor);
    }
    // SAFETY: r is a live request and its pool with it. nginx allocates `data` in the pool, aligned for a long, which is
    // all that Anchor needs; it is written before the handler is set.
    unsafe {
        const { assert!(align_of::<Anchor>() <= align_of::<usize>()) };
        let cleanup = sys::ngx_pool_cleanup_add((*r).pool, size_of::<Anchor>());
        if cleanup.is_null() {
            return None;
        }
        let anchor = (*cleanup).data.cast::<Anchor>();
        let handle = LIVE.with_borrow_mut(|live| live.insert(r));
        anchor.write(Anchor { request: r, handle, ctx: None });
        (*cleanup).handler = Some(RELEASE);
        if let Some(slot) = slot(r) {
            *slot = anchor.cast();
        }
        Some(anchor)
    }
}

/// nginx destroys the request's pool. Handles find nothing from here on; then our data is dropped.
unsafe extern "C" fn release(data: *mut c_void) {
    guard((), || {
        let anchor = data.cast::<Anchor>();
        // SAFETY: data is the anchor that this cleanup was made with. nginx frees the pool's memory after the cleanups,
        // so the request can still be written to. Each borrow ends before foreign code (Drop of the ctx) runs.
        let ctx = unsafe {
            LIVE.with_borrow_mut(|live| live.remove((*anchor).handle));
            if let Some(slot) = slot((*anchor).request) {
                *slot = ptr::null_mut();
            }
            (*anchor).request = ptr::null_mut();
            (*anchor).ctx.take()
        };
        drop(ctx);
    });
}

impl<'a> Request<'a> {
    /// A handle to keep beyond this call.
    ///
    /// # Panics
    /// When there is no memory; the guard makes that a failed request.
    #[inline]
    pub fn handle(self) -> Handle {
        let anchor = anchor(self.as_ptr()).expect("memory for a handle");
        // SAFETY: the anchor of a live request; it is only touched here, in short borrows.
        unsafe { (*anchor).handle }
    }

    /// What was kept for this request; `None` when nothing was, or something of another type. Subrequests have their
    /// own.
    #[inline]
    pub fn ctx<T: 'static>(self) -> Option<Rc<T>> {
        let anchor = find(self.as_ptr())?;
        // SAFETY: as in handle().
        let ctx = unsafe { (*anchor).ctx.clone()? };
        ctx.downcast().ok()
    }

    /// Keeps a value until the request's pool is destroyed, through internal redirects. It replaces the one before.
    /// False when there is no memory.
    #[must_use]
    pub fn set_ctx<T: 'static>(self, ctx: Rc<T>) -> bool {
        let Some(anchor) = anchor(self.as_ptr()) else {
            return false;
        };
        // SAFETY: as in handle(); the old value is dropped after the borrow.
        let old = unsafe { (*anchor).ctx.replace(ctx) };
        drop(old);
        true
    }

    /// Keeps nginx from ending the request, beyond what the request itself does: for work that goes on in the content
    /// phase or later. A request that waits in an earlier phase needs none ([`Request::hold`]).
    pub fn reference(self) -> Hold {
        let handle = self.main().handle();
        // SAFETY: a live request. The main request counts for its subrequests.
        unsafe {
            let main = (*self.as_ptr()).main;
            let count = sys::ngx_http_request_s::count_raw(main);
            sys::ngx_http_request_s::set_count_raw(main, count + 1);
        }
        Hold { main: handle, request: self.handle() }
    }
}

/// A reference to a request, counted as nginx counts (`r->main->count`). When it is dropped, nginx may free the request:
/// drop it last, and from the event loop rather than from inside a phase or filter. A request that nginx ended anyway
/// (the client went away) is no reason to worry.
pub struct Hold {
    main: Handle,
    request: Handle,
}

impl Hold {
    /// The request that is held, if nginx did not end it.
    #[inline]
    pub fn get(&self) -> Option<Request<'_>> {
        self.request.get()
    }

    /// Ends the request with the reference: for a content handler that took one and returned `DONE`. From the event loop.
    pub fn finalize(self, status: Status) {
        if let Some(request) = self.request.get() {
            request.finalize_posted(status);
        }
        // It was used up: one finalization, one reference.
        std::mem::forget(self);
    }

    /// Gives the reference back without ever freeing the request: for callers inside a phase or a filter, where nginx
    /// holds one itself.
    pub fn release(self) {
        if let Some(main) = self.main.get() {
            // SAFETY: a live request, whose count this hold raised; the last reference is left for nginx to give back.
            unsafe {
                let count = sys::ngx_http_request_s::count_raw(main.as_ptr());
                sys::ngx_http_request_s::set_count_raw(main.as_ptr(), count.saturating_sub(1).max(1));
            }
        }
        std::mem::forget(self);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // NGX_DONE: one reference less, and the end of the request if it was the last (ngx_http_finalize_connection).
        if let Some(main) = self.main.get() {
            main.finalize(Status::DONE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_used_again_does_not_revive_old_handles() {
        let mut live = Live { entries: ManuallyDrop::default(), free: ManuallyDrop::default(), generation: 0 };
        let first = live.insert(ptr::null_mut());
        live.remove(first);
        let second = live.insert(ptr::null_mut());
        assert_eq!(first.slot, second.slot);
        assert_ne!(first, second);
        live.remove(first);
        assert_eq!(live.entries[second.slot as usize].generation, second.generation);
    }
}
