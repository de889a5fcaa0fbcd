//! Timers of the event loop (src/event/ngx_event_timer.c).

use std::{rc::Rc, time::Duration};

use crate::{event::Event, sys};

/// A closure that is run when a time has passed; once for each [`Timer::start`]. It does not delay a graceful shutdown.
/// Dropping it stops it.
pub struct Timer(Rc<Event>);

impl Timer {
    pub fn new(callback: impl FnMut() + 'static) -> Self {
        Timer(Event::new(Box::new(callback)))
    }

    /// Starts, or starts anew. Times are rounded up to milliseconds and end at 24 days: nginx compares them as signed.
    pub fn start(&self, after: Duration) {
        self.stop();
        // SAFETY: the event lives until it is unlinked in drop, and is not linked now.
        unsafe { sys::wasmx_add_timer(self.0.armed(), millis(after)) }
    }

    /// Stops it, if it runs.
    pub fn stop(&self) {
        // SAFETY: the event is ours; the shim looks whether it is in the tree.
        unsafe { sys::wasmx_del_timer(self.0.as_ptr()) }
    }

    pub fn is_running(&self) -> bool {
        // SAFETY: the event is ours.
        unsafe { sys::ngx_event_t::timer_set_raw(self.0.as_ptr()) != 0 }
    }

    /// Makes a graceful shutdown wait for it: for what a request waits for.
    pub fn hold_shutdown(&self) {
        // SAFETY: the event is ours.
        unsafe { sys::ngx_event_t::set_cancelable_raw(self.0.as_ptr(), 0) }
    }
}

/// As nginx counts: rounded up, and no more than it can compare.
pub(crate) fn millis(time: Duration) -> sys::ngx_msec_t {
    time.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as sys::ngx_msec_t
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}
