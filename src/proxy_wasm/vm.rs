//! Instances: their start, their contexts, their end; the one `dyn` seam between nginx and the engines.

use std::sync::Arc;
use std::time::Duration;

use super::abi::Action;
use super::host::Host;
use crate::raw::Running;

bitflags::bitflags! {
    /// The optional stream callbacks that a module exports.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Callbacks: u32 {
        const REQUEST_HEADERS = 1;
        const REQUEST_BODY = 1 << 1;
        const REQUEST_TRAILERS = 1 << 2;
        const RESPONSE_HEADERS = 1 << 3;
        const RESPONSE_BODY = 1 << 4;
        const RESPONSE_TRAILERS = 1 << 5;
        const TICK = 1 << 6;
    }
}

/// One `proxy_wasm` line: a module with a configuration of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct FilterConfig {
    /// The module's name: `plugin_name`, and FILTER in log lines.
    pub name: String,
    /// `plugin_root_id`.
    pub root_id: Vec<u8>,
    /// The plugin configuration.
    pub config: Vec<u8>,
}

/// How long a context may wait for `proxy_done` after its `on_done` has answered false.
pub const DONE_PATIENCE: Duration = Duration::from_secs(60);

/// How many contexts of a VM may wait for `proxy_done` at a time. What each of them keeps is as large as its headers.
pub const MAX_WAITING: usize = 10_000;

/// Settings that hold for all instances of a module.
#[derive(Clone, Debug)]
pub struct VmConfig {
    /// The module's name.
    pub name: String,
    /// The VM configuration, given to `proxy_on_vm_start`.
    pub config: Vec<u8>,
    /// For start, `proxy_on_vm_start` and `proxy_on_configure`; `None` is no limit.
    pub start_limit: Option<Duration>,
    /// How long a context may wait for `proxy_done`: [`DONE_PATIENCE`].
    pub done_patience: Duration,
    /// The functions that `wasm_call` lines name.
    pub functions: Vec<String>,
}

/// Which start a VM gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmKind {
    /// A worker's own VM of a module, the home of its root contexts: `proxy_on_vm_start` and `proxy_on_configure`,
    /// ticks are armed.
    Root,
    /// Made for one request: roots get create and `proxy_on_configure` only, and arm nothing.
    Stream,
}

/// Why a filter did not start. Its text ends the line `failed initializing "a" filter (…)`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("start failure")]
    Start(engines::Trap),
    #[error("on_context_create failure")]
    Create(engines::Trap),
    /// `None`: the guest answered false.
    #[error("on_vm_start failure")]
    VmStart(Option<engines::Trap>),
    #[error("on_configure failure")]
    Configure(Option<engines::Trap>),
}

impl StartError {
    /// The trap behind it, if it was one.
    pub fn trap(&self) -> Option<&engines::Trap> {
        match self {
            Self::Start(t) | Self::Create(t) => Some(t),
            Self::VmStart(t) | Self::Configure(t) => t.as_ref(),
        }
    }
}

/// Why a module cannot be a filter. The texts are those of directives.md.
#[derive(Debug, thiserror::Error)]
pub enum AbiError {
    #[error("failed loading \"{0}\" filter (unknown ABI version)")]
    UnknownVersion(String),
    #[error("failed loading \"{0}\" filter (incompatible ABI version)")]
    IncompatibleVersion(String),
    #[error("\"{0}\" filter missing malloc (incompatible SDK interface)")]
    MissingMalloc(String),
    #[error("\"{0}\" filter missing one of: {1} (incompatible SDK interface)")]
    MissingOneOf(String, &'static str),
}

/// A callback of a stream context, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callback {
    RequestHeaders { count: u32, end_of_stream: bool },
    RequestBody { size: u32, end_of_stream: bool },
    RequestTrailers { count: u32 },
    ResponseHeaders { count: u32, end_of_stream: bool },
    ResponseBody { size: u32, end_of_stream: bool },
    ResponseTrailers { count: u32 },
}

impl Callback {
    /// Which of the optional callbacks it is.
    pub fn kind(self) -> Callbacks {
        match self {
            Self::RequestHeaders { .. } => Callbacks::REQUEST_HEADERS,
            Self::RequestBody { .. } => Callbacks::REQUEST_BODY,
            Self::RequestTrailers { .. } => Callbacks::REQUEST_TRAILERS,
            Self::ResponseHeaders { .. } => Callbacks::RESPONSE_HEADERS,
            Self::ResponseBody { .. } => Callbacks::RESPONSE_BODY,
            Self::ResponseTrailers { .. } => Callbacks::RESPONSE_TRAILERS,
        }
    }
}

/// Names and values, in order.
pub type Fields = Vec<(Box<[u8]>, Box<[u8]>)>;

/// What came of an HTTP call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallResponse {
    /// `:status` first; of a failure `:dispatch_status`, and nothing else.
    pub headers: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    /// Why there is no response. The guest is told of no headers, no body and no trailers then.
    pub failure: Option<CallFailure>,
}

/// Why a call has no response, for `proxy_get_status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFailure {
    /// Not 0.
    pub code: u32,
    pub message: Vec<u8>,
}

impl CallResponse {
    /// A failure, of which the guest reads `why` in `:dispatch_status` and as the message of the status.
    pub fn failed(code: u32, why: &str) -> Self {
        let why = why.as_bytes();
        let headers = vec![(Box::from(*b":dispatch_status"), Box::from(why))];
        Self { headers, failure: Some(CallFailure { code, message: why.to_vec() }), ..Self::default() }
    }
}

