//! A request on its way through its filter chain: which filter is next, what waits, what was asked for meanwhile.
//!
//! The chain is fixed where the request met it first, and stays over rewrites and internal redirects. nginx can be
//! made to call us again by almost anything that is done to a request; so what a guest asks for (a local response, to
//! continue, to close) is noted in cells here and done after the guest has returned.

mod calls;
mod member;
mod raw;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ngx::http::{Handle, Request};
use ngx::{Posted, error};

use self::member::Member;
use self::raw::Wanted;
use super::body::ResponseBody;
use super::early::Early;
use super::hold::Holds;
use super::phases::Place;
use super::request_body::RequestBody;
use super::trailers::Trailers;
use crate::conf::{FailurePolicy, Isolation, Link, LocConf, WasmConf};
use crate::proxy_wasm::abi::{Action, StreamType};
use crate::proxy_wasm::chain::{self, Answer, Cursor, Step};
use crate::proxy_wasm::host::{LocalResponse, PropertyFormat};
use crate::proxy_wasm::vm::{Callback, Callbacks};
use crate::raw::Phase;
use crate::worker::{self, Instance};

/// How far the request side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Headers,
    ReadingBody,
    Body,
    /// Every filter has seen the request.
    Passed,
}

/// What a run through the chain came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// All filters have answered.
    Next,
    /// One paused.
    Wait,
    /// One answered in the upstream's place: [`Exchange::take_reply`].
    Reply,
    /// One asked to close the stream.
    Close,
    /// One failed, and its policy is `closed`.
    Fail,
}

/// The two directions of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

impl Side {
    fn of(step: Step) -> Self {
        if step < Step::ResponseHeaders { Self::Request } else { Self::Response }
    }
}

/// The state of one request, or subrequest, in its chain.
pub(super) struct Exchange {
    handle: Handle,
    members: Vec<Member>,
    pub(super) callbacks: Callbacks,
    policy: FailurePolicy,
    isolation: Isolation,
    /// Where filters see the request.
    pub(super) home: Place,
    /// Where the calls of the rewrite, the access and the content phase run.
    pub(super) places: [Place; 3],
    /// It began with an error page.
    pub(super) in_error_page: bool,
    limit: Option<Duration>,
    pub(super) format: PropertyFormat,
    /// How many bytes of a response body a pause may collect.
    pub(super) body_buffers: usize,
    /// A pause in a headers callback holds the headers only.
    headers_stop_alone: bool,
    /// How many filters have seen the request's body before its headers went on.
    body_seen: Cell<usize>,
    /// The one of them that paused in it.
    body_paused_at: Cell<Option<usize>>,

    pub(super) stage: Cell<Stage>,
    /// The request's body was read.
    pub(super) body_read: Cell<bool>,
    request: Cell<Option<Cursor>>,
    response: Cell<Option<Cursor>>,
    pub(super) response_seen: Cell<bool>,
    /// The response's header has passed the chain and waits for the first part of the body.
    pub(super) header_held: Cell<bool>,
    pub(super) early: Early,
    pub(super) body: ResponseBody,
    pub(super) trailers: Trailers,

    pub(super) request_body: RequestBody,

    /// What is held for a filter that paused.
    holds: Holds,
    /// The filter whose callback runs.
    asked: Cell<Option<(Side, usize)>>,
    /// Filters that asked to go on, by their place in the chain.
    pub(super) resumed: RefCell<Vec<(Side, usize)>>,
    /// What calls have answered in the running phase.
    wanted: Wanted,
    reply: RefCell<Option<LocalResponse>>,
    /// A local response was sent: whatever else comes for this request is dropped.
    replied: Cell<bool>,
    closing: Cell<bool>,
    failed: Cell<bool>,
    closed: Cell<bool>,
    wake: OnceCell<Posted>,
    /// Those of the subrequests that this request made: they end with it.
    subrequests: RefCell<Vec<(Handle, Rc<Exchange>)>>,
}

