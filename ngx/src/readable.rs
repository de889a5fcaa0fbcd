//! File descriptors that are no sockets, watched by the event loop (src/event/ngx_event.h, as src/os/unix/ngx_channel.c
//! does it).

use std::{
    cell::RefCell,
    ffi::c_int,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
    rc::Rc,
};

use crate::{Log, guard::guard, sys};

type Callback = RefCell<Box<dyn FnMut()>>;

/// A closure that is run when a descriptor becomes readable. It does not delay a graceful shutdown. Dropping it stops it;
/// the descriptor stays open, and must be so until then.
pub struct Readable {
    connection: NonNull<sys::ngx_connection_t>,
    /// What the connection's data points to.
    _callback: Rc<Callback>,
}

impl Readable {
    /// Watches a descriptor. Where the event method can do that, each change is told once, read or not
    /// ([`told_by_edges`]). `None` when there is no free connection, which nginx has logged.
    pub fn new(fd: BorrowedFd<'_>, callback: impl FnMut() + 'static) -> Option<Self> {
        let callback: Rc<Callback> = Rc::new(RefCell::new(Box::new(callback)));
        // SAFETY: the event loop runs, or is about to: nginx's own modules are initialized before ours.
        let connection = unsafe { sys::ngx_get_connection(fd.as_raw_fd() as c_int, Log::cycle().as_ptr()) };
        let readable = Self { connection: NonNull::new(connection)?, _callback: callback.clone() };
        // SAFETY: nginx has given the connection to us; its events are its own. `channel` keeps it out of the list of
        // sockets that a worker must have closed.
        let added = unsafe {
            (*connection).data = Rc::as_ptr(&callback).cast_mut().cast();
            (*connection).log = Log::cycle().as_ptr();
            let event = (*connection).read;
            (*event).log = Log::cycle().as_ptr();
            (*event).handler = Some(fire);
            sys::ngx_event_t::set_channel_raw(event, 1);
            sys::wasmx_add_read_event(event)
        };
        (added == sys::NGX_OK as sys::ngx_int_t).then_some(readable)
    }
}

/// Whether a descriptor that is not read is not told of again and again.
pub fn told_by_edges() -> bool {
    // SAFETY: nginx sets it when it starts the event method.
    unsafe { sys::ngx_event_flags & sys::NGX_USE_CLEAR_EVENT as usize != 0 }
}

/// nginx's side.
unsafe extern "C" fn fire(event: *mut sys::ngx_event_t) {
    // SAFETY: the event is that of a connection whose data is a live callback: dropping a Readable removes the event. The
    // count is raised because the closure may drop its own Readable.
    let callback = unsafe {
        let callback = (*(*event).data.cast::<sys::ngx_connection_t>()).data.cast::<Callback>();
        Rc::increment_strong_count(callback);
        Rc::from_raw(callback)
    };
    guard((), || {
        if let Ok(mut callback) = callback.try_borrow_mut() {
            callback();
        }
        drop(callback);
    });
}

impl Drop for Readable {
    fn drop(&mut self) {
        // SAFETY: the connection is ours until it is given back; without its number it is nobody's.
        unsafe {
            let connection = self.connection.as_ptr();
            let event = (*connection).read;
            if sys::ngx_event_t::active_raw(event) != 0 {
                sys::wasmx_del_read_event(event);
            }
            sys::wasmx_delete_posted_event(event);
            sys::ngx_free_connection(connection);
            (*connection).fd = -1;
        }
    }
}
