//! The output filters: where a chain sees the response, first of all filters, before gzip and range.
//!
//! When filters want the body of a response whose length is known, the header is held until the first part of the body
//! comes, which is in the same turn of the event loop. Is that the whole, its length stays known, whatever the filters
//! make of it, and they may answer something else still.

use std::cell::{Cell, RefCell};
use std::io;

use ngx::http::{self, Chain, Lent, Output, Request};
use ngx::{Status, error};

use super::exchange::{Exchange, Flow};
use super::{phases, reply};
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::vm::{Callback, Callbacks};

/// How much of a body in a file is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Room for a piece above this many bytes is given back after use.
const ROOM_KEPT: usize = 256 << 10;

/// The response body on its way through the chain.
#[derive(Default)]
pub(super) struct ResponseBody {
    /// The part that the chain is looking at, as nginx gave it.
    lent: Lent,
    /// The same part, when it was read from a file or changed.
    bytes: RefCell<Vec<u8>>,
    owned: Cell<bool>,
    /// A filter made something else of it.
    changed: Cell<bool>,
    /// Whether a body is passing now.
    passing: Cell<bool>,
    /// Not yet seen by the chain: what is read from files piece by piece, no faster than it can be sent.
    input: RefCell<Output>,
    /// What the chain made of it, on its way to the client.
    output: RefCell<Output>,
    /// The header waits for the first part of the body.
    header_held: Cell<bool>,
    /// Another response was sent in this one's place: the rest of this one is dropped.
    dropped: Cell<bool>,
}

impl ResponseBody {
    /// The length of the part in bytes; `None` when no body is passing.
    pub(super) fn len(&self) -> Option<usize> {
        if !self.passing.get() {
            return None;
        }
        if self.owned.get() {
            return Some(self.bytes.borrow().len());
        }
        usize::try_from(self.lent.read(|chain| chain.len())?).ok()
    }

    /// Copies `out.len()` bytes from `start`; false when they are not there.
    pub(super) fn read(&self, start: usize, out: &mut [u8]) -> bool {
        if !self.passing.get() {
            return false;
        }
        if !self.owned.get() {
            let Ok(start) = u64::try_from(start) else { return false };
            let read = self.lent.read(|chain| chain.read_at(start, out));
            return matches!(read, Some(Ok(count)) if count == out.len());
        }
        match self.bytes.borrow().get(start..).and_then(|rest| rest.get(..out.len())) {
            Some(part) => {
                out.copy_from_slice(part);
                true
            }
            None => false,
        }
    }

    /// Replaces some bytes of the part; false when no body is passing.
    pub(super) fn splice(&self, start: usize, len: usize, data: &[u8]) -> bool {
        if !self.passing.get() {
            return false;
        }
        let mut bytes = self.bytes.borrow_mut();
        if !self.owned.replace(true) && !matches!(self.lent.read(|chain| chain.append_to(&mut bytes)), Some(Ok(()))) {
            return false;
        }
        super::splice(&mut bytes, start, len, data);
        self.changed.set(true);
        true
    }

    /// Makes room for the next part.
    fn forget_part(&self) {
        if self.owned.replace(false) {
            let mut bytes = self.bytes.borrow_mut();
            bytes.clear();
            bytes.shrink_to(ROOM_KEPT);
        }
        self.changed.set(false);
    }

    fn has_input(&self) -> bool {
        !self.input.borrow().queued().is_empty()
    }
}

/// What goes with the bytes of a part.
#[derive(Clone, Copy)]
struct Orders {
    flush: bool,
    ends: bool,
}

/// What nginx calls with a response's header, before every other filter.
pub fn header_filter(r: Request<'_>) -> Status {
    let Some(exchange) = phases::exchange_or_open(r) else { return http::next_header_filter(r) };
    if exchange.response_seen.replace(true) {
        // An error page, in the place of a response whose header was held.
        exchange.body.header_held.set(false);
        return http::next_header_filter(r);
    }
    r.settle_response();
    let bodyless = has_no_body(r);
    let flow = exchange.run(r, Step::ResponseHeaders, || Callback::ResponseHeaders {
        count: u32::try_from(r.response_headers().count()).unwrap_or(u32::MAX).saturating_add(1),
        end_of_stream: bodyless,
    });
    match flow {
        Flow::Next | Flow::Wait if bodyless || !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) => {
            http::next_header_filter(r)
        }
        Flow::Next | Flow::Wait if r.is_main() && r.response_headers().has_known_length() => {
            exchange.body.header_held.set(true);
            Status::OK
        }
        Flow::Next | Flow::Wait => {
            r.response_headers().body_may_change();
            http::next_header_filter(r)
        }
        flow => answer_instead(&exchange, r, flow),
    }
}

/// Answers in the place of a response whose header has not left.
fn answer_instead(exchange: &Exchange, r: Request<'_>, flow: Flow) -> Status {
    match (flow, exchange.take_reply()) {
        (Flow::Reply, Some(response)) => {
            exchange.body.dropped.set(true);
            reply::replace(r, &response)
        }
        (Flow::Fail, _) => {
            exchange.failure_told();
            r.finalize_from_filter(500)
        }
        _ => Status::ERROR,
    }
}

