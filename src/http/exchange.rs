//! A request on its way through its filter chain: which filter is next, what waits, what was asked for meanwhile.
//!
//! The chain is fixed where the request met it first, and stays over rewrites and internal redirects. nginx can be
//! made to call us again by almost anything that is done to a request; so what a guest asks for (a local response, to
//! continue, to close) is noted in cells here and done after the guest has returned.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ngx::http::{Handle, Request};
use ngx::{Posted, error};

use super::Stream;
use super::output::ResponseBody;
use crate::conf::{Chain, FailurePolicy, Filter, Isolation, LocConf, WasmConf};
use crate::proxy_wasm::abi::{Action, StreamType};
use crate::proxy_wasm::chain::{self, Answer, Cursor, Step};
use crate::proxy_wasm::host::{LocalResponse, PropertyFormat};
use crate::proxy_wasm::vm::{Callback, Callbacks};
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

/// One filter of the chain, for this request.
struct Member {
    filter: Arc<Filter>,
    /// Its VM and its context there; `None` when the VM could not be had.
    context: Option<(Rc<Instance>, u32)>,
    /// It failed, and the policy is `open`.
    skipped: Cell<bool>,
}

/// The state of one request, or subrequest, in its chain.
pub(super) struct Exchange {
    handle: Handle,
    members: Vec<Member>,
    pub(super) callbacks: Callbacks,
    policy: FailurePolicy,
    limit: Option<Duration>,
    pub(super) format: PropertyFormat,

    pub(super) stage: Cell<Stage>,
    request: Cell<Option<Cursor>>,
    response: Cell<Option<Cursor>>,
    pub(super) response_seen: Cell<bool>,
    pub(super) body: ResponseBody,

    /// The request is held for a filter that paused.
    waiting: Cell<bool>,
    reply: RefCell<Option<LocalResponse>>,
    /// A local response was sent: whatever else comes for this request is dropped.
    replied: Cell<bool>,
    resume_request: Cell<bool>,
    closing: Cell<bool>,
    failed: Cell<bool>,
    closed: Cell<bool>,
    wake: OnceCell<Posted>,
    /// Those of the subrequests that this request made: they end with it.
    subrequests: RefCell<Vec<(Handle, Rc<Exchange>)>>,
}

impl Exchange {
    /// Opens a context in each filter of the chain of this location; `None` when there is no chain.
    pub(super) fn open(r: Request<'_>, loc: &LocConf, wasm: &WasmConf) -> Option<Rc<Self>> {
        let chain = loc.chain.as_ref().filter(|chain| !chain.filters.is_empty())?;
        let mut exchange = Self::empty(r);
        exchange.members = Self::members(r, chain, loc.isolation(), Stream::new(exchange.handle));
        exchange.callbacks = chain.callbacks();
        exchange.policy = loc.failure_policy(wasm);
        exchange.limit = loc.time_limit(wasm);
        exchange.format = loc.property_format();
        exchange.stage.set(Stage::Headers);
        for index in 0..exchange.members.len() {
            if exchange.members[index].context.is_none() {
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
            limit: None,
            format: PropertyFormat::default(),
            stage: Cell::new(Stage::Passed),
            request: Cell::default(),
            response: Cell::default(),
            response_seen: Cell::new(false),
            body: ResponseBody::default(),
            waiting: Cell::new(false),
            reply: RefCell::default(),
            replied: Cell::new(false),
            resume_request: Cell::new(false),
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

    fn members(r: Request<'_>, chain: &Chain, isolation: Isolation, stream: Stream) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::with_capacity(chain.filters.len());
        for filter in &chain.filters {
            let instance = match isolation {
                Isolation::None => worker::with(|worker| worker.roots(filter)).flatten(),
                Isolation::Filter => instantiate(r, std::slice::from_ref(filter)),
                Isolation::Stream => {
                    let same = members.iter().find(|m| m.filter.module.get() == filter.module.get());
                    match same {
                        Some(member) => member.context.as_ref().map(|(instance, _)| instance.clone()),
                        None => instantiate(r, &chain.of_module(filter)),
                    }
                }
            };
            let context = instance.and_then(|instance| {
                let context = instance.open(filter.id, stream)?;
                Some((instance, context))
            });
            members.push(Member { filter: filter.clone(), context, skipped: Cell::new(false) });
        }
        members
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
        let place = if step < Step::ResponseHeaders { &self.request } else { &self.response };
        let mut cursor = place.get().filter(|cursor| cursor.step() == step).unwrap_or_else(|| Cursor::new(step));
        while let Some(index) = cursor.next(self.members.len(), |index| self.members[index].skipped.get()) {
            let action = self.call(index, r, callback());
            // What was asked for during the call goes before what it answered.
            if let Some(flow) = self.pending() {
                return flow;
            }
            let resumed = self.resume_request.replace(false);
            let answer = if resumed { Action::Continue } else { action };
            let flow = cursor.answer(Answer::Action(answer));
            place.set(Some(cursor));
            if flow == chain::Flow::Wait && step < Step::ResponseHeaders {
                self.waiting.set(true);
                return Flow::Wait;
            }
            cursor.resume();
        }
        place.set(None);
        Flow::Next
    }

    fn call(&self, index: usize, r: Request<'_>, callback: Callback) -> Action {
        let member = &self.members[index];
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
        let name = &member.filter.config.name;
        match self.policy {
            FailurePolicy::Open => {
                error!(r.log(), "[proxy-wasm] \"{name}\" filter failed, the request goes on without it");
            }
            FailurePolicy::Closed => {
                error!(r.log(), "[proxy-wasm] \"{name}\" filter failed, the request ends");
                self.failed.set(true);
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
        if self.waiting.get() {
            self.resume_request.set(true);
            self.wake();
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

    pub(super) fn ask_to_continue(&self, part: StreamType) {
        if matches!(part, StreamType::Request | StreamType::Downstream) {
            self.resume_request.set(true);
            self.wake_if_waiting();
        }
    }

    pub(super) fn ask_to_close(&self) {
        self.closing.set(true);
        self.wake_if_waiting();
    }

    fn wake_if_waiting(&self) {
        if self.waiting.get() {
            self.wake();
        }
    }

    /// Goes on from the event loop: never from within a guest, never from within nginx's own frames.
    fn wake(&self) {
        let handle = self.handle;
        self.wake.get_or_init(|| Posted::new(move || super::phases::resume(handle))).post();
    }

    /// Whether the request was held and may go on now; the hold ends.
    pub(super) fn take_wake(&self) -> bool {
        let due = self.failed.get() || self.closing.get() || self.reply.borrow().is_some() || self.resume_request.get();
        if !self.waiting.get() || !due {
            return false;
        }
        self.waiting.set(false);
        if self.resume_request.replace(false) {
            self.request.set(self.request.get().map(|mut cursor| {
                cursor.resume();
                cursor
            }));
        }
        true
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
        self.waiting.set(false);
        let log = match r {
            Some(r) => r.log(),
            None => ngx::Log::cycle(),
        };
        for member in &self.members {
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

fn instantiate(r: Request<'_>, filters: &[Arc<Filter>]) -> Option<Rc<Instance>> {
    worker::with(|worker| worker.instantiate(filters, r.log())).and_then(Result::ok)
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.close(None);
    }
}
