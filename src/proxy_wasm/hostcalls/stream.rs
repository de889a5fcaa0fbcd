//! Stream operations and local responses (spec v0.2.1, "Common stream operations" and "HTTP").
//!
//! All of them are noted by the stream and done after the running callback has returned. A filter may keep the id of
//! a context longer than its stream lives, and SDKs take no status but OK for an answer: continuing or closing what
//! is gone does nothing.

use super::{Answer, hostcalls};
use crate::proxy_wasm::abi::{Status, StreamType};
use crate::proxy_wasm::host::{Host, LocalResponse, Stream};
use crate::proxy_wasm::memory;
use crate::proxy_wasm::pairs::Pairs;
use crate::proxy_wasm::state::State;

fn on_stream<H: Host>(state: &State<H>, operate: impl FnOnce(H::Stream) -> Result<(), Status>) -> Answer {
    match state.stream().map_or(Ok(()), operate) {
        Ok(()) | Err(Status::NotFound) => Ok(()),
        Err(status) => Err(status.into()),
    }
}

hostcalls! {
    /// Ends the pause of a part of the stream.
    V0_2_0 fn proxy_continue_stream(caller, part: u32) Status {
        let part = StreamType::from_abi(part).ok_or(Status::BadArgument)?;
        on_stream(caller.data(), |stream| stream.continue_stream(part))
    };

    /// Closes or resets a part of the stream.
    V0_2_0 fn proxy_close_stream(caller, part: u32) Status {
        let part = StreamType::from_abi(part).ok_or(Status::BadArgument)?;
        on_stream(caller.data(), |stream| stream.close_stream(part))
    };

    /// Ends the pause of a request.
    V0_1_0 fn proxy_continue_request(caller) Status {
        on_stream(caller.data(), |stream| stream.continue_stream(StreamType::Request))
    };

    /// Ends the pause of a response.
    V0_1_0 fn proxy_continue_response(caller) Status {
        on_stream(caller.data(), |stream| stream.continue_stream(StreamType::Response))
    };

    /// Asks for the route to be chosen again. nginx keeps none that a filter could make stale: nothing is to be done.
    V0_1_0 fn proxy_clear_route_cache(caller) Status {
        let _ = caller;
        Ok(())
    };

    /// Answers in place of the upstream.
    V0_1_0 fn proxy_send_local_response(
        caller, status: u32, details_data: u32, details_size: u32, body_data: u32, body_size: u32,
        headers_data: u32, headers_size: u32, grpc_status: u32
    ) Status {
        let (memory, state) = caller.split();
        let details = memory::bytes(memory, details_data, details_size)?;
        let body = memory::bytes(memory, body_data, body_size)?;
        let headers = memory::bytes(memory, headers_data, headers_size)?;
        let headers = Pairs::parse(headers).map_err(|_| Status::ParseFailure)?;
        let stream = state.stream().ok_or(Status::BadArgument)?;
        let response = LocalResponse {
            status,
            details: details.to_vec(),
            headers: headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
            body: body.to_vec(),
            grpc_status: grpc_status.cast_signed(),
        };
        Ok(stream.send_local_response(response)?)
    };
}
