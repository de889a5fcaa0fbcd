//! The port: what the ABI needs from the server around it. `src/http` implements it over nginx; the unit tests over
//! plain memory.

use std::time::Duration;

use super::abi::{BufferType, LogLevel, MapType, Status, StreamType};
use super::foreign::ForeignFunction;
use super::pairs::Pairs;
use crate::{metrics, raw};

/// One line of a filter's log.
#[derive(Clone, Copy, Debug)]
pub struct LogLine<'a> {
    pub level: LogLevel,
    /// The module's name.
    pub filter: &'a str,
    /// The number of the filter's root context; 0 during the start of a VM, before any filter is known.
    pub root: u32,
    pub message: &'a [u8],
}

/// An HTTP request that a guest sends.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a, S> {
    /// Not 0, and that of no other call of this VM. The answer names it: [`super::vm::Vm::http_call_response`].
    pub token: u32,
    /// The context that calls.
    pub context: u32,
    /// Its root; the same as `context` for a root.
    pub root: u32,
    /// Its stream, while there is one.
    pub stream: Option<S>,
    /// Where to, as the guest wrote it.
    pub upstream: &'a [u8],
    /// Pseudo headers included.
    pub headers: Pairs<'a>,
    pub body: &'a [u8],
    pub trailers: Pairs<'a>,
    /// How long the whole may take; zero is no limit of its own, as in Envoy.
    pub timeout: Duration,
}

/// A gRPC call or stream that a guest opens.
#[derive(Clone, Copy, Debug)]
pub struct GrpcCall<'a, S> {
    /// Not 0, and that of no other call of this VM. What comes names it: [`super::vm::Vm::grpc_event`].
    pub token: u32,
    /// The context that calls.
    pub context: u32,
    /// Its root; the same as `context` for a root.
    pub root: u32,
    /// Its stream, while there is one.
    pub stream: Option<S>,
    /// Where to: Envoy's `GrpcService` message, or a `host:port`, as the guest gave it.
    pub service: &'a [u8],
    /// The name of the service, its package included.
    pub service_name: &'a [u8],
    pub method: &'a [u8],
    pub metadata: Pairs<'a>,
    /// The one message of a call; `None` opens a stream.
    pub message: Option<&'a [u8]>,
    /// How long a call may take; `None` is no limit of its own.
    pub timeout: Option<Duration>,
}

/// What a VM needs of the worker that it runs in. One value for each VM.
pub trait Host: Send + 'static {
    type Stream: Stream;

    /// Writes a line for a stream (with its connection's log) or, without one, for the worker.
    fn log(&mut self, stream: Option<&Self::Stream>, line: LogLine<'_>);

    /// Writes a line of a raw function (see [`raw`]) at one of nginx's levels, 1 to 8.
    fn raw_log(&mut self, stream: Option<&Self::Stream>, level: u8, message: &[u8]);

    /// The least severe level that is written at all.
    fn log_level(&self, stream: Option<&Self::Stream>) -> LogLevel;

    /// Arms the tick of a root context anew, or stops it with `None`. The host calls back through
    /// [`super::vm::Vm::tick`], never before the running callback has returned.
    fn set_tick_period(&mut self, root: u32, period: Option<Duration>);

    /// What guests read as their environment, `NAME=VALUE`.
    fn environ(&self) -> &[Vec<u8>];

    // Shared data and queues. What is full answers [`Status::InternalFailure`], and is told in the log by the server.

    /// Appends the shared value of a key to `out`, and gives its cas, which is never 0.
    fn shared_value(&mut self, key: &[u8], out: &mut Vec<u8>) -> Result<u32, Status>;
    /// Sets a shared value, or deletes it with `None`; where `cas` is not 0, only if the key has that one.
    fn set_shared_value(&mut self, key: &[u8], value: Option<&[u8]>, cas: u32) -> Result<(), Status>;
    /// Makes or finds a queue, and a root context its receiver, which hears of items through
    /// [`super::vm::Vm::queue_ready`], never before the running callback has returned. Its token is never 0.
    fn register_queue(&mut self, root: u32, name: &[u8]) -> Result<u32, Status>;
    /// The token of a queue that was registered.
    fn resolve_queue(&mut self, name: &[u8]) -> Result<u32, Status>;
    fn enqueue(&mut self, queue: u32, item: &[u8]) -> Result<(), Status>;
    /// Takes the first item of a queue, and appends its bytes to `out`.
    fn dequeue(&mut self, queue: u32, out: &mut Vec<u8>) -> Result<(), Status>;

    /// The foreign functions of this server, beside those that need none.
    fn foreign_functions() -> &'static [&'static dyn ForeignFunction<Self>]
    where
        Self: Sized,
    {
        &[]
    }

    // Calls. What comes for one reaches the guest through the VM, never before the running callback has returned, and
    // only for a token that is not cancelled: the VM forgets it then. A VM that is dropped cancels what it still has.

    /// Sends an HTTP request. [`super::vm::Vm::http_call_response`] follows once, unless this is refused.
    ///
    /// # Errors
    /// SDKs know these and no others: [`Status::BadArgument`] for an upstream or headers that make no request,
    /// [`Status::InternalFailure`].
    fn http_call(&mut self, call: HttpCall<'_, Self::Stream>) -> Result<(), Status>;
    /// Makes a gRPC call, or opens a stream. [`super::vm::Vm::grpc_event`] follows, in the order of the events, unless
    /// this is refused. For a call these are one message, once its status is known to be good, or else one close.
    ///
    /// # Errors
    /// SDKs know these and no others: [`Status::ParseFailure`] for a service that is none, [`Status::InternalFailure`].
    fn grpc_call(&mut self, call: GrpcCall<'_, Self::Stream>) -> Result<(), Status>;
    /// Sends a message on a gRPC stream.
    ///
    /// # Errors
    /// SDKs know these and no others: [`Status::BadArgument`], [`Status::NotFound`].
    fn grpc_send(&mut self, token: u32, message: &[u8], end_of_stream: bool) -> Result<(), Status>;
    /// Ends a call of any kind without an answer: the context that made it is gone, or the guest cancelled it. An unknown
    /// token is fine.
    fn cancel_call(&mut self, token: u32);
    /// Ends the sending side of a gRPC stream; what the peer still sends comes as before. An unknown token is fine.
    fn close_call(&mut self, token: u32);

    /// Makes or finds a metric of this VM's module; its id, the same in every worker.
    fn define_metric(&mut self, kind: metrics::Kind, name: &[u8]) -> Result<u32, metrics::Refusal>;
    /// Sets a counter or gauge; adds a value to a histogram.
    fn record_metric(&self, id: u32, value: u64) -> Result<(), metrics::Refusal>;
    /// Adds to a counter or gauge.
    fn increment_metric(&self, id: u32, delta: i64) -> Result<(), metrics::Refusal>;
    /// Reads a counter or gauge.
    fn metric(&self, id: u32) -> Result<u64, metrics::Refusal>;
}

/// How properties are encoded for the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PropertyFormat {
    /// Text, as ngx_wasm_module has it.
    #[default]
    Strings,
    /// Envoy's: numbers, timestamps and durations 8 bytes little endian, booleans 1 byte, maps as pairs.
    Envoy,
}