impl Exchange {
    /// Opens a context in each filter of the chain of this location; `None` when there is no chain, or an empty one.
    pub(super) fn open(r: Request<'_>, loc: &LocConf, wasm: &WasmConf) -> Option<Rc<Self>> {
        let chain = loc.chain.as_ref().filter(|chain| !chain.is_empty())?;
        let mut exchange = Self::empty(r);
        exchange.members = Member::open_all(r, chain, loc.isolation(), exchange.handle);
        exchange.callbacks = chain.callbacks();
        exchange.policy = loc.failure_policy(wasm);
        exchange.isolation = loc.isolation();
        exchange.home = Place::of_filters(loc);
        exchange.places = Place::of_all_calls(loc);
        exchange.in_error_page = r.is_error_page();
        exchange.limit = loc.time_limit(wasm);
        exchange.format = loc.property_format();
        exchange.body_buffers = loc.response_body_buffers();
        exchange.headers_stop_alone = loc.headers_stop_alone();
        exchange.stage.set(if chain.has_filters() { Stage::Headers } else { Stage::Passed });
        for index in 0..exchange.members.len() {
            if exchange.members[index].lacks_context() {
                exchange.member_failed(index, r);
            }
        }
        Some(Rc::new(exchange))
    }

    /// The state of a request without a chain: what its subrequests may need.
    pub(super) fn empty(r: Request<'_>) -> Self {
        Self {
            handle: r.handle(),
            members: Vec::new(),
            callbacks: Callbacks::empty(),
            policy: FailurePolicy::Closed,
            isolation: Isolation::default(),
            home: Place::default(),
            places: [Place::default(); 3],
            in_error_page: false,
            limit: None,
            format: PropertyFormat::default(),
            body_buffers: 0,
            headers_stop_alone: false,
            body_seen: Cell::new(0),
            body_paused_at: Cell::new(None),
            stage: Cell::new(Stage::Passed),
            body_read: Cell::new(false),
            request: Cell::default(),
            response: Cell::default(),
            response_seen: Cell::new(false),
            header_held: Cell::new(false),
            early: Early::default(),
            body: ResponseBody::default(),
            trailers: Trailers::default(),
            request_body: RequestBody::default(),
            holds: Holds::default(),
            asked: Cell::new(None),
            resumed: RefCell::default(),
            wanted: Wanted::default(),
            reply: RefCell::default(),
            replied: Cell::new(false),
            closing: Cell::new(false),
            failed: Cell::new(false),
            closed: Cell::new(false),
            wake: OnceCell::new(),
            subrequests: RefCell::default(),
        }
    }

    /// Lets a subrequest's state end with this request.
    pub(super) fn adopt(&self, subrequest: &Rc<Self>) {
        self.subrequests.borrow_mut().push((subrequest.handle, subrequest.clone()));
    }

    pub(super) fn failed(&self) -> bool {
        self.failed.get()
    }

    /// The client gets its error answer now: the filters that did not fail see that response as any other.
    pub(super) fn failure_told(&self) {
        self.failed.set(false);
    }

    /// Runs one step of the chain from where it stands. `callback` is asked anew for each filter: the one before may
    /// have changed what it says.
    pub(super) fn run(&self, r: Request<'_>, step: Step, callback: impl Fn() -> Callback) -> Flow {
        if let Some(flow) = self.pending() {
            return flow;
        }
        let side = Side::of(step);
        let place = if side == Side::Request { &self.request } else { &self.response };
        let mut cursor = place.get().filter(|cursor| cursor.step() == step).unwrap_or_else(|| {
            let seen = if step == Step::RequestBody { self.body_seen.get() } else { 0 };
            Cursor::starting_at(step, seen)
        });
        if cursor.waiting() {
            self.wait(r, side);
            return Flow::Wait;
        }
        while let Some(index) = cursor.next(self.members.len(), |index| self.members[index].skipped.get()) {
            let action = match self.ask(index, r, side, callback()) {
                Ok(action) => action,
                Err(flow) => return flow,
            };
            let flow = cursor.answer(Answer::Action(action));
            place.set(Some(cursor));
            if flow == chain::Flow::Wait {
                self.wait(r, side);
                return Flow::Wait;
            }
        }
        place.set(None);
        Flow::Next
    }

