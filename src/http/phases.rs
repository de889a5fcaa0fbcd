//! nginx's phases: where a request enters its chain, waits in it, and ends.

use std::rc::Rc;

use ngx::http::{self, BodyHandler, Handle, PhaseHandler, Request};
use ngx::{Conf, Failed, Status};

use super::exchange::{Exchange, Flow, Side, Stage};
use super::{output, reply};
use crate::conf::LocConf;
use crate::modules::{Core, Http};
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::vm::{Callback, Callbacks};
use crate::raw::Phase;

/// The state of a request that is in a chain.
pub(super) fn exchange(r: Request<'_>) -> Option<Rc<Exchange>> {
    r.ctx::<Exchange>()
}

/// The same, opened now if this location has a chain.
pub(super) fn exchange_or_open(r: Request<'_>) -> Option<Rc<Exchange>> {
    if let Some(exchange) = exchange(r) {
        return Some(exchange);
    }
    let loc = r.loc_conf::<Http>();
    loc.chain.as_ref()?;
    let exchange = Exchange::open(r, loc, r.core_conf::<Core>()?)?;
    if !r.set_ctx(exchange.clone()) {
        return None;
    }
    if !r.is_main() {
        exchange_or_empty(r.main())?.adopt(&exchange);
    }
    Some(exchange)
}

fn exchange_or_empty(r: Request<'_>) -> Option<Rc<Exchange>> {
    if let Some(exchange) = exchange(r) {
        return Some(exchange);
    }
    let exchange = Rc::new(Exchange::empty(r));
    r.set_ctx(exchange.clone()).then_some(exchange)
}

/// One of our places in nginx's phases, before the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    phase: Phase,
    /// After every other handler of the phase, rather than before.
    postponed: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { phase: Phase::Rewrite, postponed: false }
    }
}

impl Place {
    /// Where the filters of a location see the request.
    pub(super) fn of_filters(loc: &LocConf) -> Self {
        Self::of_calls(loc, if loc.headers_in_access() { Phase::Access } else { Phase::Rewrite })
    }

    fn of_calls(loc: &LocConf, phase: Phase) -> Self {
        Self { phase, postponed: loc.postpones(phase) }
    }

    pub(super) fn of_all_calls(loc: &LocConf) -> [Self; 3] {
        [Phase::Rewrite, Phase::Access, Phase::Content].map(|phase| Self::of_calls(loc, phase))
    }

    pub(super) fn phase(self) -> Phase {
        self.phase
    }

    /// Whether a chain of this location has something to do here.
    fn begins(self, loc: &LocConf) -> bool {
        let Some(chain) = &loc.chain else { return false };
        chain.has_filters() && Self::of_filters(loc) == self
            || chain.has_calls(self.phase) && Self::of_calls(loc, self.phase) == self
    }
}

/// Rewrite phase, before every other handler.
struct RewriteFirst;
/// Rewrite phase, after every other handler: `wasm_postpone_rewrite on`.
struct RewritePostponed;
/// Access phase, before every other handler: `proxy_wasm_request_headers_in_access on`, and calls.
struct AccessFirst;
/// Access phase, after every other handler: `wasm_postpone_access on`.
struct AccessPostponed;
/// The last before the content phase: where that has the handler of a location, it runs no other.
struct BeforeContent;
/// Log phase.
struct Log;

/// Takes our places in nginx's phases.
pub fn install(cf: Conf<'_>) -> Result<(), Failed> {
    cf.phase_first::<RewriteFirst>(http::Phase::Rewrite)?;
    cf.phase_last::<RewritePostponed>(http::Phase::Rewrite)?;
    cf.phase_first::<AccessFirst>(http::Phase::Access)?;
    cf.phase_last::<AccessPostponed>(http::Phase::Access)?;
    cf.phase_last::<BeforeContent>(http::Phase::PreContent)?;
    cf.phase_first::<Log>(http::Phase::Log)
}

impl PhaseHandler for RewriteFirst {
    fn handle(r: Request<'_>) -> Status {
        enter(r, Place { phase: Phase::Rewrite, postponed: false })
    }
}

