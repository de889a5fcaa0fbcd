//! Events that are ours: what [`crate::Timer`] and [`Posted`] have in common (src/event/ngx_event.h).

use std::{
    cell::{RefCell, UnsafeCell},
    ffi::c_int,
    ptr,
    rc::Rc,
};

use crate::{Log, guard::guard, sys};

/// An event with its closure. It never moves: nginx links it into its tree of timers or its queue.
pub(crate) struct Event {
    raw: UnsafeCell<sys::ngx_event_t>,
    /// nginx's debug lines print `((ngx_connection_t *) ev->data)->fd`.
    ident: Ident,
    callback: RefCell<Box<dyn FnMut()>>,
}

/// The start of `ngx_connection_t`.
#[repr(C)]
struct Ident {
    /// The event, for the handler.
    data: *const Event,
    read: *const sys::ngx_event_t,
    write: *const sys::ngx_event_t,
    fd: c_int,
}

impl Event {
    pub(crate) fn new(callback: Box<dyn FnMut()>) -> Rc<Self> {
        let event = Rc::new_cyclic(|this: &std::rc::Weak<Event>| Event {
            // SAFETY: all of ngx_event_t is integers, pointers and optional functions: zero is a value.
            raw: UnsafeCell::new(unsafe { std::mem::zeroed() }),
            ident: Ident { data: this.as_ptr(), read: ptr::null(), write: ptr::null(), fd: -1 },
            callback: RefCell::new(callback),
        });
        let raw = event.raw.get();
        // SAFETY: not yet shared with nginx; the address is final. A cancelable timer does not delay a graceful
        // shutdown (ngx_event_no_timers_left).
        unsafe {
            (*raw).data = (&raw const event.ident).cast_mut().cast();
            (*raw).handler = Some(fire);
            sys::ngx_event_t::set_cancelable_raw(raw, 1);
        }
        event
    }

    /// The event for nginx, with the log of today's cycle.
    #[inline]
    pub(crate) fn armed(&self) -> *mut sys::ngx_event_t {
        let raw = self.raw.get();
        // SAFETY: the struct is ours, and nginx touches it only from this thread, not during this call.
        unsafe { (*raw).log = Log::cycle().as_ptr() };
        raw
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut sys::ngx_event_t {
        self.raw.get()
    }
}

/// nginx's side: the timer expired, or the posted event's turn came. nginx has unlinked the event before.
unsafe extern "C" fn fire(raw: *mut sys::ngx_event_t) {
    // SAFETY: data was set to the ident of a live Event: dropping a Timer or Posted unlinks it, so no freed event fires.
    // The count is raised because the closure may drop its own Timer or Posted.
    let event = unsafe {
        let event = (*(*raw).data.cast::<Ident>()).data;
        Rc::increment_strong_count(event);
        Rc::from_raw(event)
    };
    guard((), || {
        // The event loop does not nest, so the closure is never running already.
        if let Ok(mut callback) = event.callback.try_borrow_mut() {
            callback();
        }
        // Its captures may be dropped here, under the guard.
        drop(event);
    });
}

/// A closure that is run from the event loop, later: wakes are deferred by it, never run in place
/// (src/event/ngx_event_posted.c). Dropping it takes the event back.
pub struct Posted(Rc<Event>);

impl Posted {
    pub fn new(callback: impl FnMut() + 'static) -> Self {
        Posted(Event::new(Box::new(callback)))
    }

    /// Asks for one run in this round of the event loop, after the events being handled. Asking again before that does
    /// nothing.
    pub fn post(&self) {
        // SAFETY: the event lives until it is unlinked in drop; the queue is nginx's own.
        unsafe { sys::wasmx_post_event(self.0.armed(), &raw mut sys::ngx_posted_events) }
    }

    /// Asks for one run in the next round of the event loop, after it looked at its sockets: for work in slices.
    pub fn post_next(&self) {
        // SAFETY: as in post().
        unsafe { sys::wasmx_post_event(self.0.armed(), &raw mut sys::ngx_posted_next_events) }
    }

    /// Takes the event back, if it was posted.
    pub fn cancel(&self) {
        // SAFETY: the event is ours; the shim looks whether it is posted.
        unsafe { sys::wasmx_delete_posted_event(self.0.as_ptr()) }
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        self.cancel();
    }
}