    /// The number of filters in the chain.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Runs one callback of one filter.
    ///
    /// # Errors
    /// What a filter asked for, or its failure: it goes before what the callback answered.
    pub(super) fn ask(&self, index: usize, r: Request<'_>, side: Side, callback: Callback) -> Result<Action, Flow> {
        let outer = self.asked.replace(Some((side, index)));
        let action = self.call(index, r, callback);
        self.asked.set(outer);
        match self.pending() {
            Some(flow) => Err(flow),
            // It may have asked to go on before it said to pause.
            None if self.take_resumed(side, index) => Ok(Action::Continue),
            None => Ok(action),
        }
    }

    /// Whether the filter asked to go on; asking is over then.
    pub(super) fn take_resumed(&self, side: Side, index: usize) -> bool {
        let mut resumed = self.resumed.borrow_mut();
        let before = resumed.len();
        resumed.retain(|asked| *asked != (side, index));
        resumed.len() != before
    }

    /// Holds a side of the exchange.
    pub(super) fn wait(&self, r: Request<'_>, side: Side) {
        self.holds.begin(side, r, self.handle);
    }

    /// Holds a side, or goes on to: more of it has come.
    pub(super) fn wait_anew(&self, r: Request<'_>, side: Side) {
        self.holds.renew(side, r, self.handle);
    }

    /// A part of the request's body has passed, or never will: with nothing held any more, the hold is over.
    pub(super) fn request_passes(&self) {
        if !self.request_body.part.holds_anything() {
            self.holds.end(Side::Request);
        }
    }

    /// A part of the response has passed: with nothing held any more, the hold is over.
    pub(super) fn response_passes(&self) {
        let held = self.body.part.holds_anything() || self.trailers.wait() || self.response_header_waits_at().is_some();
        if !held {
            self.holds.end(Side::Response);
        }
    }

    /// Gives up a hold that nobody has ended; whether there is one.
    pub(super) fn give_up(&self, r: Request<'_>, side: Side) -> bool {
        if !self.holds.end(side) {
            return false;
        }
        if self.waits_for_calls() {
            self.wait(r, side);
            return false;
        }
        let held = match side {
            Side::Request => "request",
            Side::Response => "response",
        };
        error!(r.log(), "[proxy-wasm] a filter held the {held} for longer than \"send_timeout\"");
        true
    }

    /// The filter that the response's header waits for, by its place in the chain.
    pub(super) fn response_header_waits_at(&self) -> Option<usize> {
        self.response.get()?.paused_at()
    }

    /// Whether the response's header waits, and its body with it.
    pub(super) fn response_waits(&self) -> bool {
        !self.headers_stop_alone && self.response_header_waits_at().is_some()
    }

    /// Lets the filter after the one that paused in the response's header be asked, if that one asked to go on. What it
    /// holds of the body goes on too.
    pub(super) fn resume_response_header(&self) -> bool {
        let Some(index) = self.response_header_waits_at() else { return false };
        if !Self::resume_at(&self.response, |index| self.take_resumed(Side::Response, index)) {
            return false;
        }
        if self.body.part.holds(index) {
            self.resumed.borrow_mut().push((Side::Response, index));
        }
        true
    }

    /// Lets the response's header go on because the filter that it waits for let a part of the body pass.
    pub(super) fn body_resumes_header(&self) {
        Self::resume_at(&self.response, |_| true);
    }

    /// nginx has read the body.
    pub(super) fn body_here(&self) {
        self.body_read.set(true);
        self.stage.set(if self.request.get().is_some() { Stage::Headers } else { Stage::Body });
    }

    /// Whether filters may see the request's body while one of them holds its headers.
    pub(super) fn request_body_goes_first(&self) -> bool {
        self.headers_stop_alone && self.request_headers_wait_at().is_some()
    }

    fn request_headers_wait_at(&self) -> Option<usize> {
        self.request.get().filter(|cursor| cursor.step() == Step::RequestHeaders)?.paused_at()
    }

