//! A request (src/http/ngx_http_request.h).

use std::{marker::PhantomData, time::Duration};

use crate::{
    Cycle, Log, Pool, Status,
    http::{HttpModule, conf::ctx_index},
    module::CoreModule,
    str::bytes,
    sys,
};

/// A request, as a pointer that is valid for `'a`. Kept longer as a [`super::Handle`].
#[derive(Clone, Copy)]
pub struct Request<'a> {
    raw: *mut sys::ngx_http_request_t,
    _lent: PhantomData<&'a ()>,
}

impl PartialEq for Request<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

/// A bit of the request.
macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident $bit:ident;)+) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(self) -> bool {
            // SAFETY: valid for 'a (from_raw).
            unsafe { sys::ngx_http_request_s::$bit(self.raw) != 0 }
        }
    )+};
}

/// A string of the request.
macro_rules! strings {
    ($($(#[$doc:meta])* $name:ident $field:ident;)+) => {$(
        $(#[$doc])*
        #[inline]
        pub fn $name(self) -> &'a [u8] {
            // SAFETY: valid for 'a (from_raw); nginx replaces such strings, it does not overwrite their bytes.
            unsafe { bytes(&raw const (*self.raw).$field) }
        }
    )+};
}

impl<'a> Request<'a> {
    /// # Safety
    /// `raw` must stay a valid request for `'a`.
    #[inline]
    pub unsafe fn from_raw(raw: *mut sys::ngx_http_request_t) -> Self {
        Request { raw, _lent: PhantomData }
    }

    #[inline]
    pub fn as_ptr(self) -> *mut sys::ngx_http_request_t {
        self.raw
    }

    #[inline]
    pub(crate) fn connection(self) -> *mut sys::ngx_connection_t {
        // SAFETY: valid for 'a (from_raw).
        unsafe { (*self.raw).connection }
    }

    /// The log of the connection: it names the client and the request.
    #[inline]
    pub fn log(self) -> Log<'a> {
        // SAFETY: the connection outlives the request.
        unsafe { Log::from_raw((*self.connection()).log) }
    }

    /// Memory that lives as long as the request; a subrequest shares its parent's.
    #[inline]
    pub fn pool(self) -> Pool<'a> {
        // SAFETY: valid for 'a (from_raw).
        unsafe { Pool::from_raw((*self.raw).pool) }
    }

    /// The client's request, of which this may be a subrequest.
    #[inline]
    pub fn main(self) -> Request<'a> {
        // SAFETY: never null; the main request outlives its subrequests.
        unsafe { Request::from_raw((*self.raw).main) }
    }

    #[inline]
    pub fn is_main(self) -> bool {
        self.main() == self
    }

    pub fn parent(self) -> Option<Request<'a>> {
        // SAFETY: null or a request that outlives this one.
        unsafe {
            let parent = (*self.raw).parent;
            (!parent.is_null()).then(|| Request::from_raw(parent))
        }
    }

    flags! {
        /// It came by an internal redirect, or is a subrequest.
        internal internal_raw;
        /// The response header was given to the output filters.
        header_sent header_sent_raw;
        /// The response has no body (HEAD, 204, 304).
        header_only header_only_raw;
        /// The connection may be kept for another request.
        keepalive keepalive_raw;
        /// An error page, reached by an internal redirect.
        is_error_page error_page_raw;
        /// The body is not buffered.
        request_body_no_buffering request_body_no_buffering_raw;
    }

    strings! {
        method method_name;
        /// The path: decoded, without the query, slashes merged.
        uri uri;
        /// The query, without the question mark.
        args args;
        /// Path and query as the client sent them; empty for subrequests.
        unparsed_uri unparsed_uri;
        /// Such as `HTTP/1.1`.
        protocol http_protocol;
        /// The request line.
        request_line request_line;
    }

    /// 9, 1000, 1001, 2000, 3000.
    #[inline]
    pub fn http_version(self) -> usize {
        // SAFETY: valid for 'a (from_raw).
        unsafe { (*self.raw).http_version }
    }

    /// `http` or `https` (ngx_http_variable_scheme).
    pub fn scheme(self) -> &'static [u8] {
        if self.is_tls() { b"https" } else { b"http" }
    }

    /// The protocol was switched, or the upstream agreed to switch it: what follows is no HTTP.
    pub fn is_upgraded(self) -> bool {
        // SAFETY: null, or valid as the request.
        unsafe {
            let upstream = (*self.raw).upstream;
            !upstream.is_null() && sys::ngx_http_upstream_s::upgrade_raw(upstream) != 0
        }
    }

    /// When the request's first bytes came, since the epoch.
    pub fn start_time(self) -> Duration {
        // SAFETY: valid for 'a (from_raw).
        let (secs, millis) = unsafe { ((*self.raw).start_sec, (*self.raw).start_msec) };
        Duration::from_secs(secs as u64) + Duration::from_millis(millis as u64)
    }

    /// Bytes of the request that were read: line, header and body.
    pub fn request_length(self) -> u64 {
        // SAFETY: valid for 'a (from_raw).
        unsafe { (*self.raw).request_length.max(0) as u64 }
    }

    /// Bytes sent to the client.
    pub fn bytes_sent(self) -> u64 {
        // SAFETY: the connection outlives the request.
        unsafe { (*self.connection()).sent.max(0) as u64 }
    }

    /// The response's status; 0 while it has none (ngx_http_variable_status).
    #[inline]
    pub fn status(self) -> u16 {
        // SAFETY: valid for 'a (from_raw).
        let (error, status) = unsafe { ((*self.raw).err_status, (*self.raw).headers_out.status) };
        (if error != 0 { error } else { status }) as u16
    }

    /// Sets the status, and with it its reason phrase.
    pub fn set_status(self, status: u16) {
        // SAFETY: valid for 'a (from_raw).
        unsafe {
            (*self.raw).err_status = 0;
            (*self.raw).headers_out.status = usize::from(status);
            (*self.raw).headers_out.status_line = crate::str::EMPTY;
        }
    }

    /// Whether output or the client's body is still on its way inside nginx (`r->buffered`).
    pub fn is_buffered(self) -> bool {
        // SAFETY: valid for 'a (from_raw).
        unsafe { sys::ngx_http_request_s::buffered_raw(self.raw) != 0 }
    }

    /// The configuration of the location that serves the request.
    #[inline]
    pub fn loc_conf<M: HttpModule>(self) -> &'a M::Loc {
        // SAFETY: the slot was made by create_loc_conf::<M>, and lives as long as the cycle, which outlives its requests.
        // It is written to while the configuration is read only, when no request has it yet.
        unsafe {
            let slot = (*(*self.raw).loc_conf.add(ctx_index::<M>())).cast::<std::cell::RefCell<M::Loc>>();
            (*slot).try_borrow_unguarded().expect("a location's configuration is complete")
        }
    }

    /// The configuration of `http {}`.
    #[inline]
    pub fn main_conf<M: HttpModule>(self) -> &'a M::Main {
        // SAFETY: as in loc_conf.
        unsafe {
            let slot = (*(*self.raw).main_conf.add(ctx_index::<M>())).cast::<std::cell::RefCell<M::Main>>();
            (*slot).try_borrow_unguarded().expect("the configuration is complete")
        }
    }

    /// A core module's configuration, of the cycle that is served. `None` while there is none.
    #[inline]
    pub fn core_conf<M: CoreModule>(self) -> Option<&'a M::Conf> {
        // SAFETY: ngx_cycle is valid, and a single-process nginx frees the one before only when its requests have ended.
        unsafe { Cycle::from_raw(sys::ngx_cycle.cast()).core_conf::<M>() }
    }

    /// Ends the request or a part of it, as the status says (ngx_http_finalize_request). The request may be freed when
    /// this returns.
    pub fn finalize(self, status: Status) {
        // SAFETY: valid for 'a; the caller uses the request no more.
        unsafe { sys::ngx_http_finalize_request(self.raw, status.0) }
    }

    /// [`Request::finalize`] from outside the request's own events, with what nginx posted meanwhile.
    pub fn finalize_posted(self, status: Status) {
        self.wake(|r| r.finalize(status));
    }

    /// Goes on with the phases, from the handler that said to wait (ngx_http_core_run_phases). The request may be freed
    /// when this returns.
    pub fn run_phases(self) {
        // SAFETY: valid for 'a; the caller uses the request no more.
        unsafe {
            (*self.raw).write_event_handler = Some(sys::ngx_http_core_run_phases);
            sys::ngx_http_core_run_phases(self.raw);
        }
    }

    /// [`Request::run_phases`] for a request that was held, from outside its own events. It may be freed when this
    /// returns.
    pub fn resume(self) {
        self.wake(Request::run_phases);
    }

    /// Runs `f` for a request that is woken from outside its own events (a timer, a socket of ours), as nginx does it:
    /// log lines name this request, and what `f` posted on the connection is run afterwards. The request may be freed
    /// when this returns.
    pub fn wake(self, f: impl FnOnce(Request<'a>)) {
        let connection = self.connection();
        // SAFETY: the log's data of an http connection is an ngx_http_log_ctx_t (ngx_http_set_log_request). The connection
        // is readable when f has ended the request: nginx frees those of HTTP/2 from a posted event, and
        // ngx_http_run_posted_requests looks at `destroyed` first, as in ngx_http_upstream_handler.
        unsafe {
            let log = (*(*connection).log).data.cast::<sys::ngx_http_log_ctx_t>();
            if !log.is_null() {
                (*log).current_request = self.raw;
            }
            f(self);
            sys::ngx_http_run_posted_requests(connection);
        }
    }

    /// Lets the request's write event fire from the event loop: whoever waits for the client to take more (nginx's
    /// writer, an upstream) looks again whether there is something to do.
    pub fn post_write(self) {
        // SAFETY: the connection outlives the request, and its write event with it (ngx_post_event).
        unsafe { sys::wasmx_post_event((*self.connection()).write, &raw mut sys::ngx_posted_events) }
    }

    /// The `send_timeout` of the request's location: how long nothing may move towards the client.
    pub fn send_timeout(self) -> Duration {
        // SAFETY: the core module's location configuration is there for every request.
        let millis = unsafe {
            let core = *(*self.raw).loc_conf.add(sys::ngx_http_core_module.ctx_index);
            (*core.cast::<sys::ngx_http_core_loc_conf_t>()).send_timeout
        };
        Duration::from_millis(millis as u64)
    }

    /// Stops the time in which the client has to take more, unless there is something for it to take. nginx: the timer of
    /// ngx_http_set_write_handler and ngx_http_writer, which they start anew when they go on.
    pub fn stop_send_timeout(self) {
        let connection = self.connection();
        // SAFETY: the connection outlives the request, and its write event with it; the shim looks whether the timer runs.
        unsafe {
            let write = (*connection).write;
            // One that is delayed waits for `limit_rate`.
            if (*connection).buffered() == 0 && (*write).delayed() == 0 {
                sys::wasmx_del_timer(write);
            }
        }
    }

    /// Adds the request to those that are run next on its connection (ngx_http_post_request).
    pub fn post(self) -> Result<(), crate::Failed> {
        // SAFETY: valid for 'a (from_raw); nginx allocates the link itself.
        let rc = unsafe { sys::ngx_http_post_request(self.raw, std::ptr::null_mut()) };
        if rc == 0 { Ok(()) } else { Err(crate::Failed) }
    }

    /// The request waits for us in a phase, whose handler returns `DONE`: it is ended when the client goes away
    /// (ngx_http_test_reading), and left alone when its socket can be written to. [`Request::resume`] goes on. (As
    /// ngx_http_limit_req_handler does it.)
    pub fn hold(self) {
        // SAFETY: valid for 'a (from_raw). An event that cannot be armed only means that a client which goes away is
        // noticed later.
        unsafe {
            (*self.raw).read_event_handler = Some(sys::ngx_http_test_reading);
            (*self.raw).write_event_handler = Some(sys::ngx_http_request_empty_handler);
            let _ = sys::ngx_handle_read_event((*self.connection()).read, 0);
        }
    }

    /// Serves the request again from the start, for another path inside this server (ngx_http_internal_redirect).
    pub fn internal_redirect(self, uri: &[u8], args: &[u8]) -> Status {
        let (Some(mut uri), Some(mut args)) = (self.pool().copy_str(uri), self.pool().copy_str(args)) else {
            return Status::ERROR;
        };
        // SAFETY: valid for 'a; both strings live in the request's pool.
        Status(unsafe { sys::ngx_http_internal_redirect(self.raw, &mut uri, &mut args) })
    }

    /// Makes the connection close after this response.
    pub fn disable_keepalive(self) {
        // SAFETY: valid for 'a (from_raw).
        unsafe { sys::ngx_http_request_s::set_keepalive_raw(self.raw, 0) }
    }
}
