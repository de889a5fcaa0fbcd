//! gRPC calls from filters, to Google's own server.

mod calls;
mod failures;
mod life;
mod names;
mod server;
mod streams;
mod tls;

use wasmx_t::{Engine, Lines, Nginx, Running};

/// A statement that calls a method of the server with a message.
fn unary(server: &str, method: &str, message: &str) -> String {
    format!("grpc_call c {server} 10000 wasmx.test.Echo {method} | {message}")
}

/// A statement that opens a stream of a method of the server.
fn stream(server: &str, method: &str) -> String {
    format!("grpc_stream s {server} wasmx.test.Echo {method}")
}

/// Answers the client with the message, or with the status and its text.
const TELL: &str = "grpc_message: quietly body grpc 0 2000000; reply 200 {it}; grpc_close: call_status; reply 502 {it}";

/// nginx whose filter makes a call for each request and answers with what came back.
fn telling(engine: Engine, call: &str, http: impl Lines) -> Running {
    let script = format!("request_headers: {call}; pause; {TELL}");
    Nginx::new(engine).http(http).script("/", &script, "").start()
}

/// A field of a protobuf message that is bytes, as a script writes it.
fn field(number: u8, bytes: &str) -> String {
    let size = bytes.split('%').count() - 1;
    assert!(size < 0x80, "a length of one byte");
    format!("%{:02x}%{size:02x}{bytes}", number << 3 | 2)
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Envoy's `GrpcService` with `envoy_grpc { cluster_name }`.
fn envoy_grpc(cluster: &str) -> String {
    field(1, &field(1, &escaped(cluster)))
}

/// Envoy's `GrpcService` with `google_grpc { target_uri, stat_prefix }`.
fn google_grpc(target: &str) -> String {
    field(2, &(field(1, &escaped(target)) + &field(4, &escaped("stats"))))
}

/// The same with `channel_credentials { ssl_credentials {} }`.
fn google_grpc_tls(target: &str) -> String {
    field(2, &(field(1, &escaped(target)) + &field(2, &field(1, "")) + &field(4, &escaped("stats"))))
}
