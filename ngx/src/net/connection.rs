//! A connection to a peer.

use std::{
    fmt,
    io::{self, ErrorKind},
    marker::PhantomData,
    ptr::NonNull,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    Address,
    state::{self, State},
};
use crate::{str::lend, sys, timer::millis};

const OK: sys::ngx_int_t = sys::NGX_OK as sys::ngx_int_t;
const AGAIN: isize = sys::NGX_AGAIN as isize;

/// Neither nginx nor OpenSSL, which counts in ints, is asked for more at once.
const MOST: usize = 1 << 30;

/// A connection to a peer, ours until it is dropped. It belongs to no request, and to the thread of the event loop.
/// Those that live when a worker ends must be dropped in `exit_process`: nginx complains of sockets left open after it.
///
/// Time limits are nginx's timers, which delay a graceful shutdown: what is in flight is finished, unless
/// [`Connection::hold_shutdown`] says otherwise.
pub struct Connection {
    state: NonNull<State>,
    _one_thread: PhantomData<*mut ()>,
}

#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

impl Connection {
    /// Begins to connect. Nothing is awaited; [`Connection::poll_connected`] tells the outcome.
    ///
    /// # Errors
    /// The system's, such as a refusal that is known at once, or `Other` when nginx has no free connection or no memory;
    /// it has been logged.
    pub fn connect(address: &Address) -> io::Result<Self> {
        let state = State::new(address.to_string());
        // SAFETY: just made. The peer's struct, address and name live during the call, and nginx keeps none of them.
        let (status, raw) = unsafe {
            (*state).doing(c"connecting to upstream");
            let mut at = address.to_raw();
            let mut name = lend((*state).peer().as_bytes());
            let mut peer: sys::ngx_peer_connection_t = std::mem::zeroed();
            peer.sockaddr = (&raw mut at.storage).cast();
            peer.socklen = at.len;
            peer.name = &raw mut name;
            peer.get = Some(sys::ngx_event_get_peer);
            peer.log = (*state).log();
            sys::ngx_peer_connection_s::set_log_error_raw(&raw mut peer, sys::NGX_ERROR_ERR);
            (sys::ngx_event_connect_peer(&raw mut peer), peer.connection)
        };
        if raw.is_null() || (status != OK && status != sys::NGX_AGAIN as sys::ngx_int_t) {
            let declined = status == sys::NGX_DECLINED as sys::ngx_int_t;
            let error = if declined { system_error() } else { ErrorKind::Other.into() };
            // SAFETY: nginx has closed the connection, and forgotten our log with it.
            drop(unsafe { Box::from_raw(state) });
            return Err(error);
        }
        // SAFETY: nginx has given the connection to us.
        unsafe {
            State::take(state, raw);
            (*raw).pool = sys::ngx_create_pool(POOL, (*state).log());
            let connection = Self::of(state);
            if (*raw).pool.is_null() { Err(ErrorKind::OutOfMemory.into()) } else { Ok(connection) }
        }
    }

    /// A connection that nginx had kept.
    ///
    /// # Safety
    /// `raw` must be an open connection with a pool, and nobody else's.
    pub(crate) unsafe fn adopt(raw: *mut sys::ngx_connection_t, peer: String) -> Self {
        let state = State::new(peer);
        // SAFETY: the caller's promise.
        unsafe {
            State::take(state, raw);
            Self::of(state)
        }
    }

    /// # Safety
    /// `state` must have a connection, and no other owner.
    unsafe fn of(state: *mut State) -> Self {
        // SAFETY: the caller's promise; boxes are not null.
        Self { state: unsafe { NonNull::new_unchecked(state) }, _one_thread: PhantomData }
    }

    pub(super) fn state(&self) -> &State {
        // SAFETY: the box is freed when self is dropped or given away; nginx shares it, and all in it are cells.
        unsafe { self.state.as_ref() }
    }

    #[inline]
    pub(crate) fn as_ptr(&self) -> *mut sys::ngx_connection_t {
        self.state().raw.get()
    }

    /// Whether a graceful shutdown waits for what is in flight here, as it does for a new connection.
    pub fn hold_shutdown(&self, hold: bool) {
        for side in [Side::Read, Side::Write] {
            // SAFETY: as in event().
            unsafe { sys::ngx_event_s::set_cancelable_raw(self.event(side), u32::from(!hold)) }
        }
    }

