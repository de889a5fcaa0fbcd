//! The output filters: where a chain sees the response, first of all filters, before gzip and range.
//!
//! When filters want the body of a response whose length is known, the header is held until the first part of the body
//! has passed, which is usually in the same turn of the event loop. Is that the whole, its length stays known, whatever
//! the filters make of it, and they may answer something else still.

use std::rc::Rc;

use ngx::http::{self, Chain, Request};
use ngx::{Status, error};

use super::exchange::{Exchange, Flow, Side};
use super::part::{Fate, Orders};
use super::{phases, reply, trailers};
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::vm::{Callback, Callbacks};
use crate::raw::Phase;

/// What nginx calls with a response's header, before every other filter.
pub fn header_filter(r: Request<'_>) -> Status {
    let Some(exchange) = phases::exchange_or_open(r) else { return http::next_header_filter(r) };
    exchange.early.apply(r);
    if exchange.response_seen.replace(true) {
        if exchange.pending() == Some(Flow::Reply) {
            return answer_instead(&exchange, r, Flow::Reply);
        }
        // An error page, in the place of a response whose header was held.
        exchange.header_held.set(false);
        return http::next_header_filter(r);
    }
    r.settle_response();
    run_header(&exchange, r)
}

/// Takes the header through the chain as far as it goes.
fn run_header(exchange: &Exchange, r: Request<'_>) -> Status {
    let bodyless = has_no_body(r);
    let flow = exchange.run_phase(r, Step::ResponseHeaders, || Callback::ResponseHeaders {
        count: u32::try_from(r.response_headers().count()).unwrap_or(u32::MAX).saturating_add(1),
        end_of_stream: bodyless,
    });
    match flow {
        Flow::Wait => {
            r.set_filter_buffered(true);
            Status::OK
        }
        Flow::Next if bodyless || !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) => {
            exchange.body.complete(bodyless);
            let status = send_header(exchange, r);
            if r.header_only() {
                exchange.body.drop_all(r);
            }
            status
        }
        Flow::Next if r.is_main() && r.response_headers().known_length().is_some() && !trailers::may_follow(r) => {
            exchange.body.expect(r.response_headers().known_length());
            exchange.header_held.set(true);
            Status::OK
        }
        Flow::Next => {
            r.response_headers().body_may_change();
            send_header(exchange, r)
        }
        flow => answer_instead(exchange, r, flow),
    }
}

/// Sends the response's header, and what calls of its phase have said: before the body, of whose length it is a part.
/// A response without a body stays without.
fn send_header(exchange: &Exchange, r: Request<'_>) -> Status {
    let said = exchange.take_before_body();
    if said.is_empty() || matches!(r.status(), 101 | 204 | 304) {
        return http::next_header_filter(r);
    }
    let headers = r.response_headers();
    match headers.known_length() {
        Some(len) => headers.body_was_changed(len.saturating_add(said.len() as u64)),
        None => headers.body_may_change(),
    }
    let status = http::next_header_filter(r);
    if status == Status::ERROR || status.0 > 0 || r.header_only() {
        return status;
    }
    if exchange.body.send_before(r, &said) == Status::ERROR { Status::ERROR } else { status }
}

/// Answers in the place of a response whose header has not left.
fn answer_instead(exchange: &Exchange, r: Request<'_>, flow: Flow) -> Status {
    exchange.body.drop_all(r);
    r.set_filter_buffered(false);
    match (flow, exchange.take_reply()) {
        (Flow::Reply, Some(response)) => reply::replace(exchange, r, response),
        (Flow::Fail, _) => {
            exchange.failure_told();
            // The error page is a response of its own, whose body passes.
            exchange.body.dropped.set(false);
            let status = r.finalize_from_filter(500);
            exchange.body.dropped.set(true);
            status
        }
        _ => Status::ERROR,
    }
}

/// Whether no body will follow the header.
fn has_no_body(r: Request<'_>) -> bool {
    r.header_only()
        || matches!(r.status(), 101 | 204 | 304)
        || r.method() == b"HEAD"
        || r.response_headers().known_length() == Some(0)
}

/// What nginx calls with each part of a response's body, before every other filter.
pub fn body_filter(r: Request<'_>, chain: Chain<'_>) -> Status {
    let Some(exchange) = phases::exchange(r) else { return http::next_body_filter(r, chain) };
    exchange.stays_held();
    if exchange.body.dropped.get() {
        chain.consume();
        return Status::OK;
    }
    let ended = trailers::take_end(&exchange, r, chain);
    let status = part(&exchange, r, chain);
    if !ended && !exchange.trailers.wait() {
        return status;
    }
    let status = trailers::after_part(&exchange, r, ended, status);
    // The end may have left, and with it what was held before it.
    say_what_is_kept(&exchange, r);
    status
}

