//! nginx's resolver (src/core/ngx_resolver.c).

use std::{
    borrow::Cow,
    cell::{Cell, UnsafeCell},
    ffi::CStr,
    fmt,
    marker::PhantomData,
    net::IpAddr,
    pin::Pin,
    ptr::{self, NonNull},
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::{
    Conf, Failed,
    guard::guard,
    http::Request,
    net::{Address, parse_ip},
    sys,
    timer::millis,
};

/// A resolver of the configuration: name servers, and what they said. It lives as long as its cycle.
#[derive(Clone, Copy, Debug)]
pub struct Resolver(NonNull<sys::ngx_resolver_t>);

impl Conf<'_> {
    /// A resolver from the arguments of nginx's own directive `resolver`: addresses, `valid=`, `ipv4=`, `ipv6=`.
    ///
    /// # Errors
    /// When nginx does not take them; it has been logged, with file and line.
    pub fn create_resolver(self, args: &[&[u8]]) -> Result<Resolver, Failed> {
        let mut names = Vec::with_capacity(args.len());
        for arg in args {
            // nginx compares some as C's strings, and keeps parts of others.
            let mut name = self.pool().copy_str(&[*arg, b"\0"].concat()).ok_or(Failed)?;
            name.len -= 1;
            names.push(name);
        }
        // SAFETY: the configuration is valid, and the names are as many.
        let raw = unsafe { sys::ngx_resolver_create(self.as_ptr(), names.as_mut_ptr(), names.len()) };
        NonNull::new(raw).map(Resolver).ok_or(Failed)
    }
}

impl Request<'_> {
    /// The resolver of the request's location, and the time that it may take; `None` when no `resolver` is configured.
    pub fn resolver(self) -> Option<(Resolver, Duration)> {
        // SAFETY: the core module's location configuration is there for every request; a resolver is null or valid.
        unsafe {
            let core = *(*self.as_ptr()).loc_conf.add(sys::ngx_http_core_module.ctx_index);
            let core = core.cast::<sys::ngx_http_core_loc_conf_t>();
            let resolver = NonNull::new((*core).resolver)?;
            let configured = (*resolver.as_ptr()).connections.nelts > 0;
            configured.then(|| (Resolver(resolver), Duration::from_millis((*core).resolver_timeout as u64)))
        }
    }
}

impl Resolver {
    /// Begins to resolve a name; addresses in text, in brackets or not, are their own answer. Only in processes with an
    /// event loop.
    pub fn resolve(self, name: &[u8], timeout: Duration) -> Resolving {
        let query = Box::into_raw(Box::new(Query {
            ctx: Cell::new(ptr::null_mut()),
            // nginx makes it lower case in place, and reads it until the end.
            name: UnsafeCell::new(name.into()),
            outcome: Cell::new(None),
            waker: Cell::new(None),
        }));
        // SAFETY: just made.
        let resolving = Resolving { query: unsafe { NonNull::new_unchecked(query) }, _one_thread: PhantomData };
        let outcome = match parse_ip(name) {
            Some(ip) => Err(Ok(vec![ip])),
            // nginx would cut the length of longer ones to 16 bits.
            None if name.is_empty() || name.len() > LONGEST_NAME => Err(Err(NOT_FOUND)),
            None => self.start(resolving.query(), timeout).map_err(Err),
        };
        if let Err(outcome) = outcome {
            resolving.query().outcome.set(Some(outcome));
        }
        resolving
    }

    fn start(self, query: &Query, timeout: Duration) -> Result<(), ResolveError> {
        // SAFETY: the resolver lives as long as its cycle. nginx answers with null, with what is no pointer
        // (NGX_NO_RESOLVER) or with a context that is ours until it is done.
        unsafe {
            let ctx = sys::ngx_resolve_start(self.0.as_ptr(), ptr::null_mut());
            if ctx.is_null() {
                return Err(NO_MEMORY);
            }
            if ctx.addr() == usize::MAX {
                return Err(ResolveError(Cow::Borrowed("no resolver defined")));
            }
            let name = &mut *query.name.get();
            (*ctx).name = sys::ngx_str_t { len: name.len(), data: name.as_mut_ptr() };
            (*ctx).handler = Some(on_answer);
            (*ctx).data = ptr::from_ref(query).cast_mut().cast();
            // Without a limit nginx would wait for ever.
            (*ctx).timeout = millis(timeout).max(1);
            query.ctx.set(ctx);
            // The handler may run before this returns.
            if sys::ngx_resolve_name(ctx) != sys::NGX_OK as sys::ngx_int_t {
                // nginx has freed the context.
                query.ctx.set(ptr::null_mut());
                return Err(NO_MEMORY);
            }
        }
        Ok(())
    }
}