/// Whether no body will follow the header.
fn has_no_body(r: Request<'_>) -> bool {
    r.header_only()
        || matches!(r.status(), 204 | 304)
        || r.method() == b"HEAD"
        || r.response_headers().get(b"content-length") == Some(b"0")
}

/// What nginx calls with each part of a response's body, before every other filter.
pub fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let Some(exchange) = phases::exchange(r) else { return http::next_body_filter(r, chain) };
    let body = &exchange.body;
    if body.dropped.get() {
        chain.consume();
        return Status::OK;
    }
    if exchange.failed() && !body.header_held.get() {
        return Status::ERROR;
    }
    if !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) {
        return http::next_body_filter(r, chain);
    }
    if body.has_input() || chain.iter().any(|buf| buf.is_file()) {
        return pass_pieces(&exchange, r, chain);
    }
    let orders = Orders { flush: chain.iter().any(|buf| buf.flush()), ends: chain.ends() };
    let status = if chain.len() == 0 && !orders.ends {
        // Nothing to show: an order to send what there is.
        release_header(&exchange, r, orders).map_or_else(|status| status, |()| http::next_body_filter(r, chain))
    } else {
        body.lent.with(chain, || pass(&exchange, r, chain, orders))
    };
    body.forget_part();
    status
}

/// Takes a part of the body that is in nginx's memory through the chain of filters, and on.
fn pass(exchange: &Exchange, r: Request<'_>, chain: Chain<'_>, orders: Orders) -> Status {
    if let Err(status) = look_at(exchange, r, orders).and_then(|()| release_header(exchange, r, orders)) {
        chain.consume();
        return status;
    }
    if !exchange.body.changed.get() {
        return http::next_body_filter(r, chain);
    }
    chain.consume();
    send(exchange, r, orders)
}

/// The same for a body that is, or was, in a file: piece by piece, until the client cannot take more for now.
fn pass_pieces(exchange: &Exchange, r: Request<'_>, chain: Chain<'_>) -> Status {
    let body = &exchange.body;
    if body.input.borrow_mut().push_chain(r, chain).is_err() {
        return Status::ERROR;
    }
    loop {
        let taken = take_piece(exchange, r);
        let rest = body.has_input();
        r.set_filter_buffered(rest);
        let status = match taken {
            Ok(orders) => look_at(exchange, r, orders)
                .and_then(|()| release_header(exchange, r, orders))
                .map_or_else(|status| status, |()| send(exchange, r, orders)),
            Err(error) => {
                error!(r.log(), "[proxy-wasm] cannot read the response body: {error}");
                Status::ERROR
            }
        };
        body.forget_part();
        if status != Status::OK || !rest || body.dropped.get() {
            return status;
        }
    }
}

fn take_piece(exchange: &Exchange, r: Request<'_>) -> io::Result<Orders> {
    let body = &exchange.body;
    body.owned.set(true);
    let piece = body.input.borrow_mut().take_piece(r, PIECE, &mut body.bytes.borrow_mut())?;
    Ok(Orders { flush: piece.flush, ends: piece.ends })
}

/// Shows the part to the filters.
///
/// # Errors
/// What the body filter returns when it must not go on.
fn look_at(exchange: &Exchange, r: Request<'_>, orders: Orders) -> Result<(), Status> {
    let body = &exchange.body;
    body.passing.set(true);
    let flow = exchange.run(r, Step::ResponseBody, || Callback::ResponseBody {
        size: u32::try_from(body.len().unwrap_or(0)).unwrap_or(u32::MAX),
        end_of_stream: orders.ends,
    });
    body.passing.set(false);
    match flow {
        Flow::Next | Flow::Wait => Ok(()),
        flow if body.header_held.replace(false) => Err(answer_instead(exchange, r, flow)),
        Flow::Reply => {
            error!(
                r.log(),
                "[proxy-wasm] a local response came after the response header was sent: closing the stream"
            );
            Err(Status::ERROR)
        }
        Flow::Close | Flow::Fail => Err(Status::ERROR),
    }
}

/// Sends the header if it was held, now that the first part of the body has been seen.
///
/// # Errors
/// What the body filter returns when no body is to follow.
fn release_header(exchange: &Exchange, r: Request<'_>, orders: Orders) -> Result<(), Status> {
    let body = &exchange.body;
    if !body.header_held.replace(false) {
        return Ok(());
    }
    let headers = r.response_headers();
    if !orders.ends {
        headers.body_may_change();
    } else if body.changed.get() {
        headers.body_was_changed(body.bytes.borrow().len() as u64);
    }
    let status = http::next_header_filter(r);
    if status == Status::ERROR || status.0 > 0 || r.header_only() {
        body.dropped.set(true);
        return Err(status);
    }
    Ok(())
}

/// Sends what the filters made of the part.
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
