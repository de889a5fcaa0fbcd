//! What lives in a guest's store: all that a host function can reach.

use std::sync::Arc;

use super::abi::{LogLevel, MapType, Status, Version};
use super::calls::{Answer, Call, Calls, Content};
use super::context::{Contexts, Scope, Stage};
use super::host::{Host, LogLine, Stream as _};
use super::snapshot::View;
use super::vm::{Fields, FilterConfig, VmConfig, VmKind};
use crate::raw::Running;
use crate::wasi::Stdio;

/// Scratch space above this many bytes is given back after use.
const SCRATCH_KEPT: usize = 64 << 10;

/// The host data of one VM.
pub struct State<H: Host> {
    pub host: H,
    pub contexts: Contexts<H::Stream>,
    pub config: Arc<VmConfig>,
    pub version: Version,
    pub kind: VmKind,
    /// Lines that a guest has begun to write through WASI.
    pub stdio: Stdio,
    /// The raw function that runs, if it is one: host functions have no context then.
    pub raw: Option<Running<H::Stream>>,
    /// The context that the running callback is for; 0 is none.
    current: u32,
    /// The context that host functions act on.
    effective: Option<Scope<H::Stream>>,
    /// Whether a root is being created or configured: what `proxy_get_configuration` answers depends on it.
    pub configuring: bool,
    /// What a foreign function has answered, while `proxy_on_foreign_function` runs.
    pub foreign: Option<Arc<[u8]>>,
    /// The calls that are being made.
    pub calls: Calls,
    /// What has come for one of them, while its callback runs.
    pub answer: Option<Arc<Answer>>,
    /// The code of the last answer's status.
    last_code: u32,
    /// Contexts for which `proxy_done` was called, to be deleted when the running callback has returned.
    finished: Vec<u32>,
    scratch: Vec<u8>,
    path: Vec<u8>,
}