/// A part of the body, with what goes with it.
fn part(exchange: &Exchange, r: Request<'_>, chain: Chain<'_>) -> Status {
    let body = &exchange.body;
    let header_waits = exchange.response_waits();
    // What we made of the part before is still on its way: more is taken no faster than the client takes it.
    let waits = header_waits || body.has_input() || (!chain.is_empty() && body.is_busy(r));
    if waits || chain.iter().any(|buf| buf.is_file()) {
        if !header_waits && !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) && !body.has_input() {
            return pass_unread(exchange, r, chain);
        }
        if body.add_input(r, chain).is_err() {
            return Status::ERROR;
        }
        return if header_waits { Status::AGAIN } else { pass_input(exchange, r) };
    }
    if exchange.failed() && r.header_sent() {
        return Status::ERROR;
    }
    if !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) || r.is_upgraded() {
        return pass_unread(exchange, r, chain);
    }
    let bytes = chain.len();
    let orders = body.count(Orders::of(chain), bytes);
    let status = if body.is_shown(orders, bytes) {
        body.part.lent.with(chain, || pass(exchange, r, 0, orders, Some(chain)))
    } else {
        pass_unseen(exchange, r, orders, Some(chain))
    };
    body.part.forget();
    say_what_is_kept(exchange, r);
    status
}

/// Passes on a part that no filter wants to see; calls run before it.
fn pass_unread(exchange: &Exchange, r: Request<'_>, chain: Chain<'_>) -> Status {
    // What is sent after a switch of protocols is no body.
    let is_body = !chain.is_empty() && !r.is_upgraded();
    match if is_body { call(exchange, r) } else { Ok(()) } {
        Ok(()) => http::next_body_filter(r, chain),
        Err(status) => {
            chain.consume();
            status
        }
    }
}

/// Runs the calls of a body that no filter wants to see; with filters that do, they run among these.
///
/// # Errors
/// What the body filter returns when one failed.
fn call(exchange: &Exchange, r: Request<'_>) -> Result<(), Status> {
    if !exchange.has_calls(Phase::BodyFilter) {
        return Ok(());
    }
    match exchange.run_calls(r, Phase::BodyFilter) {
        Flow::Next => Ok(()),
        flow => Err(refuse(exchange, r, flow)),
    }
}

/// Tells nginx whether we keep something of the response: it ends no request before.
fn say_what_is_kept(exchange: &Exchange, r: Request<'_>) {
    let keeps = exchange.body.keeps_something() || exchange.trailers.wait();
    let waits = keeps || exchange.response_header_waits_at().is_some();
    r.set_filter_buffered(waits && !exchange.body.dropped.get());
}

/// Passes on what filters are not shown: orders of nginx's without bytes. `chain` is nginx's own, if it is that.
fn pass_unseen(exchange: &Exchange, r: Request<'_>, orders: Orders, chain: Option<Chain<'_>>) -> Status {
    if exchange.body.keeps_something() {
        if orders.last {
            exchange.body.end_came();
        }
        if let Some(chain) = chain {
            chain.consume();
        }
        return Status::OK;
    }
    match (release_header(exchange, r, orders), chain) {
        (Err(status), _) => status,
        (Ok(()), Some(chain)) => http::next_body_filter(r, chain),
        (Ok(()), None) => exchange.body.send(r, orders),
    }
}

/// Takes a part through the filters from the one at `first` on, and further. `chain` is nginx's own, if it is that.
fn pass(exchange: &Exchange, r: Request<'_>, first: usize, orders: Orders, chain: Option<Chain<'_>>) -> Status {
    let mut orders = orders;
    let passed = show(exchange, r, first, &mut orders).and_then(|()| release_header(exchange, r, orders));
    match (passed, chain) {
        (Ok(()), Some(chain)) if !exchange.body.part.is_owned() => http::next_body_filter(r, chain),
        (passed, chain) => {
            if let Some(chain) = chain {
                chain.consume();
            }
            passed.map_or_else(|status| status, |()| exchange.body.send(r, orders))
        }
    }
}

