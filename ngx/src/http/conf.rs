//! Modules of `http {}` (src/http/ngx_http_config.h).

use std::{
    cell::{RefCell, UnsafeCell},
    ffi::{c_char, c_void},
    marker::PhantomData,
    ptr,
};

use crate::{
    Conf, Directive, Failed, Status,
    conf::CONF_ERROR,
    guard::guard,
    http::handle,
    module::{Commands, Placed, blank, new_slot},
    sys,
};

/// A module of `http {}`.
pub trait HttpModule: Placed<HttpCell<Self>> + Sized {
    /// One value for `http {}`.
    type Main: Default + 'static;
    /// A value for `http {}`, each server and each location.
    type Loc: Default + Merge + 'static;

    const DIRECTIVES: &'static [Directive];

    /// Before the block is read: the place to add variables.
    fn preconfiguration(cf: Conf<'_>) -> Result<(), Failed> {
        let _ = cf;
        Ok(())
    }

    /// The block was read, and nothing is merged yet.
    fn init_main(cf: Conf<'_>, main: &mut Self::Main) -> Result<(), Failed> {
        let _ = (cf, main);
        Ok(())
    }

    /// All is read and merged: the place to install phase handlers.
    fn postconfiguration(cf: Conf<'_>) -> Result<(), Failed> {
        let _ = cf;
        Ok(())
    }
}

/// How a server's or location's configuration takes over what it does not set itself.
pub trait Merge {
    fn merge(&mut self, parent: &Self, cf: Conf<'_>) -> Result<(), Failed>;
}

/// A module without configuration per location.
impl Merge for () {
    fn merge(&mut self, (): &Self, _: Conf<'_>) -> Result<(), Failed> {
        Ok(())
    }
}

/// The `ngx_http_module_t` of `M`.
#[repr(transparent)]
pub struct HttpContext<M>(sys::ngx_http_module_t, PhantomData<fn() -> M>);

// SAFETY: constant; nginx only reads it.
unsafe impl<M> Sync for HttpContext<M> {}

impl<M: HttpModule> HttpContext<M> {
    #[allow(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        HttpContext(
            sys::ngx_http_module_t {
                preconfiguration: Some(preconfiguration::<M>),
                postconfiguration: Some(postconfiguration::<M>),
                create_main_conf: Some(create_main_conf::<M>),
                init_main_conf: Some(init_main_conf::<M>),
                create_srv_conf: None,
                merge_srv_conf: None,
                create_loc_conf: Some(create_loc_conf::<M>),
                merge_loc_conf: Some(merge_loc_conf::<M>),
            },
            PhantomData,
        )
    }
}

/// The `ngx_module_t` of an http module; nginx writes indices into it.
#[repr(transparent)]
pub struct HttpCell<M>(UnsafeCell<sys::ngx_module_t>, PhantomData<fn() -> M>);

// SAFETY: nginx writes it while it reads the configuration, when no request of ours runs, and from one thread.
unsafe impl<M> Sync for HttpCell<M> {}

impl<M: HttpModule> HttpCell<M> {
    pub const fn new<const N: usize>(context: &'static HttpContext<M>, commands: &'static Commands<N>) -> Self {
        let mut module = blank(sys::NGX_HTTP_MODULE);
        module.ctx = ptr::from_ref(&context.0).cast_mut().cast();
        module.commands = commands.as_ptr();
        HttpCell(UnsafeCell::new(module), PhantomData)
    }

    #[inline]
    pub const fn as_ptr(&self) -> *mut sys::ngx_module_t {
        self.0.get()
    }
}

/// The main slot, from inside `http {}` or, once the block was read, from anywhere.
pub(crate) fn main_slot<M: HttpModule>(cf: Conf<'_>) -> Option<&RefCell<M::Main>> {
    match context(cf) {
        // SAFETY: inside http {} the context's main_conf has our slot, made by create_main_conf::<M>.
        Some(ctx) => unsafe { (*(*ctx).main_conf.add(ctx_index::<M>())).cast::<RefCell<M::Main>>().as_ref() },
        None => cf.cycle().http_main_slot::<M>(),
    }
}