/// What comes of a gRPC call or stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcEvent {
    InitialMetadata(Fields),
    Message(Vec<u8>),
    TrailingMetadata(Fields),
    /// The end, with the peer's status and message; for a call only if it has failed.
    Close {
        status: u32,
        message: Vec<u8>,
    },
}

/// A module compiled and linked against the Proxy-Wasm host, for one engine. Made in the master, shared by workers.
pub trait Program<H: Host>: Send + Sync {
    fn engine(&self) -> &'static str;
    fn name(&self) -> &str;
    fn callbacks(&self) -> Callbacks;
    /// Whether the module can be a filter at all.
    fn check_abi(&self) -> Result<(), AbiError>;
    /// Whether the module has the function at that index of [`VmConfig::functions`].
    fn has_function(&self, index: usize) -> bool;
    /// Makes an instance and starts it (`_initialize`, `main`; or `_start`).
    fn start(self: Arc<Self>, host: H, kind: VmKind) -> Result<Box<dyn Vm<H>>, StartError>;
}

/// A running instance with its contexts.
///
/// After any trap the VM is dead: every further call answers [`VmError::Dead`], and the owner replaces it. Streams
/// that held a context in it are told by [`Vm::streams`].
pub trait Vm<H: Host> {
    /// Creates a root context for a filter and starts it: create, `on_vm_start` (first root of a [`VmKind::Root`]
    /// VM and each further one, as Envoy does for each root), `on_configure`. Returns its id.
    fn add_root(&mut self, filter: Arc<FilterConfig>) -> Result<u32, StartError>;

    /// Reserves a stream context under `root`. The guest hears of it with the first callback that needs it.
    fn open(&mut self, root: u32, stream: H::Stream) -> u32;

    /// Runs a callback of a stream context within `limit`. A callback that the module does not export continues.
    fn call(&mut self, context: u32, callback: Callback, limit: Option<Duration>) -> Result<Action, VmError>;

    /// Runs the raw function at that index of [`VmConfig::functions`] within `limit`, without a context.
    fn call_function(
        &mut self,
        index: usize,
        running: Running<H::Stream>,
        limit: Option<Duration>,
    ) -> Result<(), VmError>;

    /// The end of a stream: `on_done`, `on_log`, `on_delete`, each once, if the context was ever created. The handle
    /// is forgotten: nothing of this stream is touched after it.
    ///
    /// When `on_done` answers false the rest is put off until `proxy_done`, and what the stream was is kept for so long.
    /// `Some`: [`Vm::expire`] is to be called after that time, unless it is to be called anyway.
    fn close(&mut self, context: u32, limit: Option<Duration>) -> Result<Option<Duration>, VmError>;

    /// Deletes the contexts that have waited for `proxy_done` too long. `Some`: more wait, call again after that time.
    fn expire(&mut self, limit: Option<Duration>) -> Result<Option<Duration>, VmError>;

    /// Gives a context the answer of a foreign function that it called before: `proxy_on_foreign_function`, with the
    /// function's own number. Never while a callback runs.
    fn foreign_function(
        &mut self,
        context: u32,
        function: u32,
        answer: Arc<[u8]>,
        limit: Option<Duration>,
    ) -> Result<(), VmError>;

    /// Gives the answer of an HTTP call to the guest, as the root of the context that made it; then, unless that context
    /// waits for another, [`super::host::Stream::calls_answered`] of its stream. Never while a callback runs. The answer of
    /// a call that is not being made (any more) is dropped.
    fn http_call_response(
        &mut self,
        token: u32,
        response: CallResponse,
        limit: Option<Duration>,
    ) -> Result<(), VmError>;

    /// Gives what has come of a gRPC call to the guest, in the same way. The message of a call ends it, as a close does;
    /// its metadata is dropped, as in Envoy. Streams are waited for by nobody.
    fn grpc_event(&mut self, token: u32, event: GrpcEvent, limit: Option<Duration>) -> Result<(), VmError>;

    /// Whether calls of this context are being made, of any kind: what it holds is not given up then.
    fn has_calls(&mut self, context: u32) -> bool;

    /// Forgets a stream's handle without a word to the guest (its request is gone, or its instance died). Its calls are
    /// cancelled.
    fn detach(&mut self, context: u32);

    /// Runs `on_tick` of a root context.
    fn tick(&mut self, root: u32, limit: Option<Duration>) -> Result<(), VmError>;

    /// Runs `on_queue_ready` of a root context.
    fn queue_ready(&mut self, root: u32, queue: u32, limit: Option<Duration>) -> Result<(), VmError>;

    /// Remembers the VM as it is now, its roots configured and without streams, for [`Vm::rewind`]. False when its
    /// engine cannot do that for this module.
    fn remember(&mut self) -> bool;

    /// Puts the VM back to what was remembered: nothing of the streams that it has served is left in it. The bytes that
    /// are held for it; `None` when it cannot be, and is of no use any more.
    fn rewind(&mut self) -> Option<usize>;

    /// The handles of all streams that hold a created context here.
    fn streams(&mut self) -> Vec<H::Stream>;

    /// False once it has trapped.
    fn alive(&self) -> bool;

    /// Linear memory held, in bytes.
    fn memory_size(&mut self) -> usize;
}

/// Why a callback did not run to its end.
#[derive(Debug)]
pub enum VmError {
    /// It trapped; the instance is dead from now on.
    Trap(engines::Trap),
    /// The instance had died before.
    Dead,
    /// No such context, or no such function.
    NoContext,
}
