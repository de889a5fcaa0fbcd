//! HTTP and gRPC calls (spec v0.2.1, "HTTP calls" and "gRPC calls"). They are here so that filters link, check
//! nothing, and answer [`Unimplemented`].

use super::hostcalls;
use crate::proxy_wasm::abi::Status::Unimplemented;

hostcalls! {
    /// Sends an HTTP request. Not implemented yet.
    V0_1_0 fn proxy_http_call(
        caller, upstream_data: u32, upstream_size: u32, headers_data: u32, headers_size: u32, body_data: u32,
        body_size: u32, trailers_data: u32, trailers_size: u32, timeout: u32, return_call: u32
    ) = Unimplemented;

    /// Sends a gRPC message and takes one back. Not implemented yet.
    V0_1_0 fn proxy_grpc_call(
        caller, upstream_data: u32, upstream_size: u32, service_data: u32, service_size: u32, method_data: u32,
        method_size: u32, metadata_data: u32, metadata_size: u32, message_data: u32, message_size: u32, timeout: u32,
        return_call: u32
    ) = Unimplemented;

    /// Opens a gRPC stream. Not implemented yet.
    V0_1_0 fn proxy_grpc_stream(
        caller, upstream_data: u32, upstream_size: u32, service_data: u32, service_size: u32, method_data: u32,
        method_size: u32, metadata_data: u32, metadata_size: u32, return_stream: u32
    ) = Unimplemented;

    /// Sends a message on a gRPC stream. Not implemented yet.
    V0_1_0 fn proxy_grpc_send(
        caller, stream: u32, message_data: u32, message_size: u32, end_of_stream: u32
    ) = Unimplemented;

    /// Cancels a gRPC call or stream. Not implemented yet.
    V0_1_0 fn proxy_grpc_cancel(caller, call: u32) = Unimplemented;

    /// Closes a gRPC call or stream. Not implemented yet.
    V0_1_0 fn proxy_grpc_close(caller, call: u32) = Unimplemented;

    /// How the call that is being answered went. Not implemented yet.
    V0_1_0 fn proxy_get_status(
        caller, return_code: u32, return_message_data: u32, return_message_size: u32
    ) = Unimplemented;
}
