//! The small request that a balancer is asked with.
//!
//! A balancer may look at the request when it begins (`peer.init`): `hash` evaluates its key, `ip_hash` points to the
//! client's address. So it is given a copy, in a pool of its own, with its own connection, address, variables and
//! contexts: nothing is written into the original. The values of variables are copied too, because `sticky` keeps
//! pointers to them.
//!
//! Afterwards the original may end, so what was copied is wiped. That is no loss: of nginx's own balancers round_robin,
//! least_conn, hash, ip_hash, random and keepalive look at the request no more (they keep what they need, in our pool),
//! and sticky, which does, finds an empty one that is valid: it sets a cookie in a response that nobody sees.

use std::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::{self, NonNull},
};

use crate::{Log, OwnedPool, Pool, guard::guard, http::Request, str::bytes, sys};

const OK: sys::ngx_int_t = sys::NGX_OK as sys::ngx_int_t;
const ERROR: sys::ngx_int_t = sys::NGX_ERROR as sys::ngx_int_t;

/// One block holds all of it for a usual configuration.
const POOL: usize = 16 * 1024;

/// A request, what it points to, and the pool of both.
pub(super) struct Asking {
    request: NonNull<sys::ngx_http_request_t>,
    /// Dropped last.
    _pool: OwnedPool,
}

/// The parts that balancers may keep pointers to.
#[derive(Clone, Copy)]
struct Parts<'a> {
    pool: Pool<'a>,
    request: *mut sys::ngx_http_request_t,
    upstream: *mut sys::ngx_http_upstream_t,
    connection: *mut sys::ngx_connection_t,
    address: *mut sys::ngx_sockaddr_t,
    read: *mut sys::ngx_event_t,
    write: *mut sys::ngx_event_t,
}

impl Asking {
    /// `None` when there is no memory, no `http {}`, or the balancer fails.
    pub fn new(block: *mut sys::ngx_http_upstream_srv_conf_t, original: Option<Request<'_>>) -> Option<Self> {
        let owned = Pool::create(POOL)?;
        // SAFETY: the pool goes into what is returned, and the parts are used here only.
        let parts = Parts::new(unsafe { Pool::from_raw(owned.pool().as_ptr()) })?;
        let asking = Self { request: NonNull::new(parts.request)?, _pool: owned };
        parts.blank()?;
        // SAFETY: the parts are zeroed structs of our pool, and the block is one of the configuration that is served. The
        // original is valid during the call, and outlives nothing of ours.
        unsafe {
            parts.start(block);
            if let Some(original) = original {
                parts.copy(original)?;
            }
            let status = (*block).peer.init.map_or(ERROR, |init| init(parts.request, block));
            // Balancers may have asked to be told when the request ends.
            let cleanup = (*parts.request).cleanup;
            if original.is_some() {
                parts.blank()?;
                (*parts.request).cleanup = cleanup;
            }
            (status == OK).then_some(asking)
        }
    }

    /// The state of the choice.
    pub fn peer(&self) -> *mut sys::ngx_peer_connection_t {
        // SAFETY: the request's upstream is in our pool.
        unsafe { &raw mut (*(*self.request.as_ptr()).upstream).peer }
    }

    /// The connection may serve another request.
    pub fn may_keep(&self) {
        // SAFETY: as in peer().
        unsafe {
            let upstream = (*self.request.as_ptr()).upstream;
            sys::ngx_http_upstream_s::set_keepalive_raw(upstream, 1);
            sys::ngx_http_upstream_s::set_request_body_sent_raw(upstream, 1);
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // SAFETY: cleanups were added by balancers or variables, to our request, and run once (ngx_http_free_request).
        unsafe {
            let mut next = (*self.request.as_ptr()).cleanup;
            while let Some(cleanup) = next.as_ref() {
                next = cleanup.next;
                if let Some(handler) = cleanup.handler {
                    handler(cleanup.data);
                }
            }
        }
    }
}

impl<'a> Parts<'a> {
    fn new(pool: Pool<'a>) -> Option<Self> {
        let parts = Self {
            pool,
            request: pool.calloc(),
            upstream: pool.calloc(),
            connection: pool.calloc(),
            address: pool.calloc(),
            read: pool.calloc(),
            write: pool.calloc(),
        };
        let missing = parts.request.is_null()
            || parts.upstream.is_null()
            || parts.connection.is_null()
            || parts.address.is_null()
            || parts.read.is_null()
            || parts.write.is_null();
        (!missing).then_some(parts)
    }

