//! The request body on its way through the chain: whole, before the content phase, or part by part, where the location
//! passes it on as it comes (`proxy_request_buffering off` and its like, `grpc_pass`).
//!
//! Part by part, the body goes through nginx's filters of request bodies, where we are the first. What a filter holds or
//! changes is copied; what nobody touches goes on as nginx gave it. An upstream that is asked before the end is told no
//! length, since filters may change it; one that must know the length is asked when the body is whole.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ngx::http::{self, AskUpstream, BodyError, Chain, CreateRequest, Output, Request};
use ngx::{Status, debug, error};

use super::exchange::{Exchange, Flow, Side, Stage};
use super::part::{Fate, Orders, Part};
use super::phases;
use crate::modules::Http;
use crate::proxy_wasm::abi;

/// The state of a request's body.
#[derive(Default)]
pub(super) struct RequestBody {
    /// What passes; of a whole body, what filters have made of it.
    pub(super) part: Part,
    /// It comes part by part.
    streams: Cell<bool>,
    begun: Cell<bool>,
    /// The filters were shown, or are being shown, the end.
    complete: Cell<bool>,
    /// The end has gone on.
    ended: Cell<bool>,
    /// The request ends otherwise: nothing goes on any more.
    over: Cell<bool>,
    /// A filter held it for too long.
    late: Cell<bool>,
    /// How many bytes went on, and whether they are others than the client's.
    passed: Cell<u64>,
    changed: Cell<bool>,
    /// Makes the upstream's request, if that may have a body of unknown length, until it was made.
    create: Cell<Option<CreateRequest>>,
    asked: Cell<bool>,
    /// What nginx gave of a part that goes on changed, given back when that was sent: so nginx reads no faster.
    given: RefCell<Output>,
    output: RefCell<Output>,
}

impl RequestBody {
    /// From here on it comes part by part.
    pub(super) fn begin_stream(&self) {
        self.streams.set(true);
    }

    pub(super) fn streams(&self) -> bool {
        self.streams.get()
    }

    /// It was held for too long: its filter ends the request.
    pub(super) fn give_up(&self) {
        self.late.set(true);
    }

    fn begin(&self, r: Request<'_>) {
        if !self.begun.replace(true) {
            let handlers = &r.main_conf::<Http>().body_handlers;
            self.create.set(r.pass_unknown_length::<Ask>(handlers));
        }
    }

    fn is_shown(&self, orders: Orders, len: u64) -> bool {
        if self.complete.get() {
            return false;
        }
        self.complete.set(orders.ends);
        len > 0 || orders.ends
    }

    /// Takes note of a part that goes on, and of its length as long as that can still be told.
    fn count(&self, r: Request<'_>, len: u64, orders: Orders) -> Result<(), BodyError> {
        self.passed.set(self.passed.get() + len);
        self.changed.set(self.changed.get() || self.part.is_changed());
        self.ended.set(orders.ends);
        if orders.ends && self.changed.get() && !self.asked.get() { r.declare_body(self.passed.get()) } else { Ok(()) }
    }

    /// Keeps or consumes what nginx gave, of which a copy goes on.
    fn keep(&self, r: Request<'_>, chain: Chain<'_>) {
        if !r.request_body_no_buffering() || self.given.borrow_mut().hold_chain(r, chain).is_err() {
            chain.consume();
        }
    }

    /// Gives back what was kept, if the copies were sent.
    fn give_back(&self, r: Request<'_>) {
        if !self.given.borrow().queued().is_empty() && !self.output.borrow_mut().is_busy(r) {
            self.given.borrow_mut().discard(r);
        }
    }

    /// Passes the part on as the filters have made it.
    fn send(&self, r: Request<'_>, orders: Orders) -> Status {
        let mut output = self.output.borrow_mut();
        let mut queued = self.part.with_bytes(|bytes| output.push_bytes(r, bytes));
        if r.request_body_no_buffering() {
            // As nginx marks the parts that it passes on: TLS to an upstream would keep small ones back.
            output.flush_last();
        }
        if orders.ends {
            queued = queued.and_then(|()| output.push_end(r));
        }
        if queued.is_err() { Status::http(500) } else { output.send(r, http::next_request_body_filter) }
    }

    fn end(&self) {
        self.over.set(true);
        self.part.drop_held();
    }
}

/// Tells when the upstream is asked.
struct Ask;

impl AskUpstream for Ask {
    fn about_to_ask(r: Request<'_>) -> Option<CreateRequest> {
        let exchange = phases::exchange(r)?;
        exchange.request_body.asked.set(true);
        exchange.request_body.create.take()
    }
}

/// What nginx calls with each part of a request's body, before every other filter.
pub fn request_body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    match phases::exchange(r) {
        Some(exchange) if exchange.request_body.streams() => take(&exchange, r, chain),
        _ => http::next_request_body_filter(r, chain),
    }
}

fn take(exchange: &Rc<Exchange>, r: Request<'_>, chain: Chain<'_>) -> Status {
    let body = &exchange.request_body;
    if body.over.get() {
        chain.consume();
        return Status::OK;
    }
    body.begin(r);
    body.give_back(r);
    if let Some(flow) = exchange.pending() {
        chain.consume();
        return refuse(exchange, r, flow);
    }
    if body.late.get() {
        chain.consume();
        body.end();
        r.leave_body();
        return Status::http(504);
    }
    let status = release(exchange, r);
    if status != Status::OK || body.over.get() {
        chain.consume();
        return status;
    }
    let len = chain.len();
    let orders = Orders::of(chain);
    let status = if body.is_shown(orders, len) {
        let status = body.part.lent.with(chain, || pass(exchange, r, 0, orders, Some(chain)));
        body.part.forget();
        status
    } else if body.ended.get() {
        Status::OK
    } else {
        http::next_request_body_filter(r, chain)
    };
    if body.part.holds_anything() {
        exchange.wait(r, Side::Request);
    }
    status
}

