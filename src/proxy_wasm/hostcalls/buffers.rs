//! Buffers (spec v0.2.1, "Buffers").

use std::sync::Arc;

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::{BufferType, Status};
use crate::proxy_wasm::calls::Answer;
use crate::proxy_wasm::host::{Host, Stream};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::vm::{FilterConfig, VmConfig};

/// A buffer that can be read.
enum Source<S> {
    Body(S, BufferType),
    Vm(Arc<VmConfig>),
    Plugin(Arc<FilterConfig>),
    Foreign(Arc<[u8]>),
    Answer(Arc<Answer>, BufferType),
}

impl<S: Stream> Source<S> {
    /// The buffer that a guest means; [`Status::NotFound`] when there is none now.
    fn new<H: Host<Stream = S>>(state: &State<H>, buffer: u32) -> Result<Self, Status> {
        match BufferType::from_abi(buffer).ok_or(Status::BadArgument)? {
            kind @ (BufferType::RequestBody | BufferType::ResponseBody) => {
                Ok(Self::Body(state.stream().ok_or(Status::NotFound)?, kind))
            }
            BufferType::VmConfiguration => Ok(Self::Vm(Arc::clone(&state.config))),
            BufferType::PluginConfiguration => Ok(Self::Plugin(Arc::clone(state.filter().ok_or(Status::NotFound)?))),
            BufferType::ForeignCall => Ok(Self::Foreign(state.foreign.clone().ok_or(Status::NotFound)?)),
            kind @ (BufferType::CallResponseBody | BufferType::GrpcMessage) => {
                let answer = state.answer.as_ref().filter(|answer| answer.bytes(kind).is_some());
                Ok(Self::Answer(Arc::clone(answer.ok_or(Status::NotFound)?), kind))
            }
            BufferType::DownstreamData | BufferType::UpstreamData => Err(Status::NotFound),
        }
    }

    fn len(&self) -> Result<usize, Status> {
        match self {
            Self::Body(stream, kind) => stream.buffer_len(*kind),
            Self::Vm(config) => Ok(config.config.len()),
            Self::Plugin(filter) => Ok(filter.config.len()),
            Self::Foreign(data) => Ok(data.len()),
            Self::Answer(answer, kind) => answer.bytes(*kind).map(<[u8]>::len).ok_or(Status::NotFound),
        }
    }

    /// Fills `out` from `start`. The buffer may have changed since it was measured: the guest's allocator has run.
    fn read(&self, start: usize, out: &mut [u8]) -> Result<(), Status> {
        let end = start.checked_add(out.len()).filter(|end| self.len().is_ok_and(|len| *end <= len));
        let end = end.ok_or(Status::InternalFailure)?;
        let bytes = match self {
            Self::Body(stream, kind) => return stream.read_buffer(*kind, start, out),
            Self::Vm(config) => config.config.get(start..end),
            Self::Plugin(filter) => filter.config.get(start..end),
            Self::Foreign(data) => data.get(start..end),
            Self::Answer(answer, kind) => answer.bytes(*kind).and_then(|bytes| bytes.get(start..end)),
        };
        out.copy_from_slice(bytes.ok_or(Status::InternalFailure)?);
        Ok(())
    }
}

/// A buffer that can be written: the bodies.
fn body(buffer: u32) -> Result<BufferType, Status> {
    match BufferType::from_abi(buffer).ok_or(Status::BadArgument)? {
        kind @ (BufferType::RequestBody | BufferType::ResponseBody) => Ok(kind),
        BufferType::DownstreamData | BufferType::UpstreamData => Err(Status::NotFound),
        BufferType::CallResponseBody
        | BufferType::GrpcMessage
        | BufferType::VmConfiguration
        | BufferType::PluginConfiguration
        | BufferType::ForeignCall => Err(Status::BadArgument),
    }
}

/// The part of a buffer of `len` bytes that `start` and `size` of a guest mean: both are clamped.
fn clamp(len: usize, start: u32, size: u32) -> (usize, usize) {
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(len);
    let size = usize::try_from(size).unwrap_or(usize::MAX).min(len - start);
    (start, size)
}

hostcalls! {
    /// Up to `max_size` bytes from `start`; past the end there are none, which is no error.
    V0_1_0 fn proxy_get_buffer_bytes(
        caller, buffer: u32, start: u32, max_size: u32, return_data: u32, return_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let source = Source::new(state, buffer)?;
        let out = Out::new(memory, return_data, return_size)?;
        let (start, size) = clamp(source.len()?, start, max_size);
        out.give(caller, size, |room, _| Ok(source.read(start, room)?))
    };

    /// The length of a buffer. Its flags have no meaning in any version and are 0.
    V0_1_0 fn proxy_get_buffer_status(caller, buffer: u32, return_size: u32, return_flags: u32) Status {
        let (memory, state) = caller.split();
        let source = Source::new(state, buffer)?;
        memory::check(memory, return_flags, 4)?;
        let size = u32::try_from(source.len()?).map_err(|_| Status::InternalFailure)?;
        memory::write_u32(memory, return_size, size)?;
        Ok(memory::write_u32(memory, return_flags, 0)?)
    };

    /// Replaces `size` bytes from `start` by others: with both 0 it prepends, from the end on it appends, and
    /// whatever reaches past the end is clamped. Only bodies can be written.
    V0_1_0 fn proxy_set_buffer_bytes(
        caller, buffer: u32, start: u32, size: u32, value_data: u32, value_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let kind = body(buffer)?;
        let value = memory::bytes(memory, value_data, value_size)?;
        let stream = state.stream().ok_or(Status::NotFound)?;
        let (start, size) = clamp(stream.buffer_len(kind)?, start, size);
        Ok(stream.splice_buffer(kind, start, size, value)?)
    };
}