    /// Makes the request one that asks for nothing, on a connection from nowhere. The address stays: `ip_hash` points to
    /// it.
    fn blank(self) -> Option<()> {
        // SAFETY: zero is a value for all of them; they are in our pool, and http's context is valid.
        unsafe {
            let http = http_context()?;
            let core = *(*http).main_conf.add(sys::ngx_http_core_module.ctx_index);
            let core = core.cast::<sys::ngx_http_core_main_conf_t>();
            let c = self.connection;
            c.write_bytes(0, 1);
            (*c).fd = -1;
            (*c).data = self.request.cast();
            (*c).log = Log::cycle().as_ptr();
            self.own_connection();

            let r = self.request;
            r.write_bytes(0, 1);
            (*r).signature = sys::NGX_HTTP_MODULE;
            // A server's configuration is merged, and that of http {} is not.
            let conf = NonNull::new(first_server(core)).map_or(http, NonNull::as_ptr);
            (*r).main_conf = (*conf).main_conf;
            (*r).srv_conf = (*conf).srv_conf;
            (*r).loc_conf = (*conf).loc_conf;
            (*r).ctx = zeroed(self.pool, sys::ngx_http_max_module)?;
            (*r).variables = zeroed(self.pool, (*core).variables.nelts)?;
            self.own_request();
            for list in [&raw mut (*r).headers_in.headers, &raw mut (*r).headers_out.headers] {
                (*list).part.elts = zeroed::<sys::ngx_table_elt_t>(self.pool, HEADERS)?.cast();
                (*list).last = &raw mut (*list).part;
                (*list).size = size_of::<sys::ngx_table_elt_t>();
                (*list).nalloc = HEADERS;
                (*list).pool = self.pool.as_ptr();
            }
        }
        Some(())
    }

    /// # Safety
    /// `block` must be valid.
    unsafe fn start(self, block: *mut sys::ngx_http_upstream_srv_conf_t) {
        // SAFETY: zeroed, and in our pool.
        unsafe {
            let u = self.upstream;
            (*u).upstream = block;
            (*u).conf = CONF.0.get().cast();
            (*u).start_time = sys::ngx_current_msec;
            (*u).peer.start_time = sys::ngx_current_msec;
            (*u).peer.log = Log::cycle().as_ptr();
            sys::ngx_peer_connection_s::set_log_error_raw(&raw mut (*u).peer, sys::NGX_ERROR_ERR);
        }
    }

    /// Makes the request a copy of another, for the time of `peer.init`.
    ///
    /// # Safety
    /// The blank request must be there.
    unsafe fn copy(self, original: Request<'_>) -> Option<()> {
        let (from, c) = (original.as_ptr(), self.connection);
        // SAFETY: both requests are valid, and the original's arrays have as many entries as its configuration says.
        unsafe {
            let blank = *self.request;
            *self.request = *from;
            *c = *(*from).connection;
            self.own_connection();
            self.own_request();
            // Nothing of the original's may be run, written to or waited for.
            let r = self.request;
            (*r).cleanup = ptr::null_mut();
            (*r).parent = ptr::null_mut();
            (*r).postponed = ptr::null_mut();
            (*r).post_subrequest = ptr::null_mut();
            (*r).posted_requests = ptr::null_mut();
            #[cfg(ngx_feature = "pcre")]
            sys::ngx_http_request_s::set_realloc_captures_raw(r, 1);

            (*r).ctx = blank.ctx;
            ptr::copy_nonoverlapping((*from).ctx, (*r).ctx, sys::ngx_http_max_module);
            (*r).variables = blank.variables;
            let core = *(*r).main_conf.add(sys::ngx_http_core_module.ctx_index);
            let core = core.cast::<sys::ngx_http_core_main_conf_t>();
            for i in 0..(*core).variables.nelts {
                let to = (*r).variables.add(i);
                *to = *(*from).variables.add(i);
                own_value(self.pool, to)?;
            }
            (*r).main_conf = self.with_copied_values(core, (*r).main_conf)?;

            let len = (*c).socklen as usize;
            let address = (*(*from).connection).sockaddr;
            if !address.is_null() && len <= size_of::<sys::ngx_sockaddr_t>() {
                ptr::copy_nonoverlapping(address.cast::<u8>(), self.address.cast(), len);
            }
        }
        Some(())
    }

    /// The main configurations, with variables whose values, when they are evaluated, are copied to our pool.
    ///
    /// # Safety
    /// `core` must be the core module's among them.
    unsafe fn with_copied_values(
        self,
        core: *mut sys::ngx_http_core_main_conf_t,
        main: *mut *mut std::ffi::c_void,
    ) -> Option<*mut *mut std::ffi::c_void> {
        // SAFETY: nginx's arrays have as many entries as it says.
        unsafe {
            let count = (*core).variables.nelts;
            let originals = (*core).variables.elts.cast::<sys::ngx_http_variable_t>();
            let copies = zeroed::<sys::ngx_http_variable_t>(self.pool, count)?;
            for i in 0..count {
                let (original, copy) = (originals.add(i), copies.add(i));
                *copy = *original;
                if (*original).get_handler.is_some() {
                    (*copy).get_handler = Some(get_copied);
                    (*copy).data = original as usize;
                }
            }
            let own_core = self.pool.calloc::<sys::ngx_http_core_main_conf_t>();
            let confs = zeroed::<*mut std::ffi::c_void>(self.pool, sys::ngx_http_max_module)?;
            if own_core.is_null() {
                return None;
            }
            *own_core = *core;
            (*own_core).variables.elts = copies.cast();
            ptr::copy_nonoverlapping(main, confs, sys::ngx_http_max_module);
            *confs.add(sys::ngx_http_core_module.ctx_index) = own_core.cast();
            Some(confs)
        }
    }