    /// Ready when connected.
    ///
    /// # Errors
    /// Why not, or `TimedOut`. Refusals have been logged.
    pub fn poll_connected(&self, cx: &mut Context<'_>, timeout: Duration) -> Poll<io::Result<()>> {
        if let Some(error) = self.timed_out(Side::Write) {
            return Poll::Ready(Err(error));
        }
        if !self.is_ready(Side::Write) {
            return self.wait(Side::Write, cx, Some(timeout));
        }
        self.stop_timer(Side::Write);
        Poll::Ready(self.test_connected())
    }

    /// As ngx_http_upstream_test_connect.
    fn test_connected(&self) -> io::Result<()> {
        let mut error: libc::c_int = 0;
        let mut len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the connection is ours, and the system writes an int. nginx reads the text only.
        unsafe {
            let to = (&raw mut error).cast();
            if libc::getsockopt((*self.as_ptr()).fd, libc::SOL_SOCKET, libc::SO_ERROR, to, &raw mut len) == -1 {
                error = system_error().raw_os_error().unwrap_or(libc::EIO);
            }
            if error != 0 {
                let text = c"connect() failed".as_ptr().cast_mut();
                let _ = sys::ngx_connection_error(self.as_ptr(), error, text);
                return Err(io::Error::from_raw_os_error(error));
            }
            // Its failure has been logged, and only makes small writes slow.
            let _ = sys::ngx_tcp_nodelay(self.as_ptr());
        }
        Ok(())
    }