pub(crate) fn loc_slot<M: HttpModule>(cf: Conf<'_>) -> Option<&RefCell<M::Loc>> {
    let ctx = context(cf)?;
    // SAFETY: inside http {} the context's loc_conf has our slot, made by create_loc_conf::<M>.
    unsafe { (*(*ctx).loc_conf.add(ctx_index::<M>())).cast::<RefCell<M::Loc>>().as_ref() }
}

/// `cf->ctx`, when it is that of http: in core directives it is something else.
fn context(cf: Conf<'_>) -> Option<*mut sys::ngx_http_conf_ctx_t> {
    // SAFETY: cf is valid; module_type says what ctx is (ngx_http_block sets both, and puts both back).
    unsafe {
        let raw = cf.as_ptr();
        let http = (*raw).module_type == sys::NGX_HTTP_MODULE as usize && !(*raw).ctx.is_null();
        http.then(|| (*raw).ctx.cast())
    }
}

/// The module's place in the arrays of `http {}`.
#[inline]
pub(crate) fn ctx_index<M: HttpModule>() -> usize {
    // SAFETY: nginx wrote it before it called any of our functions.
    unsafe { (*M::cell().as_ptr()).ctx_index }
}

unsafe extern "C" fn preconfiguration<M: HttpModule>(cf: *mut sys::ngx_conf_t) -> sys::ngx_int_t {
    // SAFETY: nginx's argument is valid during the call.
    guard(-1, || Status::from(M::preconfiguration(unsafe { Conf::from_raw(cf) })).0)
}

unsafe extern "C" fn postconfiguration<M: HttpModule>(cf: *mut sys::ngx_conf_t) -> sys::ngx_int_t {
    // SAFETY: nginx's argument is valid during the call.
    guard(-1, || Status::from(M::postconfiguration(unsafe { Conf::from_raw(cf) })).0)
}

unsafe extern "C" fn create_main_conf<M: HttpModule>(cf: *mut sys::ngx_conf_t) -> *mut c_void {
    guard(ptr::null_mut(), || {
        handle::keep_anchors_in(M::cell().as_ptr());
        // SAFETY: nginx's argument is valid during the call.
        new_slot::<M::Main>(unsafe { Conf::from_raw(cf) }.pool())
    })
}

unsafe extern "C" fn init_main_conf<M: HttpModule>(cf: *mut sys::ngx_conf_t, conf: *mut c_void) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx's arguments are valid during the call; conf is what create_main_conf::<M> returned.
        let (cf, slot) = unsafe { (Conf::from_raw(cf), &*conf.cast::<RefCell<M::Main>>()) };
        outcome(M::init_main(cf, &mut slot.borrow_mut()))
    })
}

unsafe extern "C" fn create_loc_conf<M: HttpModule>(cf: *mut sys::ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx's argument is valid during the call.
    guard(ptr::null_mut(), || new_slot::<M::Loc>(unsafe { Conf::from_raw(cf) }.pool()))
}

unsafe extern "C" fn merge_loc_conf<M: HttpModule>(
    cf: *mut sys::ngx_conf_t,
    parent: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx's arguments are valid during the call; both confs are what create_loc_conf::<M> returned.
        let (cf, parent, slot) = unsafe {
            let parent = &*parent.cast::<RefCell<M::Loc>>();
            (Conf::from_raw(cf), parent, &*conf.cast::<RefCell<M::Loc>>())
        };
        outcome(slot.borrow_mut().merge(&parent.borrow(), cf))
    })
}

fn outcome(result: Result<(), Failed>) -> *mut c_char {
    match result {
        Ok(()) => ptr::null_mut(),
        Err(Failed) => CONF_ERROR,
    }
}
