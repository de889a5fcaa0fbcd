//! HTTP and gRPC calls (spec v0.2.1, "HTTP calls" and "gRPC calls").
//!
//! A token is in guest memory before the host is asked, so that nothing is begun whose answer nobody would know. In an
//! instance made for one request a root's calls are not made, as its ticks are not: nobody would be there for the
//! answer.

use std::time::Duration;

use super::{Out, hostcalls};
use crate::proxy_wasm::abi::{LogLevel, Status};
use crate::proxy_wasm::calls::{Call, Kind, MAX_CALLS};
use crate::proxy_wasm::context::Scope;
use crate::proxy_wasm::host::{GrpcCall, Host, HttpCall};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::pairs::Pairs;
use crate::proxy_wasm::state::State;
use crate::proxy_wasm::vm::VmKind;

/// Makes a call for `caller` with what `ask` asks the host for.
fn make<H: Host>(
    state: &mut State<H>,
    caller: Scope<H::Stream>,
    token: u32,
    kind: Kind,
    ask: impl FnOnce(&mut H) -> Result<(), Status>,
) -> Result<(), Status> {
    if state.kind == VmKind::Stream && caller.context == caller.root {
        return Ok(());
    }
    if state.calls.is_full() {
        if state.calls.first_overflow() {
            let line = format!("a call is refused: {MAX_CALLS} others are being made");
            state.log(LogLevel::Error, line.as_bytes());
        }
        return Err(Status::InternalFailure);
    }
    ask(&mut state.host)?;
    state.calls.add(Call { token, context: caller.context, kind });
    Ok(())
}

/// A gRPC call that the guest may act on, and whether it is over already: the one that is being answered is known to
/// the end of its callback, since SDKs take no status but OK there.
fn grpc_call<H: Host>(state: &State<H>, token: u32) -> Result<(Kind, bool), Status> {
    let living = state.calls.get(token).map(|call| (call, false));
    let answered = || state.answer.as_ref().filter(|answer| answer.last).map(|answer| (answer.call, true));
    let found = living.or_else(answered).filter(|(call, _)| call.token == token && call.kind != Kind::Http);
    found.map(|(call, over)| (call.kind, over)).ok_or(Status::NotFound)
}

