//! The response body on its way through the chain: what waits to be read, and what waits to be sent.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

use ngx::http::{self, Chain, Output, Request};
use ngx::{Failed, Status};

use super::exchange::{Exchange, Flow, Side};
use super::part::{Fate, Orders, Part};
use crate::proxy_wasm::abi::Action;
use crate::proxy_wasm::vm::Callback;

/// How much of a body in a file is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// The state of a response's body.
#[derive(Default)]
pub(super) struct ResponseBody {
    pub(super) part: Part,
    /// Not yet seen by the chain: what waits for the header, and what is read from files no faster than it can be sent.
    input: RefCell<Output>,
    /// What the chain made of it, on its way to the client.
    output: RefCell<Output>,
    /// How many bytes are to come, when nginx knows.
    to_come: Cell<Option<u64>>,
    /// The filters were shown, or are being shown, the end.
    complete: Cell<bool>,
    /// nginx's own end came while a filter held what is before it.
    end_came: Cell<bool>,
    /// Another response was sent in this one's place: the rest of this one is dropped.
    pub(super) dropped: Cell<bool>,
}

impl ResponseBody {
    /// Takes note of how long the body will be.
    pub(super) fn expect(&self, len: Option<u64>) {
        self.to_come.set(len);
    }

    /// Counts a part of `len` bytes: a body that is as long as was said has ended, before nginx says so.
    pub(super) fn count(&self, mut orders: Orders, len: u64) -> Orders {
        let to_come = self.to_come.get().map(|to_come| to_come.saturating_sub(len));
        self.to_come.set(to_come);
        orders.ends |= to_come == Some(0);
        orders
    }

    /// Whether filters are to be shown a part of `len` bytes: not what only brings an order, nor the end twice.
    pub(super) fn is_shown(&self, orders: Orders, len: u64) -> bool {
        if self.complete.get() {
            return false;
        }
        self.complete.set(orders.ends);
        len > 0 || orders.ends
    }

    /// Takes note of whether the header was the end: filters are shown nothing more.
    pub(super) fn complete(&self, with_header: bool) {
        self.complete.set(with_header);
    }

    /// nginx's end came, and what a filter holds is before it.
    pub(super) fn end_came(&self) {
        self.end_came.set(true);
    }

    /// The length of the part that was read.
    pub(super) fn read_len(&self) -> u64 {
        self.part.with_bytes(|bytes| bytes.len() as u64)
    }

    /// Whether there is something that has not left us: nginx is to call again, and not to end the request.
    pub(super) fn keeps_something(&self) -> bool {
        self.has_input() || self.part.holds_anything()
    }

    pub(super) fn has_input(&self) -> bool {
        !self.input.borrow().queued().is_empty()
    }

    /// Whether something that we sent waits for the client to take it.
    pub(super) fn is_busy(&self, r: Request<'_>) -> bool {
        r.output_waits() && self.output.borrow_mut().is_busy(r)
    }

    /// Puts a chain behind what waits.
    pub(super) fn add_input(&self, r: Request<'_>, chain: Chain<'_>) -> Result<(), Failed> {
        self.input.borrow_mut().hold_chain(r, chain)
    }

    /// Makes the next piece of what waits the part.
    pub(super) fn take_piece(&self, r: Request<'_>) -> io::Result<Orders> {
        let piece = self.part.fill(|bytes| self.input.borrow_mut().take_piece(r, PIECE, bytes))?;
        let orders = Orders { flush: piece.flush, ends: piece.ends, last: piece.ends };
        Ok(self.count(orders, self.read_len()))
    }

    /// Passes on all that waits, unseen.
    pub(super) fn send_input(&self, r: Request<'_>) -> Status {
        self.input.borrow_mut().send(r, http::next_body_filter)
    }

    /// Drops all that there is and will be of this body.
    pub(super) fn drop_all(&self, r: Request<'_>) {
        self.dropped.set(true);
        self.part.drop_held();
        self.input.borrow_mut().discard(r);
    }

    /// Sends what is to stand before the body, of which nothing was sent yet.
    pub(super) fn send_before(&self, r: Request<'_>, bytes: &[u8]) -> Status {
        let mut output = self.output.borrow_mut();
        match output.push_bytes(r, bytes) {
            Ok(()) => output.send(r, http::next_body_filter),
            Err(Failed) => Status::ERROR,
        }
    }

    /// Sends the part as the filters have made it.
    pub(super) fn send(&self, r: Request<'_>, orders: Orders) -> Status {
        let mut output = self.output.borrow_mut();
        let mut queued = self.part.with_bytes(|bytes| output.push_bytes(r, bytes));
        if orders.last || (orders.ends && self.end_came.get()) {
            queued = queued.and_then(|()| output.push_end(r));
        } else if orders.flush {
            queued = queued.and_then(|()| output.push_flush(r));
        }
        if queued.is_err() { Status::ERROR } else { output.send(r, http::next_body_filter) }
    }
}

impl Exchange {
    /// The part of a body that is passing on this side.
    pub(super) fn part(&self, side: Side) -> &Part {
        match side {
            Side::Request => &self.request_body.part,
            Side::Response => &self.body.part,
        }
    }

    /// Shows the part of this side to some of the filters, in order.
    ///
    /// # Errors
    /// What a filter asked for instead.
    pub(super) fn show(
        &self,
        r: Request<'_>,
        side: Side,
        filters: Range<usize>,
        orders: &mut Orders,
    ) -> Result<Fate, Flow> {
        if let Some(flow) = self.pending() {
            return Err(flow);
        }
        let part = self.part(side);
        for index in filters {
            if !part.take_up(index, orders) {
                return Err(Flow::Close);
            }
            part.passing.set(true);
            let size = u32::try_from(part.len().unwrap_or(0)).unwrap_or(u32::MAX);
            let end_of_stream = orders.ends;
            let (callback, limit) = match side {
                Side::Request => (Callback::RequestBody { size, end_of_stream }, usize::MAX),
                Side::Response => (Callback::ResponseBody { size, end_of_stream }, self.body_buffers),
            };
            let answer = self.ask(index, r, side, callback);
            part.passing.set(false);
            if answer? == Action::Pause && part.hold(index, *orders, limit) {
                self.wait_anew(r, side);
                return Ok(Fate::Held);
            }
        }
        Ok(Fate::Passed)
    }

    /// Shows the trailers to a filter, and what it holds of the body as its buffer. It goes on holding that.
    ///
    /// # Errors
    /// What the filter asked for instead.
    pub(super) fn show_trailers(&self, r: Request<'_>, index: usize, count: u32) -> Result<Action, Flow> {
        let (part, mut orders) = (&self.body.part, Orders::default());
        let held = part.holds(index);
        if held {
            part.fill(|_| ());
            part.passing.set(part.take_up(index, &mut orders));
        }
        let answer = self.ask(index, r, Side::Response, Callback::ResponseTrailers { count });
        if held {
            part.passing.set(false);
            part.hold(index, orders, usize::MAX);
            part.forget();
        }
        answer
    }

    /// Takes up what a filter of this side has let go as the part; the filter that is to see it next.
    pub(super) fn next_released(&self, side: Side, orders: &mut Orders) -> Option<usize> {
        self.part(side).take_released(orders, |index| self.take_resumed(side, index)).map(|filter| filter + 1)
    }
}
