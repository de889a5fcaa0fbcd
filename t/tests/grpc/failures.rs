//! Calls that end with another status than 0.

use wasmx_t::{Answer, Engine, GrpcServer, Nginx, Nobody, Peer, Reply, Upstream};

use crate::{stream, telling, unary};

wasmx_t::on_every_engine![
    every_status,
    a_message_of_the_status,
    a_method_that_is_not_there,
    a_service_that_is_not_there,
    nobody_listens,
    a_deadline_that_passes,
    a_server_that_is_killed,
    a_server_that_comes_back,
    a_peer_that_speaks_http1,
    a_peer_that_hangs_up,
    a_response_without_grpc,
    a_response_that_is_only_a_header,
    a_response_without_a_status,
    messages_that_are_none,
    a_stream_that_nobody_takes,
    failures_are_logged,
    errors_are_not_logged_when_told_so,
];

const DEADLINE_EXCEEDED: &str = "4 ";
const UNIMPLEMENTED: &str = "12 ";
const UNAVAILABLE: &str = "14 ";

/// Asserts that a call ends with a status, and its one callback.
fn fails(engine: Engine, call: &str, status: &str) {
    let script = format!(
        "request_headers: {call}; pause; grpc_message: say message; grpc_close: say closed {{status}}; call_status; reply 502 {{it}}"
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    let got = ng.get("/").status(502).text();
    assert!(got.starts_with(status), "{got:?} is not {status:?}");
    ng.log().has_times(1, "] closed ").has_times(1, &format!("] closed {}", got.split(' ').next().unwrap_or_default()));
    ng.log().lacks("] message");
    ng.get("/").status(502);
    ng.log().has_times(2, "] closed ");
}

fn every_status(engine: Engine) {
    let server = GrpcServer::new();
    for code in 1..=16 {
        let call = format!("grpc_call c {} 10000 wasmx.test.Echo Error x-code={code} | the reason", server.name());
        telling(engine, &call, "").get("/").status(502).body(format!("{code} the reason"));
    }
}

fn a_message_of_the_status(engine: Engine) {
    let server = GrpcServer::new();
    // gRPC escapes it on its way.
    let call =
        format!("grpc_call c {} 10000 wasmx.test.Echo Error x-code=5 | no%c3%bc 100%25 %22of%22 it", server.name());
    telling(engine, &call, "").get("/").status(502).body("5 noü 100% \"of\" it");
}

fn a_method_that_is_not_there(engine: Engine) {
    let server = GrpcServer::new();
    fails(engine, &unary(&server.name(), "Nothing", "m"), UNIMPLEMENTED);
}

fn a_service_that_is_not_there(engine: Engine) {
    let server = GrpcServer::new();
    fails(engine, &format!("grpc_call c {} 10000 no.such.Service Unary | m", server.name()), UNIMPLEMENTED);
}

fn nobody_listens(engine: Engine) {
    let nobody = Nobody::new();
    fails(engine, &unary(&nobody.address().to_string(), "Unary", "m"), UNAVAILABLE);
}

fn a_deadline_that_passes(engine: Engine) {
    let server = GrpcServer::new();
    fails(engine, &format!("grpc_call c {} 100 wasmx.test.Echo Slow | m", server.name()), DEADLINE_EXCEEDED);
    server.wait("Slow ends active=False");
}

fn a_server_that_is_killed(engine: Engine) {
    let mut server = GrpcServer::new();
    let ng = telling(engine, &unary(&server.name(), "Slow", "m"), "");
    let mut connection = ng.request("GET", "/").begin();
    server.wait("Slow begins");
    server.kill();
    let response = connection.response();
    response.status(502);
    assert!(!response.text().starts_with("0 "), "{response}");
}

fn a_server_that_comes_back(engine: Engine) {
    let up = Upstream::http2().respond(|seen| {
        // What it gets is a message in its frame: so is what it gives.
        let reply = Reply::chunks([seen.bytes()]).header("content-type", "application/grpc");
        reply.trailer("grpc-status", "0")
    });
    let call = unary(&up.address().to_string(), "Unary", "same");
    let ng = telling(engine, &call, "");
    for _ in 0..3 {
        ng.get("/").status(200).body("same");
    }
    up.saw_times(3).saw(|seen| {
        assert_eq!(seen.method(), "POST");
        assert_eq!(seen.target(), "/wasmx.test.Echo/Unary");
        seen.header("te", "trailers").body(b"\0\0\0\0\x04same");
        assert!(seen.values("content-type")[0].starts_with("application/grpc"));
    });
}

fn a_peer_that_speaks_http1(engine: Engine) {
    let peer = Peer::new().always(Answer::with("400 Bad Request", &[], "no").then_close());
    fails(engine, &unary(&peer.name(), "Unary", "m"), "");
}

fn a_peer_that_hangs_up(engine: Engine) {
    let peer = Peer::new().always(Answer::close());
    fails(engine, &unary(&peer.name(), "Unary", "m"), UNAVAILABLE);
}

/// What a server in HTTP/2 answers, and the status that it comes to.
fn answered(engine: Engine, status: &str, answer: impl Fn() -> Reply + Send + 'static) {
    let up = Upstream::http2().respond(move |_| answer());
    fails(engine, &unary(&up.address().to_string(), "Unary", "m"), status);
}

fn a_response_without_grpc(engine: Engine) {
    // As gRPC maps them: 401 to UNAUTHENTICATED, 403 to PERMISSION_DENIED, 404 to UNIMPLEMENTED, others to UNAVAILABLE or
    // UNKNOWN.
    for (http, status) in [(401, "16 "), (403, "7 "), (404, "12 "), (503, "14 "), (500, "2 ")] {
        answered(engine, status, move || Reply::ok("an error page").status(http).header("content-type", "text/html"));
    }
}

fn a_response_that_is_only_a_header(engine: Engine) {
    let header = || Reply::bare().header("content-type", "application/grpc");
    answered(engine, "7 not you", move || header().header("grpc-status", "7").header("grpc-message", "not you"));
}

fn a_response_without_a_status(engine: Engine) {
    answered(engine, "", || Reply::bare().header("content-type", "application/grpc"));
    answered(engine, "", || Reply::chunks([""]).header("content-type", "application/grpc").trailer("x-other", "1"));
}

fn messages_that_are_none(engine: Engine) {
    for frame in [
        // Without an end, of 4 GiB, compressed with what nobody asked for, with a flag that there is not.
        &b"\0\0\0\0\x09shor"[..],
        b"\0\xff\xff\xff\xffmuch",
        b"\x01\0\0\0\x01x",
        b"\x07\0\0\0\x01x",
        b"\0\0",
    ] {
        answered(engine, "", move || {
            let reply = Reply::chunks([frame]).header("content-type", "application/grpc");
            reply.trailer("grpc-status", "0")
        });
    }
}

fn a_stream_that_nobody_takes(engine: Engine) {
    let nobody = Nobody::new();
    fails(engine, &stream(&nobody.address().to_string(), "Bidi"), UNAVAILABLE);
}

fn failures_are_logged(engine: Engine) {
    let nobody = Nobody::new();
    let ng = telling(engine, &unary(&nobody.address().to_string(), "Unary", "m"), "");
    ng.get("/").status(502);
    ng.log().has_times(1, "[wasm] dispatch failed: tcp socket - Connection refused");
}

fn errors_are_not_logged_when_told_so(engine: Engine) {
    let nobody = Nobody::new();
    let call = unary(&nobody.address().to_string(), "Unary", "m");
    let ng = telling(engine, &call, "proxy_wasm_log_dispatch_errors off;");
    ng.get("/").status(502);
    ng.log().lacks("dispatch failed").lacks("[error]");
}
