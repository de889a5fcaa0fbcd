//! The trailers of a response on their way through the chain: after the last part of the body, before its end.
//!
//! nginx knows them when it ends the response. That end is held back here until every filter has seen them.

use std::cell::Cell;

use ngx::Status;
use ngx::http::{Chain, Request};

use super::exchange::{Exchange, Side};
use super::output;
use super::part::Orders;
use crate::proxy_wasm::abi::Action;
use crate::proxy_wasm::vm::Callbacks;

/// How far the trailers have come.
#[derive(Debug, Default)]
pub(super) struct Trailers {
    /// nginx's end came, and is held until the chain has seen them.
    due: Cell<bool>,
    /// The filter that sees them next.
    next: Cell<usize>,
    /// The one before it has paused.
    paused: Cell<bool>,
    /// They have left.
    over: Cell<bool>,
}

impl Trailers {
    /// Whether there are trailers, perhaps none any more: the response has come to its end.
    pub(super) fn have_come(&self) -> bool {
        self.due.get() || self.over.get()
    }

    /// Whether they have left.
    pub(super) fn are_over(&self) -> bool {
        self.over.get()
    }

    /// Whether they, and with them the end, are held.
    pub(super) fn wait(&self) -> bool {
        self.due.get()
    }

    /// The filter that holds them, by its place in the chain.
    pub(super) fn paused_at(&self) -> Option<usize> {
        if self.paused.get() { self.next.get().checked_sub(1) } else { None }
    }
}

/// Whether trailers may come after a body of known length.
pub(super) fn may_follow(r: Request<'_>) -> bool {
    !r.response_trailers().is_empty() || r.trailers_may_follow()
}

/// Takes the end of the response out of a chain if trailers go before it.
pub(super) fn take_end(exchange: &Exchange, r: Request<'_>, chain: Chain<'_>) -> bool {
    exchange.callbacks.intersects(Callbacks::RESPONSE_BODY | Callbacks::RESPONSE_TRAILERS)
        && !r.response_trailers().is_empty()
        && chain.take_end()
}

/// What the body filter returns after a part that came with `status`. `ended`: the end was taken out of it.
pub(super) fn after_part(exchange: &Exchange, r: Request<'_>, ended: bool, status: Status) -> Status {
    let trailers = &exchange.trailers;
    if ended {
        trailers.due.set(true);
    }
    if !trailers.due.get() || status == Status::ERROR || status.0 > 0 || exchange.body.dropped.get() {
        return status;
    }
    match advance(exchange, r) {
        Status::OK => status,
        other => other,
    }
}

/// Lets the filter after the one that paused be asked, if that one asked to go on.
pub(super) fn resume(exchange: &Exchange) {
    let trailers = &exchange.trailers;
    let Some(index) = trailers.paused_at() else { return };
    // What it holds before the trailers goes on by the same word.
    let holds = exchange.body.part.holds(index) || exchange.response_header_waits_at() == Some(index);
    if if holds { has_resumed(exchange, index) } else { exchange.take_resumed(Side::Response, index) } {
        trailers.paused.set(false);
    }
}

fn has_resumed(exchange: &Exchange, index: usize) -> bool {
    exchange.resumed.borrow().contains(&(Side::Response, index))
}

/// Takes them through the chain as far as they go, and the end after them.
pub(super) fn advance(exchange: &Exchange, r: Request<'_>) -> Status {
    let trailers = &exchange.trailers;
    if !trailers.due.get() {
        return Status::OK;
    }
    loop {
        let index = trailers.next.get();
        let before = exchange.response_waits()
            || exchange.body.has_input()
            || (0..index).any(|earlier| exchange.body.part.holds(earlier));
        if before || trailers.paused.get() {
            if trailers.paused.get() {
                exchange.wait(r, Side::Response);
            }
            r.set_filter_buffered(true);
            return Status::OK;
        }
        if index == exchange.len() {
            return end(exchange, r);
        }
        trailers.next.set(index + 1);
        let count = u32::try_from(r.response_trailers().count()).unwrap_or(u32::MAX);
        match exchange.show_trailers(r, index, count) {
            Ok(Action::Continue) => {
                let status = release(exchange, r, index);
                if status == Status::ERROR || status.0 > 0 || exchange.body.dropped.get() {
                    return status;
                }
            }
            Ok(Action::Pause) => trailers.paused.set(true),
            Err(flow) => return output::refuse(exchange, r, flow),
        }
    }
}

/// Lets go what a filter holds that lets the trailers pass: its header, its part of the body.
fn release(exchange: &Exchange, r: Request<'_>, index: usize) -> Status {
    if !exchange.body.part.holds(index) && exchange.response_header_waits_at() != Some(index) {
        return Status::OK;
    }
    // As if it had asked for that.
    if !has_resumed(exchange, index) {
        exchange.resumed.borrow_mut().push((Side::Response, index));
    }
    output::go_on(exchange, r)
}

/// Sends the end, with the trailers as the chain has left them.
fn end(exchange: &Exchange, r: Request<'_>) -> Status {
    exchange.trailers.due.set(false);
    exchange.trailers.over.set(true);
    exchange.response_passes();
    let end = Orders { flush: false, ends: true, last: true };
    match output::release_header(exchange, r, Orders::default()) {
        Ok(()) => exchange.body.send(r, end),
        Err(status) => status,
    }
}
