//! What lives in a guest's store: all that a host function can reach.

use std::sync::Arc;

use super::abi::{LogLevel, Status, Version};
use super::context::{Contexts, Scope, Stage};
use super::host::{Host, LogLine};
use super::snapshot::View;
use super::vm::{FilterConfig, VmConfig, VmKind};
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
    /// The context that the running callback is for; 0 is none.
    current: u32,
    /// The context that host functions act on.
    effective: Option<Scope<H::Stream>>,
    /// Whether a root is being created or configured: what `proxy_get_configuration` answers depends on it.
    pub configuring: bool,
    /// What a foreign function has answered, while `proxy_on_foreign_function` runs.
    pub foreign: Option<Arc<[u8]>>,
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
            current: 0,
            effective: None,
            configuring: false,
            foreign: None,
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
        self.current = 0;
        self.effective = None;
        self.configuring = false;
        self.foreign = None;
    }

    /// Forgets the streams that came and went, as if there had been none. False while there is one, or when a root has
    /// changed.
    pub(super) fn rewind(&mut self) -> bool {
        self.finished.clear();
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

fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.shrink_to(SCRATCH_KEPT);
    buffer
}