/// Shows a part to the filters from the one at `first` on. A filter that holds only the header back, and lets the part
/// pass, lets the header pass before it.
///
/// # Errors
/// What the body filter returns when the part goes no further.
fn show(exchange: &Exchange, r: Request<'_>, first: usize, orders: &mut Orders) -> Result<(), Status> {
    let mut first = first;
    loop {
        let waits_at = exchange.response_header_waits_at();
        let end = waits_at.map_or(exchange.len(), |index| index + 1);
        match exchange.show(r, Side::Response, first..end, orders) {
            Ok(Fate::Passed) if waits_at.is_some() => {
                exchange.body_resumes_header();
                let status = run_header(exchange, r);
                if status == Status::ERROR || status.0 > 0 || exchange.body.dropped.get() {
                    return Err(status);
                }
                first = end;
            }
            Ok(Fate::Passed) => {
                exchange.response_passes();
                return Ok(());
            }
            Ok(Fate::Held) => {
                r.set_filter_buffered(true);
                return Err(Status::OK);
            }
            Err(flow) => return Err(refuse(exchange, r, flow)),
        }
    }
}

/// Takes what waits through the chain: piece by piece, until the client cannot take more for now.
fn pass_input(exchange: &Exchange, r: Request<'_>) -> Status {
    let body = &exchange.body;
    if !exchange.callbacks.contains(Callbacks::RESPONSE_BODY) {
        return call(exchange, r).map_or_else(|status| status, |()| body.send_input(r));
    }
    while body.has_input() {
        if body.is_busy(r) {
            let status = http::next_body_filter(r, Chain::empty());
            if status == Status::ERROR || body.is_busy(r) {
                return if status == Status::ERROR { status } else { Status::AGAIN };
            }
        }
        let status = match body.take_piece(r) {
            Ok(orders) if body.is_shown(orders, body.read_len()) => pass(exchange, r, 0, orders, None),
            Ok(orders) => pass_unseen(exchange, r, orders, None),
            Err(error) => {
                error!(r.log(), "[proxy-wasm] cannot read the response body: {error}");
                Status::ERROR
            }
        };
        body.part.forget();
        say_what_is_kept(exchange, r);
        if status != Status::OK || body.dropped.get() {
            return status;
        }
    }
    Status::OK
}

/// What the body filter returns when a filter wants something else than to let the part pass.
pub(super) fn refuse(exchange: &Exchange, r: Request<'_>, flow: Flow) -> Status {
    if exchange.header_held.replace(false) || exchange.response_header_waits_at().is_some() {
        exchange.forget_response_step();
        return answer_instead(exchange, r, flow);
    }
    if flow == Flow::Reply {
        error!(r.log(), "[proxy-wasm] a local response came after the response header was sent: closing the stream");
    }
    Status::ERROR
}

/// Sends the header if it was held, now that a part of the body has passed.
///
/// # Errors
/// What the body filter returns when no body is to follow.
pub(super) fn release_header(exchange: &Exchange, r: Request<'_>, orders: Orders) -> Result<(), Status> {
    if !exchange.header_held.replace(false) {
        return Ok(());
    }
    let headers = r.response_headers();
    match exchange.body.part.changed_len() {
        Some(len) if orders.ends => headers.body_was_changed(len),
        None if orders.ends => {}
        _ => headers.body_may_change(),
    }
    let status = send_header(exchange, r);
    if status == Status::ERROR || status.0 > 0 || r.header_only() {
        exchange.body.drop_all(r);
        return Err(status);
    }
    Ok(())
}

/// Goes on with a response that was held, from the event loop.
pub(super) fn resume(exchange: &Rc<Exchange>, r: Request<'_>) {
    trailers::resume(exchange);
    let status = match go_on(exchange, r) {
        Status::ERROR => Status::ERROR,
        _ if exchange.body.dropped.get() => Status::OK,
        _ => trailers::advance(exchange, r),
    };
    say_what_is_kept(exchange, r);
    if status == Status::ERROR {
        r.finalize(Status::ERROR);
    } else {
        // Whoever waits to end the request, or to send more of it, looks again.
        r.post_write();
    }
}

pub(super) fn go_on(exchange: &Exchange, r: Request<'_>) -> Status {
    if let Some(flow) = exchange.pending() {
        return refuse(exchange, r, flow);
    }
    if exchange.response_header_waits_at().is_some() {
        if !exchange.resume_response_header() {
            exchange.wait(r, Side::Response);
            return Status::OK;
        }
        let status = run_header(exchange, r);
        if exchange.response_header_waits_at().is_some() || status == Status::ERROR || status.0 > 0 {
            return status;
        }
    }
    let mut orders = Orders::default();
    while let Some(next) = exchange.next_released(Side::Response, &mut orders) {
        let status = pass(exchange, r, next, orders, None);
        exchange.body.part.forget();
        if status == Status::ERROR || status.0 > 0 {
            return status;
        }
        orders = Orders::default();
    }
    if exchange.body.keeps_something() {
        exchange.wait(r, Side::Response);
    }
    if exchange.body.has_input() { pass_input(exchange, r) } else { Status::OK }
}