/// A filter's answer in place of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    pub status: u32,
    /// Free text for the log; nginx sends its own reason phrase.
    pub details: Vec<u8>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Vec<u8>,
    /// −1 is none.
    pub grpc_status: i32,
}

/// A handle of one stream: an HTTP request here. Cheap to copy; a handle whose stream is gone answers
/// [`Status::NotFound`] to everything.
///
/// Nothing here may call back into a guest: what could make the server call a filter again (resume, close, a local
/// response) is noted and done after the outermost guest frame has returned.
///
/// Every map operation answers [`Status::BadArgument`] for a map that the stream's present phase does not have.
/// Names are compared without case.
pub trait Stream: raw::Response + Copy + Send + 'static {
    /// Calls `visit` with each name and value in order, pseudo headers first. Names may have upper case.
    fn for_each_pair(&self, map: MapType, visit: impl FnMut(&[u8], &[u8])) -> Result<(), Status>;
    /// Calls `visit` with the first value of `name`. [`Status::NotFound`] when there is none.
    fn pair(&self, map: MapType, name: &[u8], visit: impl FnOnce(&[u8])) -> Result<(), Status>;
    fn add_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status>;
    /// Leaves exactly one pair of that name.
    fn replace_pair(&self, map: MapType, name: &[u8], value: &[u8]) -> Result<(), Status>;
    /// Removes all pairs of that name; none is fine.
    fn remove_pair(&self, map: MapType, name: &[u8]) -> Result<(), Status>;
    /// Replaces all pairs but the pseudo headers that `pairs` does not name.
    fn set_pairs(&self, map: MapType, pairs: &Pairs<'_>) -> Result<(), Status>;

    /// The length of a body buffer. [`Status::NotFound`] when the phase has none.
    fn buffer_len(&self, buffer: BufferType) -> Result<usize, Status>;
    /// Copies `out.len()` bytes from `start`; the caller keeps within [`Stream::buffer_len`].
    fn read_buffer(&self, buffer: BufferType, start: usize, out: &mut [u8]) -> Result<(), Status>;
    /// Replaces `len` bytes from `start` (both within the buffer) by `data`.
    fn splice_buffer(&self, buffer: BufferType, start: usize, len: usize, data: &[u8]) -> Result<(), Status>;

    /// Appends a property's value to `out`. `path` has its segments parted by `.`.
    fn property(&self, path: &[u8], format: PropertyFormat, out: &mut Vec<u8>) -> Result<(), Status>;
    /// Whether a property of that path is the server's to give and to set, there or not. All others are the filter's
    /// to keep. Those that are maps are made of [`Stream::for_each_pair`] and not asked for here.
    fn names_property(path: &[u8]) -> bool;
    /// Sets a property that is the server's; `None` unsets.
    fn set_property(&self, path: &[u8], value: Option<&[u8]>) -> Result<(), Status>;
    fn property_format(&self) -> PropertyFormat;
    /// Calls `visit` with the path and the value, in the stream's format, of every property that the server has for it.
    fn for_each_property(&self, visit: impl FnMut(&[u8], &[u8]));

    /// Stashes the response; it is sent when the running callback has returned.
    fn send_local_response(&self, response: LocalResponse) -> Result<(), Status>;
    fn continue_stream(&self, part: StreamType) -> Result<(), Status>;
    fn close_stream(&self, part: StreamType) -> Result<(), Status>;
    /// The last call that its filter waited for has been answered: whatever the filter has paused goes on, once
    /// the VM has returned. One that has answered or resumed by itself is not affected.
    fn calls_answered(&self);
}
