//! Calls in a chain: raw functions, and the response that they make.

use std::cell::{Cell, RefCell};

use ngx::http::Request;

use super::{Exchange, Flow, Stage, member};
use crate::http::Stream;
use crate::proxy_wasm::chain::Step;
use crate::proxy_wasm::host::LocalResponse;
use crate::proxy_wasm::vm::Callback;
use crate::raw::{Answer, Phase, Running};

/// The most bytes that a request's functions may say.
const MOST_SAID: usize = 16 << 20;

/// What the functions of the running phase want to be answered.
#[derive(Default)]
pub(super) struct Wanted {
    answer: RefCell<Option<LocalResponse>>,
    /// The lines; `None` when nothing was said at all.
    said: RefCell<Option<Vec<u8>>>,
    /// What was said of a response that is there, to be sent between its header and its body.
    before_body: RefCell<Vec<u8>>,
    /// The reason phrase of the answer that is sent.
    reason: RefCell<Vec<u8>>,
    /// Phases that have begun, as bits: each runs once.
    begun: Cell<u8>,
}

impl Wanted {
    /// The phase has ended in another way.
    fn forget(&self) {
        self.answer.take();
        self.said.take();
    }
}

impl Exchange {
    /// Whether the chain has a call in this phase, and the phase has not been.
    pub(in crate::http) fn calls_wait_for(&self, phase: Phase) -> bool {
        self.wanted.begun.get() & bit(phase) == 0 && self.has_calls(phase)
    }

    pub(in crate::http) fn has_calls(&self, phase: Phase) -> bool {
        self.members.iter().any(|member| member.call_in(phase).is_some())
    }

    /// From now on the calls of a phase wait no more.
    pub(in crate::http) fn begin_phase(&self, phase: Phase) {
        self.wanted.begun.set(self.wanted.begun.get() | bit(phase));
    }

    /// The request has its answer: an error page, or whatever else is made of it, goes through no phase again.
    pub(in crate::http) fn skip_phases(&self) {
        self.stage.set(Stage::Passed);
        self.wanted.forget();
        [Phase::Rewrite, Phase::Access, Phase::Content].into_iter().for_each(|phase| self.begin_phase(phase));
    }

    /// Runs the calls of a phase in which no filter runs.
    pub(in crate::http) fn run_calls(&self, r: Request<'_>, phase: Phase) -> Flow {
        self.begin_phase(phase);
        for index in 0..self.members.len() {
            self.run_call(index, r, phase);
            if let Some(flow) = self.pending() {
                self.wanted.forget();
                return flow;
            }
        }
        self.end_phase(phase)
    }

    /// Runs the phase in which filters see the request's headers.
    pub(in crate::http) fn see_headers(&self, r: Request<'_>, callback: impl Fn() -> Callback) -> Flow {
        self.begin_phase(self.home.phase());
        self.run_phase(r, Step::RequestHeaders, callback)
    }

    /// Runs a step of the chain that is a phase of calls as well.
    pub(in crate::http) fn run_phase(&self, r: Request<'_>, step: Step, callback: impl Fn() -> Callback) -> Flow {
        let phase = if step == Step::ResponseHeaders { Phase::HeaderFilter } else { self.home.phase() };
        match self.run(r, step, callback) {
            Flow::Next => self.end_phase(phase),
            Flow::Wait => Flow::Wait,
            flow => {
                self.wanted.forget();
                flow
            }
        }
    }

    /// Ends a phase: what its calls have said is the response, or a part of the one that is there.
    fn end_phase(&self, phase: Phase) -> Flow {
        let (answer, said) = (self.wanted.answer.take(), self.wanted.said.take());
        let answer = match (answer, said) {
            (None, Some(lines)) if phase == Phase::HeaderFilter => {
                self.wanted.before_body.replace(lines);
                None
            }
            (None, Some(lines)) => {
                let status = self.early.edits.borrow().status.unwrap_or(200);
                Some(response(status, &[], lines))
            }
            (answer, _) => answer,
        };
        match answer {
            Some(answer) => {
                self.wanted.reason.borrow_mut().clone_from(&answer.details);
                self.stash_reply(answer);
                self.pending().unwrap_or(Flow::Next)
            }
            None => Flow::Next,
        }
    }

    /// What calls have said of the response whose header is sent now.
    pub(in crate::http) fn take_before_body(&self) -> Vec<u8> {
        self.wanted.before_body.take()
    }

    /// The reason phrase for the response that is sent, when a call gave one.
    pub(in crate::http) fn take_reason(&self) -> Vec<u8> {
        self.wanted.reason.take()
    }

    /// Runs the call at `index`, if it is one of this phase.
    pub(super) fn run_call(&self, index: usize, r: Request<'_>, phase: Phase) {
        let Some(member) = self.members.get(index).filter(|member| !member.skipped.get()) else { return };
        let Some(call) = member.call_in(phase) else { return };
        let running = Running { stream: Stream::new(self.handle, index), phase };
        let done = member::of_call(r, &self.members, index, self.isolation)
            .is_some_and(|vm| vm.call_function(call.index, running, self.limit, r.log()).is_ok());
        if !done {
            self.member_failed(index, r);
        }
    }

    /// The phase that a callback of filters is a part of.
    pub(super) fn phase_of(&self, callback: Callback) -> Option<Phase> {
        match callback {
            Callback::RequestHeaders { .. } => Some(self.home.phase()),
            Callback::ResponseHeaders { .. } => Some(Phase::HeaderFilter),
            Callback::ResponseBody { .. } => Some(Phase::BodyFilter),
            _ => None,
        }
    }

    /// Adds a line to what the phase answers.
    pub(in crate::http) fn say(&self, line: &[u8]) -> Result<(), &'static str> {
        let mut said = self.wanted.said.borrow_mut();
        let said = said.get_or_insert_default();
        if said.len() + line.len() >= MOST_SAID {
            return Err("the response is too large");
        }
        said.extend_from_slice(line);
        if !line.is_empty() {
            said.push(b'\n');
        }
        Ok(())
    }

    /// Stashes what the phase answers, unless something is stashed.
    pub(in crate::http) fn stash_answer(&self, answer: Answer<'_>) {
        let mut stashed = self.wanted.answer.borrow_mut();
        stashed.get_or_insert_with(|| response(answer.status, answer.reason, answer.body.to_vec()));
    }

    pub(in crate::http) fn discard_answer(&self) {
        self.wanted.answer.take();
    }

    /// Sets the status of the response that is there, or of the one that is to come.
    pub(in crate::http) fn set_status(&self, r: Request<'_>, status: u16) -> Result<(), &'static str> {
        if r.header_sent() {
            return Err("the response header was sent");
        }
        let set = if self.early.is_over() {
            r.set_response_status(status)
        } else {
            r.check_response_status(status).map(|()| self.early.edits.borrow_mut().status = Some(status))
        };
        set.map_err(|_| "this response cannot have another status")
    }

    pub(in crate::http) fn status(&self, r: Request<'_>) -> u16 {
        let early = if self.early.is_over() { None } else { self.early.edits.borrow().status };
        early.unwrap_or_else(|| r.status())
    }
}

fn response(status: u16, reason: &[u8], body: Vec<u8>) -> LocalResponse {
    let details = reason.to_vec();
    LocalResponse { status: status.into(), details, headers: Vec::new(), body, grpc_status: -1 }
}

fn bit(phase: Phase) -> u8 {
    1 << phase as u8
}