impl<H: Host> State<H> {
    pub fn new(host: H, config: Arc<VmConfig>, version: Version, kind: VmKind) -> Self {
        Self {
            host,
            contexts: Contexts::new(),
            config,
            version,
            kind,
            stdio: Stdio::default(),
            raw: None,
            current: 0,
            effective: None,
            configuring: false,
            foreign: None,
            calls: Calls::default(),
            answer: None,
            last_code: 0,
            finished: Vec::new(),
            scratch: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Begins a callback for a context. [`State::leave`] ends it; only `program` calls either.
    #[inline]
    pub(super) fn enter(&mut self, context: u32) -> Option<Stage> {
        let (scope, stage) = self.contexts.scope(context)?;
        self.current = context;
        self.effective = Some(scope);
        Some(stage)
    }

    /// Between two callbacks for the same context: the effect of `proxy_set_effective_context` ends.
    pub(super) fn reset_effective(&mut self) {
        if self.effective.as_ref().is_some_and(|scope| scope.context != self.current) {
            self.effective = self.contexts.scope(self.current).map(|(scope, _)| scope);
        }
    }

    #[inline]
    pub(super) fn leave(&mut self) {
        if !self.stdio.is_empty() {
            self.flush_stdio();
        }
        self.raw = None;
        self.current = 0;
        self.effective = None;
        self.configuring = false;
        self.foreign = None;
        self.answer = None;
    }

    /// Forgets the streams that came and went, as if there had been none, and cancels all calls. Tokens go on: an answer
    /// that is late must not meet a new call. False while there is a stream, or when a root has changed.
    pub(super) fn rewind(&mut self) -> bool {
        self.finished.clear();
        self.cancel_all_calls();
        self.last_code = 0;
        self.contexts.rewind()
    }

    /// The context that host functions act on; none during the start of a VM.
    pub fn effective(&self) -> Option<&Scope<H::Stream>> {
        self.effective.as_ref()
    }

    /// The stream that host functions act on.
    pub fn stream(&self) -> Option<H::Stream> {
        self.effective.as_ref()?.stream
    }

    /// What host functions read of the stream: of itself, or of what it was.
    pub fn view(&self) -> Option<View<'_, H::Stream>> {
        let scope = self.effective.as_ref()?;
        match scope.stream {
            Some(stream) => Some(View::Live(stream)),
            None => self.contexts.snapshot(scope.context).map(View::Ended),
        }
    }

    /// The filter that host functions act for.
    pub fn filter(&self) -> Option<&Arc<FilterConfig>> {
        self.contexts.filter(self.effective.as_ref()?)
    }

    /// Makes another context the effective one until the running callback returns. One of which the guest has not
    /// heard is unknown to it.
    pub fn set_effective(&mut self, context: u32) -> Result<(), Status> {
        match self.contexts.scope(context) {
            Some((scope, stage)) if stage != Stage::Reserved => {
                self.effective = Some(scope);
                Ok(())
            }
            _ => Err(Status::BadArgument),
        }
    }

    /// Ends the wait of the effective context after its `on_done` has answered false.
    pub fn done(&mut self) -> Result<(), Status> {
        let id = self.effective.as_ref().ok_or(Status::NotFound)?.context;
        if self.contexts.stage(id) != Some(Stage::Pending) {
            return Err(Status::NotFound);
        }
        self.contexts.set_stage(id, Stage::Finished);
        self.finished.push(id);
        Ok(())
    }

    /// Forgets a context, and cancels its calls.
    pub(super) fn remove(&mut self, context: u32) {
        self.cancel_calls(context);
        self.contexts.remove(context);
    }

    /// Forgets the stream of a context, and cancels its calls.
    pub(super) fn detach(&mut self, context: u32) {
        self.cancel_calls(context);
        self.contexts.detach(context);
    }

    fn cancel_calls(&mut self, context: u32) {
        while let Some(token) = self.calls.first_of(context) {
            self.cancel_call(token);
        }
    }

    pub(super) fn cancel_all_calls(&mut self) {
        while let Some(token) = self.calls.first() {
            self.cancel_call(token);
        }
    }

    /// Ends a call without an answer.
    pub fn cancel_call(&mut self, token: u32) {
        self.calls.remove(token);
        self.host.cancel_call(token);
    }

    /// Who makes a call: the effective context. While an answer is given as the root's, and the guest has named no other
    /// context, it is the one that is answered: a call that follows from another is of the same context.
    pub fn caller(&self) -> Option<Scope<H::Stream>> {
        let scope = self.effective?;
        match &self.answer {
            Some(answer) if scope.context == self.current => {
                self.contexts.scope(answer.call.context).map(|(scope, _)| scope)
            }
            _ => Some(scope),
        }
    }

    /// Takes what has come for a call, for its callback; `None` when it is nobody's.
    pub(super) fn take_answer(&mut self, token: u32, content: Content) -> Option<Arc<Answer>> {
        let call = self.calls.get(token)?;
        let answer = Arc::new(Answer::new(call, content.fit(call.kind)?));
        if answer.last {
            self.calls.remove(token);
        }
        self.last_code = answer.code;
        self.answer = Some(Arc::clone(&answer));
        Some(answer)
    }

    /// After the callback of an answer: the filter that has waited for it goes on, unless it waits for another.
    pub(super) fn calls_answered(&self, call: Call) {
        if call.kind.is_awaited()
            && !self.calls.awaited_by(call.context)
            && let Some((scope, _)) = self.contexts.scope(call.context)
            && let Some(stream) = scope.stream
        {
            stream.calls_answered();
        }
    }

    /// A map of the answer whose callback runs.
    pub fn answered_fields(&self, map: MapType) -> Option<&Fields> {
        self.answer.as_ref()?.fields(map)
    }

    /// Code and message of the answer whose callback runs; of the last one the code, without a message, otherwise.
    pub fn call_status(&self) -> (u32, &str) {
        self.answer.as_ref().map_or((self.last_code, ""), |answer| (answer.code, &answer.message))
    }

    /// Whether deletions are due.
    pub(super) fn has_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    pub(super) fn take_finished(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.finished)
    }

    /// Writes a line to the log of the effective context.
    pub fn log(&mut self, level: LogLevel, message: &[u8]) {
        let scope = self.effective.as_ref();
        let root = scope.map_or(0, |scope| scope.root);
        let line = LogLine { level, filter: &self.config.name, root, message };
        self.host.log(scope.and_then(|scope| scope.stream.as_ref()), line);
    }

    #[cold]
    fn flush_stdio(&mut self) {
        let mut stdio = std::mem::take(&mut self.stdio);
        stdio.flush(|level, line| self.log(level, line));
        self.stdio = stdio;
    }

    /// An empty buffer that has kept its room. A host function that takes it gives it back; one that runs while it
    /// is taken (the guest's allocator may call us) gets another.
    pub(super) fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    pub(super) fn give_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = emptied(scratch);
    }

    /// The same, for the path of a property.
    pub(super) fn take_path(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.path)
    }

    pub(super) fn give_path(&mut self, path: Vec<u8>) {
        self.path = emptied(path);
    }
}

impl<H: Host> Drop for State<H> {
    fn drop(&mut self) {
        self.cancel_all_calls();
    }
}

fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(SCRATCH_KEPT);
    buffer
}