    /// Reads into the front of `buf`, as many bytes as the number tells. 0 at the end of the stream, or when `buf` is empty.
    ///
    /// # Errors
    /// `TimedOut` when nothing came for that time; others have been logged.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        timeout: Option<Duration>,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.timed_out(Side::Read) {
            return Poll::Ready(Err(error));
        }
        let c = self.as_ptr();
        // SAFETY: the connection is ours.
        if buf.is_empty() || unsafe { sys::ngx_event_s::eof_raw((*c).read) } != 0 {
            return Poll::Ready(Ok(0));
        }
        // OpenSSL may have bytes, or want to write first, whatever the socket's state.
        if self.is_ready(Side::Read) || self.is_tls() {
            self.state().doing(c"reading from upstream");
            // SAFETY: an open connection has these functions; nginx writes at most that many bytes.
            let n = unsafe { (*c).recv.map_or(-1, |recv| recv(c, buf.as_mut_ptr(), buf.len().min(MOST))) };
            if n != AGAIN {
                self.stop_timer(Side::Read);
                return Poll::Ready(self.outcome(n));
            }
        }
        self.wait(Side::Read, cx, timeout).map_ok(|()| 0)
    }

    /// Writes some of the bytes, and tells how many.
    ///
    /// # Errors
    /// `TimedOut` when nothing could be written for that time; others have been logged.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8], timeout: Option<Duration>) -> Poll<io::Result<usize>> {
        if let Some(error) = self.timed_out(Side::Write) {
            return Poll::Ready(Err(error));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.is_ready(Side::Write) || self.is_tls() {
            self.state().doing(c"sending to upstream");
            let c = self.as_ptr();
            // SAFETY: an open connection has these functions; nginx only reads the bytes.
            let n = unsafe { (*c).send.map_or(-1, |send| send(c, buf.as_ptr().cast_mut(), buf.len().min(MOST))) };
            if n != AGAIN {
                self.stop_timer(Side::Write);
                return Poll::Ready(self.outcome(n));
            }
        }
        self.wait(Side::Write, cx, timeout).map_ok(|()| 0)
    }

    /// Nothing more is written: the peer sees the end of the stream. TLS is shut down when the connection is dropped.
    pub fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // SAFETY: the connection is ours.
        let done = self.is_tls() || unsafe { libc::shutdown((*self.as_ptr()).fd, libc::SHUT_WR) } == 0;
        Poll::Ready(if done { Ok(()) } else { Err(system_error()) })
    }

    fn outcome(&self, n: isize) -> io::Result<usize> {
        usize::try_from(n).map_err(|_| if self.is_tls() { ErrorKind::ConnectionAborted.into() } else { system_error() })
    }

    fn event(&self, side: Side) -> *mut sys::ngx_event_t {
        // SAFETY: the connection is ours, and its events with it.
        unsafe {
            match side {
                Side::Read => (*self.as_ptr()).read,
                Side::Write => (*self.as_ptr()).write,
            }
        }
    }

    fn is_ready(&self, side: Side) -> bool {
        // SAFETY: as in event().
        unsafe { sys::ngx_event_s::ready_raw(self.event(side)) != 0 }
    }

    /// A connection that was too slow once stays so.
    fn timed_out(&self, side: Side) -> Option<io::Error> {
        // SAFETY: as in event().
        let timed_out = unsafe { sys::ngx_event_s::timedout_raw(self.event(side)) != 0 };
        timed_out.then(|| ErrorKind::TimedOut.into())
    }

    pub(super) fn write_timed_out(&self) -> bool {
        self.timed_out(Side::Write).is_some()
    }

    fn stop_timer(&self, side: Side) {
        // SAFETY: as in event(); the shim looks whether there is a timer.
        unsafe { sys::wasmx_del_timer(self.event(side)) }
    }

    pub(super) fn stop_timers(&self) {
        self.stop_timer(Side::Read);
        self.stop_timer(Side::Write);
    }

    /// Keeps the waker, and asks nginx for the event. A timer that runs goes on.
    fn wait<T>(&self, side: Side, cx: &Context<'_>, timeout: Option<Duration>) -> Poll<io::Result<T>> {
        self.set_timer(side, timeout);
        let event = self.event(side);
        let (slot, armed) = match side {
            // SAFETY: as in event().
            Side::Read => (&self.state().read, unsafe { sys::ngx_handle_read_event(event, 0) }),
            // SAFETY: as in event().
            Side::Write => (&self.state().write, unsafe { sys::ngx_handle_write_event(event, 0) }),
        };
        if armed != OK {
            return Poll::Ready(Err(ErrorKind::Other.into()));
        }
        slot.set(cx.waker());
        Poll::Pending
    }

    fn set_timer(&self, side: Side, timeout: Option<Duration>) {
        let event = self.event(side);
        // SAFETY: as in event().
        unsafe {
            match timeout {
                None => sys::wasmx_del_timer(event),
                Some(_) if sys::ngx_event_s::timer_set_raw(event) != 0 => {}
                Some(timeout) => sys::wasmx_add_timer(event, millis(timeout)),
            }
        }
    }

    /// Waits for the handshake, which is told through the write event's slot.
    pub(super) fn wait_for_handshake(&self, cx: &Context<'_>, timeout: Duration) {
        self.set_timer(Side::Write, Some(timeout));
        self.state().write.set(cx.waker());
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        #[cfg(any(ngx_feature = "ssl", ngx_feature = "compat"))]
        // SAFETY: the connection is ours.
        return unsafe { !(*self.as_ptr()).ssl.is_null() };
        #[cfg(not(any(ngx_feature = "ssl", ngx_feature = "compat")))]
        false
    }

    /// Lends the connection to `f`, with the cycle's log, and gives it back unless `f` says that another has it now.
    pub(crate) fn hand_over(self, f: impl FnOnce(*mut sys::ngx_connection_t) -> bool) -> Option<Self> {
        self.stop_timers();
        self.hold_shutdown(true);
        let raw = self.as_ptr();
        // SAFETY: the connection is ours.
        unsafe { state::set_log(raw, crate::Log::cycle().as_ptr()) };
        if f(raw) {
            // Without a connection, dropping self frees the state only.
            self.state().raw.set(std::ptr::null_mut());
            return None;
        }
        // SAFETY: still ours.
        unsafe { state::set_log(raw, self.state().log()) };
        Some(self)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let c = self.as_ptr();
        // SAFETY: the connection is ours until here, unless it was given away. The state goes last: its log is the
        // connection's and the pool's. nginx's handlers, if we are inside of one, look at the connection no more.
        unsafe {
            if !c.is_null() {
                sys::wasmx_ssl_close(c);
                let pool = (*c).pool;
                sys::ngx_close_connection(c);
                if !pool.is_null() {
                    sys::ngx_destroy_pool(pool);
                }
            }
            drop(Box::from_raw(self.state.as_ptr()));
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection").field(&self.state().peer()).finish()
    }
}

/// Of the call that failed last, if it says why.
fn system_error() -> io::Error {
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(0) { ErrorKind::ConnectionReset.into() } else { error }
}

/// Room for what TLS needs (ngx_ssl_create_connection); without it the pool is never used.
const POOL: usize = 256;
