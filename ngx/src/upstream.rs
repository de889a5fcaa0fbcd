//! The balancers of `upstream {}` blocks (src/http/ngx_http_upstream.h), asked without a request of nginx's own upstream.

mod request;

use std::ptr::{self, NonNull};

use self::request::Asking;
use crate::{
    http::Request,
    net::{Address, Connection},
    str::bytes,
    sys,
};

/// An `upstream {}` block. It lives as long as its cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream(NonNull<sys::ngx_http_upstream_srv_conf_t>);

impl Upstream {
    /// The block of that name, in any case, in the configuration that is served. Those that nginx makes by itself, for a
    /// `proxy_pass` to a host, are none.
    pub fn find(name: &[u8]) -> Option<Self> {
        // SAFETY: ngx_cycle is complete; the http module's slot is null or an ngx_http_conf_ctx_t, in whose main
        // configurations nginx's own upstream module has its place, and whose array is of pointers to valid blocks.
        unsafe {
            let http = request::http_context()?;
            let main = *(*http).main_conf.add(sys::ngx_http_upstream_module.ctx_index);
            let upstreams = &raw const (*main.cast::<sys::ngx_http_upstream_main_conf_t>()).upstreams;
            let blocks = (*upstreams).elts.cast::<*mut sys::ngx_http_upstream_srv_conf_t>();
            (0..(*upstreams).nelts).filter_map(|i| NonNull::new(*blocks.add(i))).map(Self).find(|block| {
                let block = block.0.as_ptr();
                let explicit = !(*block).srv_conf.is_null() && (*block).port == 0 && (*block).peer.init.is_some();
                explicit && bytes(&raw const (*block).host).eq_ignore_ascii_case(name)
            })
        }
    }
}

/// A peer that was chosen.
#[derive(Debug)]
pub struct Picked {
    pub address: Address,
    /// As the configuration has it.
    pub name: String,
    /// A connection that the block's `keepalive` had kept. Others may have opened it, with TLS or without.
    pub kept: Option<Connection>,
}

/// Why no peer was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPeer {
    /// None is left that may be used: nginx's `no live upstreams`.
    Busy,
    /// The balancer failed.
    Failed,
}

/// The choice of peers for one call. It must not outlive its cycle: those that live when a worker ends must be dropped in
/// `exit_process`.
pub struct Balancer {
    asking: Asking,
    /// A peer was chosen, and the balancer not yet told how it went.
    picked: bool,
}

impl Balancer {
    /// With the request's variables, for `hash` and the like, and its client's address. The request is not touched, and
    /// may end while the balancer lives. `None` when there is no memory or the balancer fails.
    pub fn new(upstream: Upstream, request: Option<Request<'_>>) -> Option<Self> {
        Some(Self { asking: Asking::new(upstream.0.as_ptr(), request)?, picked: false })
    }

    /// The next peer. One that was chosen before, and of which nothing was told, counts as having served.
    ///
    /// # Errors
    /// When there is none; it is not in the log.
    #[allow(clippy::should_implement_trait, reason = "an iterator would not tell why it ends")]
    pub fn next(&mut self) -> Result<Picked, NoPeer> {
        self.free(0, ptr::null_mut());
        let peer = self.asking.peer();
        // SAFETY: the peer's struct is in our pool; its functions and data were set by the block's balancer, and what it
        // points to afterwards is valid until `free`.
        unsafe {
            let Some(get) = (*peer).get else { return Err(NoPeer::Failed) };
            let status = get(peer, (*peer).data);
            if status == BUSY || status == AGAIN {
                return Err(NoPeer::Busy);
            }
            if (*peer).sockaddr.is_null() || (status != OK && status != DONE) {
                return Err(NoPeer::Failed);
            }
            self.picked = true;
            let name = if (*peer).name.is_null() { &[][..] } else { bytes((*peer).name) };
            let name = String::from_utf8_lossy(name).into_owned();
            let kept = (status == DONE).then_some((*peer).connection).filter(|c| !c.is_null());
            let kept = kept.map(|c| Connection::adopt(c, name.clone()));
            (*peer).connection = ptr::null_mut();
            let address = Address::from_raw((*peer).sockaddr, (*peer).socklen).ok_or(NoPeer::Failed)?;
            Ok(Picked { address, name, kept })
        }
    }

    /// The peer could not be reached, or broke: it counts for `max_fails`. True when another may be tried.
    pub fn failed(&mut self) -> bool {
        let peer = self.asking.peer();
        // SAFETY: the peer's struct is in our pool. A kept connection may have been closed at any time, and costs no
        // try (ngx_http_upstream_next).
        unsafe {
            if self.picked && sys::ngx_peer_connection_s::cached_raw(peer) != 0 {
                (*peer).tries += 1;
            }
        }
        self.free(sys::NGX_PEER_FAILED as usize, ptr::null_mut());
        // SAFETY: as above.
        unsafe { (*peer).tries > 0 }
    }

    /// The peer has served. A connection that can serve once more (nothing is left to read, and whoever takes it from the
    /// block may speak HTTP/1.1 on it) is kept, if the block does that, or given back.
    pub fn done(&mut self, connection: Option<Connection>) -> Option<Connection> {
        if !self.picked {
            return connection;
        }
        let Some(connection) = connection else {
            self.free(0, ptr::null_mut());
            return None;
        };
        connection.set_busy();
        connection.hand_over(|raw| {
            // SAFETY: the connection is ours, and has a pool as those of nginx's upstreams.
            unsafe { (*raw).requests += 1 };
            self.asking.may_keep();
            self.free(0, raw).is_null()
        })
    }

    /// Tells the balancer about the peer that was chosen, if there is one, and which connection to it is open. What is
    /// returned is the connection that the balancer has not taken.
    fn free(&mut self, state: usize, connection: *mut sys::ngx_connection_t) -> *mut sys::ngx_connection_t {
        if !std::mem::take(&mut self.picked) {
            return connection;
        }
        let peer = self.asking.peer();
        // SAFETY: as in next(); each peer is freed once.
        unsafe {
            (*peer).connection = connection;
            if let Some(free) = (*peer).free {
                free(peer, (*peer).data, state);
            }
            (*peer).sockaddr = ptr::null_mut();
            std::mem::replace(&mut (*peer).connection, ptr::null_mut())
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.free(0, ptr::null_mut());
    }
}

const OK: sys::ngx_int_t = sys::NGX_OK as sys::ngx_int_t;
const AGAIN: sys::ngx_int_t = sys::NGX_AGAIN as sys::ngx_int_t;
const BUSY: sys::ngx_int_t = sys::NGX_BUSY as sys::ngx_int_t;
const DONE: sys::ngx_int_t = sys::NGX_DONE as sys::ngx_int_t;