    /// What is ours in a connection, whether it is blank or a copy.
    unsafe fn own_connection(self) {
        // SAFETY: all of it is in our pool.
        unsafe {
            let c = self.connection;
            (*c).pool = self.pool.as_ptr();
            (*c).read = self.read;
            (*c).write = self.write;
            (*c).sockaddr = self.address.cast();
            if (*c).socklen == 0 {
                (*c).socklen = size_of::<sys::sockaddr>() as sys::socklen_t;
            }
            for event in [self.read, self.write] {
                event.write_bytes(0, 1);
                (*event).data = c.cast();
                (*event).log = (*c).log;
            }
        }
    }

    /// What is ours in a request, whether it is blank or a copy.
    unsafe fn own_request(self) {
        // SAFETY: all of it is in our pool.
        unsafe {
            let r = self.request;
            (*r).connection = self.connection;
            (*r).upstream = self.upstream;
            (*r).pool = self.pool.as_ptr();
            (*r).main = r;
            sys::ngx_http_request_s::set_count_raw(r, 1);
        }
    }
}

/// `http {}` of the configuration that is served.
pub(super) fn http_context() -> Option<*mut sys::ngx_http_conf_ctx_t> {
    // SAFETY: ngx_cycle is complete, and the http module's slot null or an ngx_http_conf_ctx_t.
    unsafe {
        let slots = (*sys::ngx_cycle).conf_ctx;
        let slot = if slots.is_null() { ptr::null_mut() } else { *slots.add(sys::ngx_http_module.index) };
        let context = slot.cast::<sys::ngx_http_conf_ctx_t>();
        (!context.is_null()).then_some(context)
    }
}

/// Null when there is no server.
///
/// # Safety
/// `core` must be valid.
unsafe fn first_server(core: *mut sys::ngx_http_core_main_conf_t) -> *mut sys::ngx_http_conf_ctx_t {
    // SAFETY: the array is of pointers to servers' configurations, each with its context.
    unsafe {
        let servers = &raw const (*core).servers;
        if (*servers).nelts == 0 {
            return ptr::null_mut();
        }
        (**(*servers).elts.cast::<*mut sys::ngx_http_core_srv_conf_t>()).ctx
    }
}

/// The variable's own handler, whose value is then copied.
unsafe extern "C" fn get_copied(
    r: *mut sys::ngx_http_request_t,
    value: *mut sys::ngx_http_variable_value_t,
    data: usize,
) -> sys::ngx_int_t {
    guard(ERROR, || {
        // SAFETY: data is the variable of the configuration, the request is ours, and its pool with it.
        unsafe {
            let original = data as *const sys::ngx_http_variable_t;
            let status = (*original).get_handler.map_or(ERROR, |get| get(r, value, (*original).data));
            if status == OK && own_value(Pool::from_raw((*r).pool), value).is_none() {
                return ERROR;
            }
            status
        }
    })
}

/// Copies a value's bytes to our pool.
///
/// # Safety
/// `value` must be valid.
unsafe fn own_value(pool: Pool<'_>, value: *mut sys::ngx_http_variable_value_t) -> Option<()> {
    // SAFETY: the caller's promise; a value that is valid and found has so many bytes.
    unsafe {
        let there =
            sys::ngx_variable_value_t::valid_raw(value) != 0 && sys::ngx_variable_value_t::not_found_raw(value) == 0;
        if there {
            let len = sys::ngx_variable_value_t::len_raw(value) as usize;
            let lent = sys::ngx_str_t { len, data: (*value).data };
            (*value).data = pool.copy_str(bytes(&raw const lent))?.data;
        }
    }
    Some(())
}

/// An array of zeroes; one more than nothing, so that it is never null.
///
/// # Safety
/// Zero must be a value of `T`.
unsafe fn zeroed<T: Copy>(pool: Pool<'_>, count: usize) -> Option<*mut T> {
    let memory = pool.alloc(count.max(1).checked_mul(size_of::<T>())?).cast::<T>();
    if memory.is_null() {
        return None;
    }
    // SAFETY: just allocated, with that many.
    unsafe { memory.write_bytes(0, count.max(1)) };
    Some(memory)
}

/// Room for the headers that a balancer may add, before nginx allocates more.
const HEADERS: usize = 4;

/// The configuration of our upstreams: none. It is the same for all, because nginx 1.29 knows by its address whose
/// connections it has kept.
struct Conf(UnsafeCell<MaybeUninit<sys::ngx_http_upstream_conf_t>>);

// SAFETY: balancers only read it, and from one thread.
unsafe impl Sync for Conf {}

static CONF: Conf = Conf(UnsafeCell::new(MaybeUninit::zeroed()));
