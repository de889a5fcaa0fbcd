//! The response body on its way through the chain: what passes, what a filter holds, what waits to be read.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;

use ngx::http::{self, Chain, Lent, Output, Request};
use ngx::{Failed, Status};

use super::exchange::{Exchange, Flow, Side};
use crate::proxy_wasm::abi::Action;
use crate::proxy_wasm::vm::Callback;

/// How much of a body in a file is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Room for a part above this many bytes is given back after use.
const ROOM_KEPT: usize = 256 << 10;

/// What goes with the bytes of a part.
#[derive(Clone, Copy, Default)]
pub(super) struct Orders {
    pub flush: bool,
    /// The body ends with it, as far as filters are concerned: nothing but nginx's own end may come.
    pub ends: bool,
    /// It brings nginx's own end.
    pub last: bool,
}

impl Orders {
    pub(super) fn of(chain: Chain<'_>) -> Self {
        let last = chain.ends();
        Self { flush: chain.iter().any(|buf| buf.flush()), ends: last, last }
    }
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All filters have seen it.
    Passed,
    /// One of them holds it.
    Held,
}

/// A part that a filter holds.
struct Held {
    /// Its place in the chain.
    filter: usize,
    bytes: Vec<u8>,
    changed: bool,
    orders: Orders,
}

/// The state of a response's body.
#[derive(Default)]
pub(super) struct ResponseBody {
    /// The part that the chain is looking at, as nginx gave it.
    pub(super) lent: Lent,
    /// The same part, when it was read from a file, held or changed.
    bytes: RefCell<Vec<u8>>,
    owned: Cell<bool>,
    /// A filter made something else of it.
    changed: Cell<bool>,
    /// Whether a part is passing now.
    passing: Cell<bool>,
    held: RefCell<Vec<Held>>,
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
        if !self.passing.get() || !self.own() {
            return false;
        }
        super::splice(&mut self.bytes.borrow_mut(), start, len, data);
        self.changed.set(true);
        true
    }

    /// Makes the part ours, if it is not; false when it cannot be read.
    fn own(&self) -> bool {
        if self.owned.get() {
            return true;
        }
        let read = self.lent.read(|chain| chain.append_to(&mut self.bytes.borrow_mut()));
        self.owned.set(!matches!(read, Some(Err(_))));
        self.owned.get()
    }

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

    /// nginx's end came, and what a filter holds is before it.
    pub(super) fn end_came(&self) {
        self.end_came.set(true);
    }

    /// The length of the part that was read.
    pub(super) fn read_len(&self) -> u64 {
        self.bytes.borrow().len() as u64
    }

    /// Whether what the client gets is not what nginx gave.
    pub(super) fn is_owned(&self) -> bool {
        self.owned.get()
    }

    /// The length of the part if a filter has changed it.
    pub(super) fn changed_len(&self) -> Option<u64> {
        self.changed.get().then(|| self.bytes.borrow().len() as u64)
    }

    /// Makes room for the next part.
    pub(super) fn forget_part(&self) {
        if self.owned.replace(false) {
            let mut bytes = self.bytes.borrow_mut();
            bytes.clear();
            bytes.shrink_to(ROOM_KEPT);
        }
        self.changed.set(false);
    }

    /// Whether there is something that has not left us: nginx is to call again, and not to end the request.
    pub(super) fn keeps_something(&self) -> bool {
        self.has_input() || self.holds_anything()
    }

    pub(super) fn has_input(&self) -> bool {
        !self.input.borrow().queued().is_empty()
    }

    /// Puts a chain behind what waits.
    pub(super) fn add_input(&self, r: Request<'_>, chain: Chain<'_>) -> Result<(), Failed> {
        self.input.borrow_mut().hold_chain(r, chain)
    }

    /// Makes the next piece of what waits the part.
    pub(super) fn take_piece(&self, r: Request<'_>) -> io::Result<Orders> {
        self.owned.set(true);
        let piece = self.input.borrow_mut().take_piece(r, PIECE, &mut self.bytes.borrow_mut())?;
        let len = self.bytes.borrow().len() as u64;
        Ok(self.count(Orders { flush: piece.flush, ends: piece.ends, last: piece.ends }, len))
    }

    /// Passes on all that waits, unseen.
    pub(super) fn send_input(&self, r: Request<'_>) -> Status {
        self.input.borrow_mut().send(r, http::next_body_filter)
    }

    /// Drops all that there is and will be of this body.
    pub(super) fn drop_all(&self, r: Request<'_>) {
        self.dropped.set(true);
        self.held.borrow_mut().clear();
        self.input.borrow_mut().discard(r);
    }

    /// Sends the part as the filters have made it.
    pub(super) fn send(&self, r: Request<'_>, orders: Orders) -> Status {
        let mut output = self.output.borrow_mut();
        let mut queued = output.push_bytes(r, &self.bytes.borrow());
        if orders.last || (orders.ends && self.end_came.get()) {
            queued = queued.and_then(|()| output.push_end(r));
        } else if orders.flush {
            queued = queued.and_then(|()| output.push_flush(r));
        }
        if queued.is_err() { Status::ERROR } else { output.send(r, http::next_body_filter) }
    }

    /// Takes up what the filter at `index` holds; the part comes behind it.
    fn take_up(&self, index: usize, orders: &mut Orders) -> bool {
        let held = {
            let mut all = self.held.borrow_mut();
            match all.iter().position(|held| held.filter == index) {
                Some(at) => all.swap_remove(at),
                None => return true,
            }
        };
        if !self.own() {
            return false;
        }
        let mut bytes = self.bytes.borrow_mut();
        let behind = std::mem::replace(&mut *bytes, held.bytes);
        bytes.extend_from_slice(&behind);
        self.changed.set(self.changed.get() || held.changed);
        orders.ends |= held.orders.ends;
        orders.last |= held.orders.last;
        orders.flush |= held.orders.flush;
        true
    }

    /// Lets the filter at `index` hold the part; false when it is more than `limit` bytes or cannot be kept.
    fn hold(&self, index: usize, orders: Orders, limit: usize) -> bool {
        if !self.own() || self.bytes.borrow().len() > limit {
            return false;
        }
        let bytes = self.bytes.take();
        self.held.borrow_mut().push(Held { filter: index, bytes, changed: self.changed.get(), orders });
        true
    }

    /// Whether the filter at `index` holds a part.
    pub(super) fn holds(&self, index: usize) -> bool {
        self.held.borrow().iter().any(|held| held.filter == index)
    }

    pub(super) fn holds_anything(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    /// The first filter that holds something and may let it go, by `asked`.
    fn released(&self, asked: impl Fn(usize) -> bool) -> Option<usize> {
        // The last of the chain first: what it holds came before what the others hold.
        let mut filters: Vec<usize> = self.held.borrow().iter().map(|held| held.filter).collect();
        filters.sort_unstable_by(|a, b| b.cmp(a));
        filters.into_iter().find(|filter| asked(*filter))
    }
}

