//! The output filters: where a chain sees the response, first of all filters, before gzip and range.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use ngx::http::{self, Chain, Output, Request};
use ngx::{Status, error};

use super::exchange::{Exchange, Flow};
use super::{phases, reply};
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::vm::{Callback, Callbacks};

/// How much of a body in a file is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Room for a piece above this many bytes is given back after use.
const ROOM_KEPT: usize = 256 << 10;

/// The part of the response body that the chain is looking at.
#[derive(Default)]
pub(super) struct ResponseBody {
    bytes: RefCell<Vec<u8>>,
    /// A filter made something else of it.
    changed: Cell<bool>,
    /// Whether a body is passing now.
    passing: Cell<bool>,
    /// Not yet seen by the chain: what is read from files piece by piece, no faster than it can be sent.
    input: RefCell<Output>,
    /// What the chain made of it, on its way to the client.
    output: RefCell<Output>,
    /// Another response was sent in this one's place: the rest of this one is dropped.
    dropped: Cell<bool>,
}

impl ResponseBody {
    /// Its length in bytes; `None` when no body is passing.
    pub(super) fn len(&self) -> Option<usize> {
        self.passing.get().then(|| self.bytes.borrow().len())
    }

    /// Copies `out.len()` bytes from `start`; false when they are not there.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> bool {
        match self.bytes.borrow().get(start..).and_then(|rest| rest.get(..out.len())) {
            Some(part) if self.passing.get() => {
                out.copy_from_slice(part);
                true
            }
            _ => false,
        }
    }

    /// Replaces a part; false when no body is passing.
    pub(super) fn splice(&self, start: usize, len: usize, data: &[u8]) -> bool {
        if !self.passing.get() {
            return false;
        }
        super::splice(&mut self.bytes.borrow_mut(), start, len, data);
        self.changed.set(true);
        true
    }

    /// Drops the rest of the response that another has replaced.
    fn replaced(&self) {
        self.dropped.set(true);
    }
}

/// What nginx calls with a response's header, before every other filter.
pub fn header_filter(r: Request<'_>) -> Status {
    let Some(exchange) = phases::exchange_or_open(r) else { return http::next_header_filter(r) };
    if exchange.response_seen.replace(true) {
        return http::next_header_filter(r);
    }
    let bodyless = has_no_body(r);
    let flow = exchange.run(r, Step::ResponseHeaders, || Callback::ResponseHeaders {
        count: u32::try_from(r.response_headers().count()).unwrap_or(u32::MAX).saturating_add(1),
        end_of_stream: bodyless,
    });
    match flow {
        Flow::Reply => match exchange.take_reply() {
            Some(response) => {
                exchange.body.replaced();
                reply::replace(r, &response)
            }
            None => Status::ERROR,
        },
        Flow::Fail => {
            exchange.failure_told();
            r.finalize_from_filter(500)
        }
        Flow::Close => Status::ERROR,
        Flow::Next | Flow::Wait => {
            if exchange.callbacks.contains(Callbacks::RESPONSE_BODY) && !bodyless {
                r.response_headers().body_may_change();
            }
            http::next_header_filter(r)
        }
    }
}

/// Whether no body will follow the header.
fn has_no_body(r: Request<'_>) -> bool {
    r.header_only()
        || r.method() == b"HEAD"
        || matches!(r.status(), 204 | 304)
        || r.response_headers().get(b"content-length") == Some(b"0")
}

/// What nginx calls with each part of a response's body, before every other filter.
pub fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let Some(exchange) = phases::exchange(r) else { return http::next_body_filter(r, chain) };
    if exchange.body.dropped.get() {
        chain.consume();
        return Status::OK;
    }
    if exchange.failed() {
        return Status::ERROR;
    }
    if !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) {
        return http::next_body_filter(r, chain);
    }
    let queued = !exchange.body.input.borrow().queued().is_empty();
    if queued || chain.iter().any(|buf| buf.is_file()) {
        return pass_pieces(&exchange, r, chain);
    }
    pass(&exchange, r, chain)
}

