//! Connections that wait for another call: those of HTTP/1.1, each for one call at a time, and those of HTTP/2, which many
//! share. Bounded for each peer, closed when they have been idle for long, or when the peer closes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use hyper::client::conn::http2::SendRequest;
use ngx::Timer;
use ngx::net::Address;

use super::body::Outgoing;
use super::executor;
use super::wire::Wire;

/// What two calls must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Route {
    pub address: Address,
    /// The name that the peer's certificate was asked for; `None` without TLS.
    pub tls: Option<Box<str>>,
}

struct Idle {
    wire: Wire,
    until: Instant,
}

/// A connection of HTTP/2.
pub(super) struct Shared {
    route: Route,
    sender: SendRequest<Outgoing>,
    calls: Cell<usize>,
    /// How long it may be without calls.
    patience: Duration,
    idle_since: Cell<Instant>,
}

impl Shared {
    fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

/// The use of a shared connection by one call.
pub(super) struct Using(Rc<Shared>);

impl Using {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.calls.set(shared.calls.get() + 1);
        Self(shared.clone())
    }

    pub(super) fn sender(&self) -> SendRequest<Outgoing> {
        self.0.sender.clone()
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.calls.set(self.0.calls.get().saturating_sub(1));
        self.0.idle_since.set(Instant::now());
    }
}

/// The turn to connect. When it ends, well or not, all who waited look again.
pub(super) struct Dialing {
    pool: Rc<Pool>,
    route: Route,
}

impl Drop for Dialing {
    fn drop(&mut self) {
        let waiters = self.pool.dialing.borrow_mut().remove(&self.route);
        waiters.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The connections of a worker.
pub(super) struct Pool {
    idle: RefCell<HashMap<Route, Vec<Idle>>>,
    shared: RefCell<Vec<Rc<Shared>>>,
    /// Connections of HTTP/2 that are being made, and who waits for them.
    dialing: RefCell<HashMap<Route, Vec<Waker>>>,
    /// Looks for those that were idle for too long.
    timer: Timer,
    /// Looks for those that peers have closed.
    watch: RefCell<Option<Waker>>,
}

impl Pool {
    pub(super) fn new() -> Rc<Self> {
        let pool = Rc::new_cyclic(|this: &std::rc::Weak<Self>| {
            let this = this.clone();
            let timer = Timer::new(move || {
                if let Some(pool) = this.upgrade() {
                    pool.expire();
                }
            });
            let (idle, shared) = (RefCell::default(), RefCell::default());
            Self { idle, shared, dialing: RefCell::default(), timer, watch: RefCell::default() }
        });
        let watched = Rc::downgrade(&pool);
        executor::spawn_detached(std::future::poll_fn(move |cx| match watched.upgrade() {
            None => Poll::Ready(()),
            Some(pool) => {
                pool.watch.borrow_mut().get_or_insert_with(|| cx.waker().clone());
                pool.drop_closed();
                Poll::Pending
            }
        }));
        pool
    }

    /// A connection that is fit for another call.
    pub(super) fn take(&self, route: &Route) -> Option<Wire> {
        let mut idle = self.idle.borrow_mut();
        let wires = idle.get_mut(route)?;
        // The one that was used last is the least likely to be closed.
        while let Some(Idle { wire, .. }) = wires.pop() {
            if wire.connection().is_good() {
                wire.connection().set_busy();
                return Some(wire);
            }
        }
        None
    }

    /// Keeps a connection for another call, at most `most` of its route, for `patience`.
    pub(super) fn put(&self, route: Route, wire: Wire, most: usize, patience: Duration) {
        let watch = self.watch.borrow().clone();
        let Some(watch) = watch.filter(|_| most > 0 && !patience.is_zero() && !ngx::process::is_exiting()) else {
            return;
        };
        wire.connection().set_idle(&watch);
        let oldest = {
            let mut idle = self.idle.borrow_mut();
            let wires = idle.entry(route).or_default();
            wires.push(Idle { wire, until: Instant::now() + patience });
            (wires.len() > most).then(|| wires.remove(0))
        };
        drop(oldest);
        self.wait(patience);
    }

    /// A shared connection that takes another call.
    pub(super) fn share(&self, route: &Route) -> Option<Using> {
        let mut all = self.shared.borrow_mut();
        all.retain(|shared| shared.is_open());
        all.iter().find(|shared| shared.route == *route).map(Using::new)
    }

    /// A shared connection, or the turn to make one: nobody else makes one to the same peer meanwhile.
    pub(super) async fn share_or_dial(self: &Rc<Self>, route: &Route) -> Result<Using, Dialing> {
        std::future::poll_fn(|cx| {
            if let Some(using) = self.share(route) {
                return Poll::Ready(Ok(using));
            }
            if let Some(waiters) = self.dialing.borrow_mut().get_mut(route) {
                waiters.push(cx.waker().clone());
                return Poll::Pending;
            }
            self.dialing.borrow_mut().insert(route.clone(), Vec::new());
            Poll::Ready(Err(Dialing { pool: self.clone(), route: route.clone() }))
        })
        .await
    }

    /// Lets others use a connection, as long as it is not idle for longer than `patience`.
    pub(super) fn offer(&self, route: Route, sender: SendRequest<Outgoing>, patience: Duration) -> Using {
        let (calls, idle_since) = (Cell::new(0), Cell::new(Instant::now()));
        let shared = Rc::new(Shared { route, sender, calls, patience, idle_since });
        let using = Using::new(&shared);
        self.shared.borrow_mut().push(shared);
        self.wait(patience);
        using
    }

    fn wait(&self, patience: Duration) {
        if !self.timer.is_running() {
            self.timer.start(patience);
        }
    }

    fn expire(&self) {
        let now = Instant::now();
        let mut next: Option<Duration> = None;
        let mut soonest = |left: Duration| next = Some(next.map_or(left, |next| next.min(left)));
        self.idle.borrow_mut().retain(|_, wires| {
            wires.retain(|idle| idle.until > now);
            wires.iter().for_each(|idle| soonest(idle.until - now));
            !wires.is_empty()
        });
        self.shared.borrow_mut().retain(|shared| {
            let idle = now.saturating_duration_since(shared.idle_since.get());
            let left = if shared.calls.get() > 0 { shared.patience } else { shared.patience.saturating_sub(idle) };
            let stays = shared.is_open() && !left.is_zero();
            if stays {
                soonest(left);
            }
            stays
        });
        if let Some(next) = next {
            self.timer.start(next);
        }
    }

    fn drop_closed(&self) {
        self.idle.borrow_mut().retain(|_, wires| {
            wires.retain(|idle| idle.wire.connection().is_good());
            !wires.is_empty()
        });
    }
}
