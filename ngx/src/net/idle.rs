//! Connections that wait, in a pool of the layer above, for something to do.

use std::task::Waker;

use super::Connection;
use crate::sys;

impl Connection {
    /// The connection has nothing to do. `waker` is woken when the peer closes it or says something, or when nginx wants
    /// it closed (a graceful shutdown, ngx_close_idle_connections): then [`Connection::is_good`] no longer holds. There
    /// is no time limit, so it does not delay a shutdown.
    pub fn set_idle(&self, waker: &Waker) {
        let c = self.as_ptr();
        self.stop_timers();
        self.state().write.clear();
        self.state().read.set(waker);
        // SAFETY: the connection is ours.
        unsafe { sys::ngx_connection_s::set_idle_raw(c, 1) };
        if !self.is_good() {
            waker.wake_by_ref();
        }
    }

    /// The connection is used again.
    pub fn set_busy(&self) {
        // SAFETY: the connection is ours.
        unsafe { sys::ngx_connection_s::set_idle_raw(self.as_ptr(), 0) };
        self.state().read.clear();
    }

    /// Whether nothing came from the peer of an idle connection, not even the end (as nginx's keepalive module looks).
    pub fn is_good(&self) -> bool {
        let c = self.as_ptr();
        // SAFETY: the connection is ours; one byte is looked at, and stays in the socket.
        unsafe {
            let (read, write) = ((*c).read, (*c).write);
            let broken = sys::ngx_connection_s::close_raw(c) != 0
                || [read, write].iter().any(|event| {
                    sys::ngx_event_s::error_raw(*event) != 0 || sys::ngx_event_s::timedout_raw(*event) != 0
                })
                || sys::ngx_event_s::eof_raw(read) != 0
                || sys::ngx_event_s::pending_eof_raw(read) != 0;
            if broken {
                return false;
            }
            if sys::ngx_event_s::ready_raw(read) != 0 {
                let mut byte = 0u8;
                let n = libc::recv((*c).fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK);
                if n != -1 || std::io::Error::last_os_error().kind() != std::io::ErrorKind::WouldBlock {
                    return false;
                }
                sys::ngx_event_s::set_ready_raw(read, 0);
            }
            sys::ngx_handle_read_event(read, 0) == sys::NGX_OK as sys::ngx_int_t
        }
    }
}