    /// Shows the request's body to the filters up to the one that holds the headers. When that one lets the body pass,
    /// the headers go on before it.
    pub(super) fn show_body_first(&self, r: Request<'_>, callback: impl Fn() -> Callback) -> Flow {
        let Some(last) = self.request_headers_wait_at() else { return Flow::Next };
        while self.body_seen.get() <= last {
            let index = self.body_seen.get();
            let paused = self.body_paused_at.get().is_some();
            match if paused { Ok(Action::Pause) } else { self.ask(index, r, Side::Request, callback()) } {
                Ok(Action::Continue) => self.body_seen.set(index + 1),
                Ok(Action::Pause) => {
                    self.body_paused_at.set(Some(index));
                    self.wait(r, Side::Request);
                    return Flow::Wait;
                }
                Err(flow) => return flow,
            }
        }
        Self::resume_at(&self.request, |_| true);
        Flow::Next
    }

    /// Lets what the request waits for go on, if the filter that paused asked for it.
    fn resume_request(&self) -> bool {
        let body = self.body_paused_at.get();
        if let Some(index) = body.filter(|index| self.take_resumed(Side::Request, *index)) {
            self.body_paused_at.set(None);
            self.body_seen.set(index + 1);
            if self.request_headers_wait_at().is_some_and(|waits_at| waits_at <= index) {
                Self::resume_at(&self.request, |_| true);
            }
            return true;
        }
        Self::resume_at(&self.request, |index| self.take_resumed(Side::Request, index))
    }

    /// Leaves the step of the response that waits: another response takes its place.
    pub(super) fn forget_response_step(&self) {
        self.response.set(None);
    }

    fn resume_at(place: &Cell<Option<Cursor>>, asked: impl FnOnce(usize) -> bool) -> bool {
        let Some(mut cursor) = place.get().filter(|cursor| cursor.waiting()) else { return false };
        if !cursor.paused_at().is_some_and(asked) {
            return false;
        }
        cursor.resume();
        place.set(Some(cursor));
        true
    }

    fn call(&self, index: usize, r: Request<'_>, callback: Callback) -> Action {
        let member = &self.members[index];
        if let Link::Call(_) = member.link {
            if let Some(phase) = self.phase_of(callback) {
                self.run_call(index, r, phase);
            }
            return Action::Continue;
        }
        let Some((instance, context)) = member.context.as_ref().filter(|_| !member.skipped.get()) else {
            return Action::Continue;
        };
        match instance.call(*context, callback, self.limit, r.log()) {
            Ok(action) => action,
            Err(_) => {
                self.member_failed(index, r);
                Action::Continue
            }
        }
    }

    /// Applies the failure policy to a filter that cannot go on.
    fn member_failed(&self, index: usize, r: Request<'_>) {
        let member = &self.members[index];
        if member.skipped.replace(true) {
            return;
        }
        if let Some(module) = member.link.module() {
            worker::with(|worker| worker.filter_failed(module));
        }
        let and = match self.policy {
            FailurePolicy::Open => "goes on without it",
            FailurePolicy::Closed if self.failed.replace(true) => return,
            FailurePolicy::Closed => "ends",
        };
        match &member.link {
            Link::Filter(filter) => {
                error!(r.log(), "[proxy-wasm] \"{}\" filter failed, the request {and}", filter.config.name);
            }
            Link::Call(call) => {
                error!(r.log(), "[wasm] \"{}.{}\" call failed, the request {and}", call.name, call.function);
            }
        }
    }

    /// A VM died in which this request holds contexts; perhaps while serving another request.
    pub(super) fn instance_died(&self, instance: &Rc<Instance>, r: Request<'_>) {
        for index in 0..self.members.len() {
            let held = self.members[index].context.as_ref().is_some_and(|(held, _)| Rc::ptr_eq(held, instance));
            if held {
                self.member_failed(index, r);
            }
        }
        for side in [Side::Request, Side::Response] {
            if self.holds.waits(side) {
                let skipped = (0..self.members.len()).filter(|index| self.members[*index].skipped.get());
                self.resumed.borrow_mut().extend(skipped.map(|index| (side, index)));
                self.wake();
            }
        }
    }

