//! The server itself, as nginx sees it.

use wasmx_t::{GrpcServer, Nginx, Running};

fn passing(server: &GrpcServer) -> Running {
    Nginx::plain().http2().location("/", format!("grpc_pass grpc://{};", server.name())).start()
}

#[test]
fn a_message_is_echoed() {
    let server = GrpcServer::new();
    let ng = passing(&server);
    let connection = ng.http2();
    let mut stream = connection
        .request("POST", "/wasmx.test.Echo/Unary")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("x-a", "1")
        .begin();
    stream.send(b"\0\0\0\0\x05hello").finish();
    let response = stream.response();
    response.status(200).header("x-a", "1").body(b"\0\0\0\0\x05hello");
    assert!(response.trailers().contains(&("grpc-status".to_owned(), "0".to_owned())), "{response}");
    server.wait("Unary begins x-a=1");
    server.wait("Unary ends");
}

#[test]
fn a_call_is_cancelled() {
    let server = GrpcServer::new();
    let ng = passing(&server);
    let connection = ng.http2();
    let mut stream = connection
        .request("POST", "/wasmx.test.Echo/Slow")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .begin();
    stream.send(b"\0\0\0\0\x01x").finish();
    server.wait("Slow begins");
    stream.reset();
    server.wait("Slow ends active=False");
}