impl Exchange {
    /// Shows the part to some of the filters, in order.
    ///
    /// # Errors
    /// What a filter asked for instead.
    pub(super) fn show(&self, r: Request<'_>, filters: Range<usize>, orders: &mut Orders) -> Result<Fate, Flow> {
        if let Some(flow) = self.pending() {
            return Err(flow);
        }
        let body = &self.body;
        for index in filters {
            if !body.take_up(index, orders) {
                return Err(Flow::Close);
            }
            body.passing.set(true);
            let size = u32::try_from(body.len().unwrap_or(0)).unwrap_or(u32::MAX);
            let callback = Callback::ResponseBody { size, end_of_stream: orders.ends };
            let answer = self.ask(index, r, Side::Response, callback);
            body.passing.set(false);
            if answer? == Action::Pause && body.hold(index, *orders, self.body_buffers) {
                self.wait_for_response(r);
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
        let (body, mut orders) = (&self.body, Orders::default());
        let held = body.holds(index);
        if held {
            body.owned.set(true);
            body.passing.set(body.take_up(index, &mut orders));
        }
        let answer = self.ask(index, r, Side::Response, Callback::ResponseTrailers { count });
        if held {
            body.passing.set(false);
            body.hold(index, orders, usize::MAX);
            body.forget_part();
        }
        answer
    }

    /// Takes up what a filter has let go as the part; the filter that is to see it next.
    pub(super) fn next_released(&self, orders: &mut Orders) -> Option<usize> {
        let filter = self.body.released(|index| self.take_resumed(Side::Response, index))?;
        self.body.owned.set(true);
        self.body.take_up(filter, orders).then_some(filter + 1)
    }
}