    pub(super) fn stash_reply(&self, response: LocalResponse) {
        if self.replied.get() || self.reply.borrow().is_some() {
            return;
        }
        *self.reply.borrow_mut() = Some(response);
        self.wake_if_waiting();
    }

    /// The response that a filter gave, to be sent now and once.
    pub(super) fn take_reply(&self) -> Option<LocalResponse> {
        let reply = self.reply.take();
        if reply.is_some() {
            self.replied.set(true);
        }
        reply
    }

    /// A filter, by its place in the chain, wants its part of the stream to go on.
    pub(super) fn ask_to_continue(&self, part: StreamType, index: usize) {
        let side = match part {
            StreamType::Request | StreamType::Downstream => Side::Request,
            StreamType::Response | StreamType::Upstream => Side::Response,
        };
        // Asked for when nothing is held, and no callback runs that may still pause, it means nothing.
        let holds = self.holds.waits(side) || self.part(side).holds(index);
        if holds || self.asked.get() == Some((side, index)) {
            self.resume_side(side, index);
        }
    }

    fn resume_side(&self, side: Side, index: usize) {
        if !self.resumed.borrow().contains(&(side, index)) {
            self.resumed.borrow_mut().push((side, index));
        }
        self.wake_if_waiting();
    }

    pub(super) fn ask_to_close(&self) {
        self.closing.set(true);
        self.wake_if_waiting();
    }

    fn wake_if_waiting(&self) {
        if self.holds.any() {
            self.wake();
        }
    }

    /// Goes on from the event loop: never from within a guest, never from within nginx's own frames.
    fn wake(&self) {
        let handle = self.handle;
        self.wake.get_or_init(|| Posted::new(move || super::phases::resume(handle))).post();
    }

    /// Whether a side was held and may go on now; the hold ends.
    pub(super) fn take_wake(&self, side: Side) -> bool {
        if !self.holds.waits(side) {
            return false;
        }
        let due = if side == Side::Request && !self.request_body.streams() {
            self.resume_request()
        } else {
            // Which parts of a body go on is seen where they are held.
            self.resumed.borrow().iter().any(|(asked, _)| *asked == side)
        };
        (due || self.pending().is_some()) && self.holds.end(side)
    }

    /// What stands to be done before the chain goes on.
    pub(super) fn pending(&self) -> Option<Flow> {
        if self.failed.get() {
            Some(Flow::Fail)
        } else if self.closing.get() {
            Some(Flow::Close)
        } else if self.reply.borrow().is_some() {
            Some(Flow::Reply)
        } else {
            None
        }
    }

    /// The end of a request and of the subrequests that it made.
    pub(super) fn close_all(&self, r: Request<'_>) {
        for (handle, subrequest) in self.subrequests.take() {
            subrequest.close(handle.get());
        }
        self.close(Some(r));
    }

    /// Done, log and delete in every filter, once.
    fn close(&self, r: Option<Request<'_>>) {
        if self.closed.replace(true) {
            return;
        }
        self.holds.end(Side::Request);
        self.holds.end(Side::Response);
        let log = match r {
            Some(r) => r.log(),
            None => ngx::Log::cycle(),
        };
        for (index, member) in self.members.iter().enumerate() {
            if let Some(r) = r.filter(|r| r.is_main()) {
                self.run_call(index, r, Phase::Log);
            }
            if let Some((instance, context)) = &member.context {
                if instance.alive() {
                    // A failure here is logged, and there is nothing left to end.
                    let _ = instance.close(*context, self.limit, log);
                } else {
                    instance.detach(*context);
                }
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.close(None);
        for member in self.members.drain(..) {
            // One that other members share is given back by the last of them.
            if let Some((module, instance)) = member.into_instance()
                && instance.reusable()
            {
                worker::with(|worker| worker.take_back(module, instance));
            }
        }
    }
}