/// Takes a part of the body that is in memory through the chain of filters, and on.
fn pass(exchange: &Rc<Exchange>, r: Request<'_>, chain: Chain<'_>) -> Status {
    let ends = chain.ends();
    if chain.len() == 0 && !ends {
        return http::next_body_filter(r, chain);
    }
    if chain.append_to(&mut exchange.body.bytes.borrow_mut()).is_err() {
        return Status::ERROR;
    }
    let status = match look_at(exchange, r, ends) {
        Ok(false) => http::next_body_filter(r, chain),
        Ok(true) => {
            let orders = Orders { flush: chain.iter().any(|buf| buf.flush()), ends };
            chain.consume();
            send(exchange, r, orders)
        }
        Err(status) => status,
    };
    forget_piece(exchange);
    status
}

/// What goes with bytes.
struct Orders {
    flush: bool,
    ends: bool,
}

/// The same for a body that is, or was, in a file: piece by piece, until the client cannot take more for now.
fn pass_pieces(exchange: &Rc<Exchange>, r: Request<'_>, chain: Chain<'_>) -> Status {
    let body = &exchange.body;
    if body.input.borrow_mut().push_chain(r, chain).is_err() {
        return Status::ERROR;
    }
    loop {
        let taken = take_piece(exchange, r);
        let rest = !body.input.borrow().queued().is_empty();
        r.set_filter_buffered(rest);
        let status = match taken.map(|orders| (look_at(exchange, r, orders.ends), orders)) {
            Ok((Ok(_), orders)) => send(exchange, r, orders),
            Ok((Err(status), _)) => status,
            Err(error) => {
                error!(r.log(), "[proxy-wasm] cannot read the response body: {error}");
                Status::ERROR
            }
        };
        forget_piece(exchange);
        if status != Status::OK || !rest {
            return status;
        }
    }
}

fn take_piece(exchange: &Exchange, r: Request<'_>) -> io::Result<Orders> {
    let piece = exchange.body.input.borrow_mut().take_piece(r, PIECE, &mut exchange.body.bytes.borrow_mut())?;
    Ok(Orders { flush: piece.flush, ends: piece.ends })
}

fn forget_piece(exchange: &Exchange) {
    let mut bytes = exchange.body.bytes.borrow_mut();
    bytes.clear();
    bytes.shrink_to(ROOM_KEPT);
    exchange.body.changed.set(false);
}

/// Shows the piece to the filters; whether they changed it.
fn look_at(exchange: &Rc<Exchange>, r: Request<'_>, end_of_stream: bool) -> Result<bool, Status> {
    let body = &exchange.body;
    body.passing.set(true);
    let flow = exchange.run(r, Step::ResponseBody, || Callback::ResponseBody {
        size: u32::try_from(body.bytes.borrow().len()).unwrap_or(u32::MAX),
        end_of_stream,
    });
    body.passing.set(false);
    match flow {
        Flow::Next | Flow::Wait => Ok(body.changed.get()),
        Flow::Reply => {
            error!(r.log(), "[proxy-wasm] a local response came after the response header was sent: closing the stream");
            Err(Status::ERROR)
        }
        Flow::Close | Flow::Fail => Err(Status::ERROR),
    }
}

/// Sends what the filters made of the piece.
fn send(exchange: &Exchange, r: Request<'_>, orders: Orders) -> Status {
    let mut output = exchange.body.output.borrow_mut();
    let mut queued = output.push_bytes(r, &exchange.body.bytes.borrow());
    if orders.ends {
        queued = queued.and_then(|()| output.push_end(r));
    } else if orders.flush {
        queued = queued.and_then(|()| output.push_flush(r));
    }
    if queued.is_err() { Status::ERROR } else { output.send(r, http::next_body_filter) }
}