/// A name that is being resolved; dropping it ends that. It must not outlive the cycle of its resolver: those that live
/// when a worker ends must be dropped in `exit_process`. Its time limit delays a graceful shutdown.
pub struct Resolving {
    query: NonNull<Query>,
    _one_thread: PhantomData<*mut ()>,
}

/// What nginx's context points to.
struct Query {
    /// Null when there is none any more.
    ctx: Cell<*mut sys::ngx_resolver_ctx_t>,
    name: UnsafeCell<Box<[u8]>>,
    outcome: Cell<Option<Result<Vec<IpAddr>, ResolveError>>>,
    waker: Cell<Option<Waker>>,
}

impl Resolving {
    fn query(&self) -> &Query {
        // SAFETY: the box is freed when self is dropped; nginx shares it, and all in it are cells.
        unsafe { self.query.as_ref() }
    }
}

impl Future for Resolving {
    type Output = Result<Vec<IpAddr>, ResolveError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let query = self.query();
        match query.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                query.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl Drop for Resolving {
    fn drop(&mut self) {
        let ctx = self.query().ctx.get();
        // SAFETY: the context is null or ours, and has not been answered; nginx takes it from whoever waits.
        unsafe {
            if !ctx.is_null() {
                sys::ngx_resolve_name_done(ctx);
            }
            drop(Box::from_raw(self.query.as_ptr()));
        }
    }
}

unsafe extern "C" fn on_answer(ctx: *mut sys::ngx_resolver_ctx_t) {
    guard((), || {
        // SAFETY: data is the query of a Resolving that lives: its drop takes the context back. nginx goes on with others
        // that wait for the same name, so nothing but a wake may happen here; the context is done with it, as nginx's
        // own handlers do it.
        unsafe {
            let query = &*(*ctx).data.cast::<Query>();
            let outcome = answer(ctx);
            query.ctx.set(ptr::null_mut());
            sys::ngx_resolve_name_done(ctx);
            query.outcome.set(Some(outcome));
            if let Some(waker) = query.waker.take() {
                waker.wake();
            }
        }
    });
}

/// # Safety
/// `ctx` must have been answered.
unsafe fn answer(ctx: *mut sys::ngx_resolver_ctx_t) -> Result<Vec<IpAddr>, ResolveError> {
    // SAFETY: the caller's promise; nginx gives so many addresses, and its texts end with zeros.
    unsafe {
        if (*ctx).state != sys::NGX_OK as sys::ngx_int_t {
            let text = sys::ngx_resolver_strerror((*ctx).state);
            return Err(ResolveError(Cow::Owned(CStr::from_ptr(text).to_string_lossy().into_owned())));
        }
        let addresses = (0..(*ctx).naddrs).filter_map(|i| {
            let address = (*ctx).addrs.add(i);
            Address::from_raw((*address).sockaddr, (*address).socklen)?.as_ip()
        });
        let addresses: Vec<IpAddr> = addresses.collect();
        if addresses.is_empty() { Err(NOT_FOUND) } else { Ok(addresses) }
    }
}

/// Why a name has no addresses, in nginx's words: `Host not found`, `Operation timed out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(Cow<'static, str>);

impl std::error::Error for ResolveError {}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RFC 1035.
const LONGEST_NAME: usize = 255;

const NOT_FOUND: ResolveError = ResolveError(Cow::Borrowed("Host not found"));
const NO_MEMORY: ResolveError = ResolveError(Cow::Borrowed("Unknown error"));