hostcalls! {
    /// Sends an HTTP request. SDKs take no PARSE_FAILURE here: a malformed map is a bad argument.
    V0_1_0 fn proxy_http_call(
        caller, upstream_data: u32, upstream_size: u32, headers_data: u32, headers_size: u32, body_data: u32,
        body_size: u32, trailers_data: u32, trailers_size: u32, timeout: u32, return_call: u32
    ) Status {
        let (memory, state) = caller.split();
        let token = state.calls.fresh_token();
        memory::write_u32(memory, return_call, token)?;
        let upstream = memory::bytes(memory, upstream_data, upstream_size)?;
        let headers = memory::bytes(memory, headers_data, headers_size)?;
        let body = memory::bytes(memory, body_data, body_size)?;
        let trailers = memory::bytes(memory, trailers_data, trailers_size)?;
        let headers = Pairs::parse(headers).map_err(|_| Status::BadArgument)?;
        let trailers = Pairs::parse(trailers).map_err(|_| Status::BadArgument)?;
        let timeout = Duration::from_millis(u64::from(timeout));
        let by @ Scope { context, root, stream, .. } = state.caller().ok_or(Status::BadArgument)?;
        let call = HttpCall { token, context, root, stream, upstream, headers, body, trailers, timeout };
        Ok(make(state, by, token, Kind::Http, |host| host.http_call(call))?)
    };

    /// Sends a gRPC message and takes one back. A timeout of 0 is none.
    V0_1_0 fn proxy_grpc_call(
        caller, upstream_data: u32, upstream_size: u32, service_data: u32, service_size: u32, method_data: u32,
        method_size: u32, metadata_data: u32, metadata_size: u32, message_data: u32, message_size: u32, timeout: u32,
        return_call: u32
    ) Status {
        let (memory, state) = caller.split();
        let token = state.calls.fresh_token();
        memory::write_u32(memory, return_call, token)?;
        let service = memory::bytes(memory, upstream_data, upstream_size)?;
        let service_name = memory::bytes(memory, service_data, service_size)?;
        let method = memory::bytes(memory, method_data, method_size)?;
        let metadata = memory::bytes(memory, metadata_data, metadata_size)?;
        let message = Some(memory::bytes(memory, message_data, message_size)?);
        let metadata = Pairs::parse(metadata).map_err(|_| Status::ParseFailure)?;
        let timeout = (timeout != 0).then(|| Duration::from_millis(u64::from(timeout)));
        let by @ Scope { context, root, stream, .. } = state.caller().ok_or(Status::InternalFailure)?;
        let call = GrpcCall { token, context, root, stream, service, service_name, method, metadata, message, timeout };
        Ok(make(state, by, token, Kind::GrpcCall, |host| host.grpc_call(call))?)
    };

    /// Opens a gRPC stream.
    V0_1_0 fn proxy_grpc_stream(
        caller, upstream_data: u32, upstream_size: u32, service_data: u32, service_size: u32, method_data: u32,
        method_size: u32, metadata_data: u32, metadata_size: u32, return_stream: u32
    ) Status {
        let (memory, state) = caller.split();
        let token = state.calls.fresh_token();
        memory::write_u32(memory, return_stream, token)?;
        let service = memory::bytes(memory, upstream_data, upstream_size)?;
        let service_name = memory::bytes(memory, service_data, service_size)?;
        let method = memory::bytes(memory, method_data, method_size)?;
        let metadata = memory::bytes(memory, metadata_data, metadata_size)?;
        let metadata = Pairs::parse(metadata).map_err(|_| Status::ParseFailure)?;
        let by @ Scope { context, root, stream, .. } = state.caller().ok_or(Status::InternalFailure)?;
        let (message, timeout) = (None, None);
        let call = GrpcCall { token, context, root, stream, service, service_name, method, metadata, message, timeout };
        Ok(make(state, by, token, Kind::GrpcStream, |host| host.grpc_call(call))?)
    };

    /// Sends a message on a gRPC stream.
    V0_1_0 fn proxy_grpc_send(
        caller, stream: u32, message_data: u32, message_size: u32, end_of_stream: u32
    ) Status {
        let (memory, state) = caller.split();
        let message = memory::bytes(memory, message_data, message_size)?;
        match grpc_call(state, stream)? {
            (Kind::GrpcStream, false) => Ok(state.host.grpc_send(stream, message, end_of_stream != 0)?),
            (Kind::GrpcStream, true) => Ok(()),
            _ => Err(Status::BadArgument.into()),
        }
    };

    /// Cancels a gRPC call or stream: nothing comes of it any more.
    V0_1_0 fn proxy_grpc_cancel(caller, call: u32) Status {
        let state = caller.data();
        let (_, over) = grpc_call(state, call)?;
        if !over {
            state.cancel_call(call);
        }
        Ok(())
    };

    /// Ends the sending side of a gRPC stream; what the peer still sends comes as before. A call is cancelled.
    V0_1_0 fn proxy_grpc_close(caller, call: u32) Status {
        let state = caller.data();
        match grpc_call(state, call)? {
            (_, true) => {}
            (Kind::GrpcStream, false) => state.host.close_call(call),
            (_, false) => state.cancel_call(call),
        }
        Ok(())
    };

    /// How the call that is being answered went: code and message. Outside of such a callback, the code of the last.
    V0_1_0 fn proxy_get_status(
        caller, return_code: u32, return_message_data: u32, return_message_size: u32
    ) Status {
        let (memory, state) = caller.split();
        let out = Out::new(memory, return_message_data, return_message_size)?;
        memory::check(memory, return_code, 4)?;
        let mut scratch = state.take_scratch();
        let (code, message) = state.call_status();
        scratch.extend_from_slice(message.as_bytes());
        out.give_scratch(caller, scratch)?;
        Ok(memory::write_u32(caller.split().0, return_code, code)?)
    };
}