/// Lets go what filters have let go.
fn release(exchange: &Exchange, r: Request<'_>) -> Status {
    let mut orders = Orders::default();
    while let Some(next) = exchange.next_released(Side::Request, &mut orders) {
        let status = pass(exchange, r, next, orders, None);
        exchange.request_body.part.forget();
        if status != Status::OK {
            return status;
        }
        orders = Orders::default();
    }
    Status::OK
}

/// Takes a part through the filters from the one at `first` on, and further. `chain` is nginx's own, if it is that.
fn pass(exchange: &Exchange, r: Request<'_>, first: usize, orders: Orders, chain: Option<Chain<'_>>) -> Status {
    let (body, mut orders) = (&exchange.request_body, orders);
    let shown = exchange.show(r, Side::Request, first..exchange.len(), &mut orders);
    if shown != Ok(Fate::Passed)
        && let Some(chain) = chain
    {
        chain.consume();
    }
    match shown {
        Ok(Fate::Held) => return Status::OK,
        Ok(Fate::Passed) => exchange.request_passes(),
        Err(flow) => return refuse(exchange, r, flow),
    }
    let owned = body.part.owned_len();
    let len = owned.map_or_else(|| chain.map_or(0, Chain::len), |len| len as u64);
    if body.count(r, len, orders).is_err() {
        return Status::http(500);
    }
    match chain {
        Some(chain) if owned.is_none() => http::next_request_body_filter(r, chain),
        chain => {
            if let Some(chain) = chain {
                body.keep(r, chain);
            }
            let status = body.send(r, orders);
            // Of a part that was emptied, nothing waits to be sent: nginx reads on.
            body.give_back(r);
            status
        }
    }
}

/// Ends the request as a filter wants it: what the request body filter returns.
fn refuse(exchange: &Exchange, r: Request<'_>, flow: Flow) -> Status {
    let body = &exchange.request_body;
    body.end();
    exchange.request_passes();
    match flow {
        Flow::Reply if !r.header_sent() => r.end_from_body_filter(body.complete.get()),
        Flow::Reply => {
            error!(
                r.log(),
                "[proxy-wasm] a local response came after the response header was sent: closing the stream"
            );
            exchange.take_reply();
            Status::http(http::CLOSE)
        }
        Flow::Close => Status::http(http::CLOSE),
        Flow::Next | Flow::Wait | Flow::Fail => {
            exchange.failure_told();
            r.leave_body();
            Status::http(500)
        }
    }
}

/// The buffer that filters see.
impl Exchange {
    /// Its length; `None` when there is no body now.
    pub(super) fn request_body_len(&self, r: Request<'_>) -> Option<usize> {
        let part = &self.request_body.part;
        if self.request_body.streams() {
            return part.len();
        }
        if !self.body_read.get() {
            return None;
        }
        part.owned_len().or_else(|| usize::try_from(r.body_len()).ok())
    }

    /// Copies `out.len()` bytes from `start`; false when they are not there.
    pub(super) fn read_request_body(&self, r: Request<'_>, start: usize, out: &mut [u8]) -> bool {
        let part = &self.request_body.part;
        if self.request_body.streams() {
            return part.read(start, out);
        }
        if part.is_owned() {
            return part.read_owned(start, out);
        }
        let wanted = out.len();
        u64::try_from(start).is_ok_and(|start| r.read_body_at(start, out).is_ok_and(|read| read == wanted))
    }

    /// Replaces some bytes. A body that has gone on cannot be changed.
    pub(super) fn splice_request_body(
        &self,
        r: Request<'_>,
        start: usize,
        len: usize,
        data: &[u8],
    ) -> Result<(), abi::Status> {
        let part = &self.request_body.part;
        if self.request_body.streams() {
            return if part.splice(start, len, data) { Ok(()) } else { Err(abi::Status::NotFound) };
        }
        if !self.body_read.get() || self.stage.get() == Stage::Passed {
            debug!(r.log(), "[proxy-wasm] the request body cannot be changed in this phase");
            return Err(abi::Status::BadArgument);
        }
        if !r.may_replace_body() {
            return Err(abi::Status::BadArgument);
        }
        if !part.own_copy_of(r.body()) {
            return Err(abi::Status::InternalFailure);
        }
        part.splice_owned(start, len, data);
        // Content-Length is what filters see of it; the bytes follow when the last of them has seen the body.
        r.declare_body(part.owned_len().unwrap_or(0) as u64).map_err(|_| abi::Status::InternalFailure)
    }

    /// Gives nginx the whole body as the chain has left it; false when it cannot be had.
    pub(super) fn install_request_body(&self, r: Request<'_>) -> bool {
        match self.request_body.part.take_changed().map(|body| r.replace_body(body)) {
            None | Some(Ok(())) => true,
            Some(Err(_)) => {
                error!(r.log(), "[proxy-wasm] cannot replace the request body");
                false
            }
        }
    }
}