impl PhaseHandler for RewritePostponed {
    fn handle(r: Request<'_>) -> Status {
        enter(r, Place { phase: Phase::Rewrite, postponed: true })
    }
}

impl PhaseHandler for AccessFirst {
    fn handle(r: Request<'_>) -> Status {
        enter(r, Place { phase: Phase::Access, postponed: false })
    }
}

impl PhaseHandler for AccessPostponed {
    fn handle(r: Request<'_>) -> Status {
        enter(r, Place { phase: Phase::Access, postponed: true })
    }
}

impl PhaseHandler for BeforeContent {
    fn handle(r: Request<'_>) -> Status {
        enter(r, Place { phase: Phase::Content, postponed: false })
    }
}

impl PhaseHandler for Log {
    fn handle(r: Request<'_>) -> Status {
        // Subrequests have no log phase of their own: they end with the request that they served.
        let called = || r.loc_conf::<Http>().chain.as_ref().is_some_and(|chain| chain.has_calls(Phase::Log));
        if let Some(exchange) = exchange(r).or_else(|| if called() { exchange_or_open(r) } else { None }) {
            exchange.close_all(r);
        }
        Status::OK
    }
}

fn enter(r: Request<'_>, here: Place) -> Status {
    let found = exchange(r);
    if found.is_none() && !here.begins(r.loc_conf::<Http>()) {
        return Status::DECLINED;
    }
    // A request that has begun its chain goes on with that, whatever location it is in now.
    let Some(exchange) = found.or_else(|| exchange_or_open(r)) else { return Status::DECLINED };
    if exchange.stage.get() != Stage::Passed && exchange.home == here {
        return advance(&exchange, r);
    }
    // The page of an error is not what the calls before it were meant for.
    let meant = exchange.in_error_page || !r.is_error_page();
    if !meant || !exchange.places.contains(&here) || !exchange.calls_wait_for(here.phase) {
        return Status::DECLINED;
    }
    match exchange.run_calls(r, here.phase) {
        Flow::Next => Status::DECLINED,
        flow => end(&exchange, r, flow),
    }
}

/// Takes the request side as far as it goes. DECLINED: nginx goes on; DONE: it is held, or has ended.
fn advance(exchange: &Rc<Exchange>, r: Request<'_>) -> Status {
    loop {
        if let Some(flow) = exchange.pending() {
            return end(exchange, r, flow);
        }
        let stage = exchange.stage.get();
        let flow = match stage {
            Stage::Headers => exchange
                .see_headers(r, || Callback::RequestHeaders { count: count_headers(r), end_of_stream: !r.has_body() }),
            Stage::Body => exchange.run(r, Step::RequestBody, || whole_body(exchange, r)),
            // nginx called us again while it still reads the body.
            Stage::ReadingBody => return Status::DONE,
            Stage::Passed => return Status::DECLINED,
        };
        let body_next = stage == Stage::Headers && wants_body(exchange, r);
        let body_first = flow == Flow::Wait && exchange.request_body_goes_first();
        match flow {
            Flow::Next if body_next && passes_body_on(r) => {
                exchange.request_body.begin_stream();
                exchange.stage.set(Stage::Passed);
            }
            Flow::Next if body_next => match read_body(exchange, r) {
                Some(status) => return status,
                None => exchange.stage.set(Stage::Body),
            },
            Flow::Next => {
                exchange.stage.set(Stage::Passed);
                if !exchange.install_request_body(r) {
                    r.finalize(Status::http(500));
                    return Status::DONE;
                }
            }
            Flow::Wait if body_next && body_first => match read_body(exchange, r) {
                Some(status) => return status,
                None => match exchange.show_body_first(r, || whole_body(exchange, r)) {
                    Flow::Next => {}
                    Flow::Wait => return hold(r),
                    flow => return end(exchange, r, flow),
                },
            },
            Flow::Wait => return hold(r),
            flow => return end(exchange, r, flow),
        }
    }
}

fn hold(r: Request<'_>) -> Status {
    r.hold();
    Status::DONE
}

