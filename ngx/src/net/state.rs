//! What belongs to a connection on our side: its log, who waits for it, and the handlers that nginx calls.

use std::{
    cell::{Cell, UnsafeCell},
    ffi::CStr,
    io::Write,
    ptr,
    task::Waker,
};

use crate::{Log, guard::guard, ssl::client::Verify, sys};

/// A box that `c->data` points to, while the connection is ours. nginx's pointers to it and ours are shared ones.
pub(super) struct State {
    pub raw: Cell<*mut sys::ngx_connection_t>,
    pub read: Slot,
    pub write: Slot,
    /// What is to be checked when the handshake is done.
    pub verify: Cell<Option<Box<Verify>>>,
    pub handshake: Cell<Handshake>,
    /// The cycle's, with what we do and with whom.
    log: UnsafeCell<sys::ngx_log_t>,
    peer: Box<str>,
}

#[derive(Clone, Copy)]
pub(super) enum Handshake {
    Ahead,
    /// nginx's handlers stand in for ours.
    Runs,
    Ended,
}

/// Who is woken by one of the two events.
#[derive(Default)]
pub(super) struct Slot(Cell<Option<Waker>>);

impl Slot {
    pub fn set(&self, waker: &Waker) {
        let kept = self.0.take().filter(|kept| kept.will_wake(waker));
        self.0.set(Some(kept.unwrap_or_else(|| waker.clone())));
    }

    pub fn clear(&self) {
        self.0.take();
    }

    /// The last thing that a handler does: the connection may be gone afterwards.
    fn wake(&self) {
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl State {
    /// On the heap, where it stays.
    pub fn new(peer: String) -> *mut State {
        // SAFETY: the cycle's log is valid; nginx copies logs this way for its own connections (ngx_event_accept).
        let mut log = unsafe { *Log::cycle().as_ptr() };
        // What a peer does is told by the layer above, once and in its own words; but who debugs wants to see all of it.
        if log.log_level < sys::NGX_LOG_DEBUG_FIRST as usize {
            log.log_level = log.log_level.min(sys::NGX_LOG_ALERT as usize);
        }
        let state = Box::into_raw(Box::new(State {
            raw: Cell::new(ptr::null_mut()),
            read: Slot::default(),
            write: Slot::default(),
            verify: Cell::new(None),
            handshake: Cell::new(Handshake::Ahead),
            log: UnsafeCell::new(log),
            peer: peer.into(),
        }));
        // SAFETY: just made, and nobody else's yet.
        unsafe {
            let log = (*state).log.get();
            (*log).handler = Some(context);
            (*log).data = state.cast();
            (*log).action = ptr::null_mut();
        }
        state
    }

    pub fn log(&self) -> *mut sys::ngx_log_t {
        self.log.get()
    }

    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What is being done, for lines of the log: ` while …`.
    pub fn doing(&self, action: &'static CStr) {
        // SAFETY: the log is ours; nginx reads the text only.
        unsafe { (*self.log()).action = action.as_ptr().cast_mut() }
    }

    /// Makes a connection ours.
    ///
    /// # Safety
    /// `raw` must be an open connection that nobody else handles, and `this` what [`State::new`] returned.
    pub unsafe fn take(this: *mut State, raw: *mut sys::ngx_connection_t) {
        // SAFETY: the caller's promise; the events are the connection's own.
        unsafe {
            (*this).raw.set(raw);
            (*raw).data = this.cast();
            (*(*this).log()).connection = (*raw).number;
            set_log(raw, (*this).log());
            handle(raw);
        }
    }
}

/// # Safety
/// `raw` must be a connection that is ours.
pub(super) unsafe fn set_log(raw: *mut sys::ngx_connection_t, log: *mut sys::ngx_log_t) {
    // SAFETY: the caller's promise; the events and the pool are the connection's own.
    unsafe {
        (*raw).log = log;
        (*(*raw).read).log = log;
        (*(*raw).write).log = log;
        if !(*raw).pool.is_null() {
            (*(*raw).pool).log = log;
        }
    }
}

/// Sets our handlers.
///
/// # Safety
/// `raw` must be a connection whose data is a live State.
unsafe fn handle(raw: *mut sys::ngx_connection_t) {
    // SAFETY: the caller's promise; the events are the connection's own.
    unsafe {
        (*(*raw).read).handler = Some(on_read);
        (*(*raw).write).handler = Some(on_write);
    }
}

unsafe extern "C" fn on_read(event: *mut sys::ngx_event_t) {
    guard((), || {
        // SAFETY: the event is that of a connection whose data is a live State: both go together. Where the method tells
        // of levels, the event is taken out until somebody reads; elsewhere this does nothing.
        unsafe {
            let state = (*(*event).data.cast::<sys::ngx_connection_t>()).data.cast::<State>();
            sys::ngx_handle_read_event(event, 0);
            (*state).read.wake();
        }
    });
}

unsafe extern "C" fn on_write(event: *mut sys::ngx_event_t) {
    guard((), || {
        // SAFETY: as in on_read.
        unsafe {
            let state = (*(*event).data.cast::<sys::ngx_connection_t>()).data.cast::<State>();
            sys::ngx_handle_write_event(event, 0);
            (*state).write.wake();
        }
    });
}

/// nginx calls it when a handshake ended, in one way or the other, or was too slow.
pub(super) unsafe extern "C" fn on_handshake(raw: *mut sys::ngx_connection_t) {
    guard((), || {
        // SAFETY: as in on_read.
        unsafe {
            handle(raw);
            let state = (*raw).data.cast::<State>();
            (*state).handshake.set(Handshake::Ended);
            (*state).write.wake();
        }
    });
}

/// Ends a line of the log: with ` while connecting to upstream, peer: 127.0.0.1:80`.
unsafe extern "C" fn context(log: *mut sys::ngx_log_t, buf: *mut u8, len: usize) -> *mut u8 {
    guard(buf, || {
        // SAFETY: the log is that of a live State, and nginx gives room for `len` bytes.
        unsafe {
            let state = (*log).data.cast::<State>();
            let mut room = std::slice::from_raw_parts_mut(buf, len);
            // A line that is cut is no error.
            if !(*log).action.is_null() {
                let _ = write!(room, " while {}", CStr::from_ptr((*log).action).to_string_lossy());
            }
            let _ = write!(room, ", peer: {}", (*state).peer());
            buf.add(len - room.len())
        }
    })
}
