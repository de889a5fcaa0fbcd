//! Output filters: our place at the top of the chain (ngx_http_send_header and ngx_http_output_filter in
//! src/http/ngx_http_core_module.c).

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{
    Status,
    guard::guard,
    http::{Chain, Request},
    module::blank,
    sys,
};

/// The module that sees all responses before nginx's own filters do. There is one in a library.
pub trait HttpFilter: 'static {
    /// The header is about to be sent: pass it on ([`next_header_filter`]), or return `OK` to hold it.
    fn header_filter(r: Request<'_>) -> Status;

    /// A part of the body; the chain is empty when nginx only wants held output to move. Pass it on with
    /// [`next_body_filter`], or take it.
    fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status;

    /// A part of the client's body; the chain is empty when nginx only wants held parts to move. Pass it on with
    /// [`next_request_body_filter`], or take it. A status of 300 and above ends the request.
    fn request_body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
        next_request_body_filter(r, chain)
    }
}

/// The filters below ours. nginx builds its chain anew with each configuration, and does it while no request runs.
static NEXT_HEADER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static NEXT_BODY: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static NEXT_REQUEST_BODY: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

type HeaderFilter = unsafe extern "C" fn(*mut sys::ngx_http_request_t) -> sys::ngx_int_t;
type BodyFilter = unsafe extern "C" fn(*mut sys::ngx_http_request_t, *mut sys::ngx_chain_t) -> sys::ngx_int_t;

/// Passes the header on.
#[inline]
pub fn next_header_filter(r: Request<'_>) -> Status {
    let next = NEXT_HEADER.load(Ordering::Relaxed);
    if next.is_null() {
        return Status::ERROR;
    }
    // SAFETY: not null, so it is what postconfiguration stored: nginx's top filter then. The request is valid.
    Status(unsafe { std::mem::transmute::<*mut (), HeaderFilter>(next)(r.as_ptr()) })
}

/// Passes a part of the body on.
#[inline]
pub fn next_body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let next = NEXT_BODY.load(Ordering::Relaxed);
    if next.is_null() {
        return Status::ERROR;
    }
    // SAFETY: as in next_header_filter; the chain is valid as the request.
    Status(unsafe { std::mem::transmute::<*mut (), BodyFilter>(next)(r.as_ptr(), chain.as_ptr()) })
}

/// Passes a part of the client's body on.
#[inline]
pub fn next_request_body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let next = NEXT_REQUEST_BODY.load(Ordering::Relaxed);
    if next.is_null() {
        return Status::http(500);
    }
    // SAFETY: as in next_body_filter.
    Status(unsafe { std::mem::transmute::<*mut (), BodyFilter>(next)(r.as_ptr(), chain.as_ptr()) })
}

impl Request<'_> {
    /// Gives an error page in place of the response whose header has come to our header filter; what the filter returns
    /// (ngx_http_filter_finalize_request in src/http/ngx_http_special_response.c).
    pub fn finalize_from_filter(self, status: u16) -> Status {
        // SAFETY: a live request, whose header was not sent.
        Status(unsafe { sys::ngx_http_filter_finalize_request(self.as_ptr(), ptr::null_mut(), Status::http(status).0) })
    }
}

/// The `ngx_http_module_t` of a filter.
#[repr(transparent)]
pub struct FilterContext<F>(sys::ngx_http_module_t, PhantomData<fn() -> F>);

// SAFETY: constant; nginx only reads it.
unsafe impl<F> Sync for FilterContext<F> {}

impl<F: HttpFilter> FilterContext<F> {
    #[allow(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        FilterContext(
            sys::ngx_http_module_t {
                preconfiguration: None,
                postconfiguration: Some(postconfiguration::<F>),
                create_main_conf: None,
                init_main_conf: None,
                create_srv_conf: None,
                merge_srv_conf: None,
                create_loc_conf: None,
                merge_loc_conf: None,
            },
            PhantomData,
        )
    }
}

/// The `ngx_module_t` of a filter; nginx writes indices into it.
#[repr(transparent)]
pub struct FilterCell<F>(UnsafeCell<sys::ngx_module_t>, PhantomData<fn() -> F>);

// SAFETY: nginx writes it while it reads the configuration, and we never read it.
unsafe impl<F> Sync for FilterCell<F> {}

impl<F: HttpFilter> FilterCell<F> {
    pub const fn new(context: &'static FilterContext<F>) -> Self {
        let mut module = blank(sys::NGX_HTTP_MODULE);
        module.ctx = ptr::from_ref(&context.0).cast_mut().cast();
        FilterCell(UnsafeCell::new(module), PhantomData)
    }

    #[inline]
    pub const fn as_ptr(&self) -> *mut sys::ngx_module_t {
        self.0.get()
    }
}

/// Puts the filter on top: what nginx calls first, above the filters of modules that were loaded before.
unsafe extern "C" fn postconfiguration<F: HttpFilter>(_: *mut sys::ngx_conf_t) -> sys::ngx_int_t {
    // SAFETY: nginx's own filters are below us, so both tops are set; configurations are read by one thread.
    unsafe {
        let (header, body) = (sys::ngx_http_top_header_filter, sys::ngx_http_top_body_filter);
        NEXT_HEADER.store(header.map_or(ptr::null_mut(), |filter| filter as *mut ()), Ordering::Relaxed);
        NEXT_BODY.store(body.map_or(ptr::null_mut(), |filter| filter as *mut ()), Ordering::Relaxed);
        sys::ngx_http_top_header_filter = Some(header_filter::<F>);
        sys::ngx_http_top_body_filter = Some(body_filter::<F>);
        let body = sys::ngx_http_top_request_body_filter;
        NEXT_REQUEST_BODY.store(body.map_or(ptr::null_mut(), |filter| filter as *mut ()), Ordering::Relaxed);
        sys::ngx_http_top_request_body_filter = Some(request_body_filter::<F>);
    }
    0
}

unsafe extern "C" fn header_filter<F: HttpFilter>(r: *mut sys::ngx_http_request_t) -> sys::ngx_int_t {
    // SAFETY: nginx's argument is valid during the call.
    guard(Status::ERROR, || F::header_filter(unsafe { Request::from_raw(r) })).0
}

unsafe extern "C" fn body_filter<F: HttpFilter>(
    r: *mut sys::ngx_http_request_t,
    chain: *mut sys::ngx_chain_t,
) -> sys::ngx_int_t {
    // SAFETY: nginx's arguments are valid during the call.
    guard(Status::ERROR, || unsafe { F::body_filter(Request::from_raw(r), Chain::from_raw(chain)) }).0
}

unsafe extern "C" fn request_body_filter<F: HttpFilter>(
    r: *mut sys::ngx_http_request_t,
    chain: *mut sys::ngx_chain_t,
) -> sys::ngx_int_t {
    // SAFETY: nginx's arguments are valid during the call.
    guard(Status::http(500), || unsafe { F::request_body_filter(Request::from_raw(r), Chain::from_raw(chain)) }).0
}