fn whole_body(exchange: &Exchange, r: Request<'_>) -> Callback {
    let size = exchange.request_body_len(r).and_then(|len| u32::try_from(len).ok()).unwrap_or(u32::MAX);
    Callback::RequestBody { size, end_of_stream: true }
}

/// Sees to it that the body is there; what the phase returns when it is not.
fn read_body(exchange: &Exchange, r: Request<'_>) -> Option<Status> {
    if exchange.body_read.get() {
        return None;
    }
    exchange.stage.set(Stage::ReadingBody);
    r.prepare_body_for_store(&r.main_conf::<Http>().body_handlers);
    match r.read_body::<BodyRead>() {
        http::BodyRead::Ready => {
            exchange.body_here();
            None
        }
        http::BodyRead::Pending => Some(Status::DONE),
        http::BodyRead::Failed(status) => {
            exchange.stage.set(Stage::Passed);
            Some(status)
        }
    }
}

fn count_headers(r: Request<'_>) -> u32 {
    // :method, :path and :scheme; :authority is the Host.
    let pseudo = 3 + u32::from(r.authority().is_some());
    u32::try_from(r.request_headers().count()).unwrap_or(u32::MAX).saturating_add(pseudo)
}

/// Whether a filter is to see the body. Never on an Upgrade: what follows is no body.
fn wants_body(exchange: &Exchange, r: Request<'_>) -> bool {
    exchange.callbacks.contains(Callbacks::REQUEST_BODY)
        && r.has_body()
        && r.request_headers().get(b"upgrade").is_none()
}

/// Whether the content handler passes the body on as it comes: then filters see it so, and not before.
fn passes_body_on(r: Request<'_>) -> bool {
    r.is_main() && r.will_pass_body_unbuffered(&r.main_conf::<Http>().body_handlers)
}

/// Goes on when nginx has the whole body.
struct BodyRead;

impl BodyHandler for BodyRead {
    fn ready(r: Request<'_>) {
        if let Some(exchange) = exchange(r) {
            exchange.body_here();
        }
        r.run_phases();
    }
}

/// Ends the request from a phase, as a filter or its failure wants it.
fn end(exchange: &Exchange, r: Request<'_>, flow: Flow) -> Status {
    exchange.skip_phases();
    let status = match (flow, exchange.take_reply()) {
        (Flow::Reply, Some(response)) => reply::send(exchange, r, response),
        (Flow::Close, _) => Status::http(http::CLOSE),
        _ => {
            exchange.failure_told();
            Status::http(500)
        }
    };
    r.finalize(status);
    Status::DONE
}

/// Goes on with what was held of a request, from the event loop.
pub(super) fn resume(handle: Handle) {
    let found = |side| {
        let r = handle.get()?;
        exchange(r).filter(|exchange| exchange.take_wake(side)).map(|exchange| (r, exchange))
    };
    if let Some((r, exchange)) = found(Side::Request) {
        if exchange.request_body.streams() { r.post_read() } else { r.resume() }
    }
    if let Some((r, exchange)) = found(Side::Response) {
        r.wake(|r| output::resume(&exchange, r));
    }
}

/// Lets nginx not wait for the client while a filter holds what it would be sent.
pub(super) fn stop_clock(handle: Handle) {
    let Some(r) = handle.get() else { return };
    if exchange(r).is_some_and(|exchange| exchange.is_held()) {
        r.stop_send_timeout();
    }
}

/// Ends a request of which a filter has held a side for too long.
pub(super) fn give_up(handle: Handle, side: Side) {
    let Some(r) = handle.get() else { return };
    let Some(exchange) = exchange(r).filter(|exchange| exchange.give_up(r, side)) else { return };
    match side {
        Side::Request if exchange.request_body.streams() => {
            exchange.request_body.give_up();
            r.post_read();
        }
        Side::Request => {
            exchange.stage.set(Stage::Passed);
            r.finalize_posted(Status::http(504));
        }
        // A part of it may have left: the connection, or the HTTP/2 stream, ends.
        Side::Response => r.finalize_posted(Status::http(408)),
    }
}
