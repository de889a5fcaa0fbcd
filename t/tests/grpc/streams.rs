//! Streams, both ways.

use wasmx_t::{Engine, GrpcServer, Nginx, Running};

use crate::stream;

wasmx_t::on_every_engine![
    messages_from_the_server,
    messages_to_the_server,
    messages_both_ways,
    one_for_one,
    metadata_both_ways,
    an_error_after_a_message,
    a_status_of_the_end,
    large_messages_both_ways,
    cancelled,
    cancelled_in_its_own_callback,
    closed,
    what_is_not_there,
    two_at_the_same_time,
    a_root_streams,
];

const TRACE: &str =
    "grpc_initial: say initial; grpc_message: body grpc 0 99; say message {it}; grpc_trailing: say trailing
                     grpc_close: call_status; say closed {status} {it}; reply 200 {status}";

fn start(engine: Engine, statements: &str) -> Running {
    Nginx::new(engine).script("/", &format!("request_headers: {statements}; pause; {TRACE}"), "").start()
}

fn messages_from_the_server(engine: Engine) {
    let server = GrpcServer::new();
    let ng = start(engine, &format!("{}; grpc_send_last s 5", stream(&server.name(), "Server")));
    ng.get("/").status(200).body("0");
    let log = ng.log();
    log.in_order(&["] initial,", "] message 1", "] message 2", "] message 3", "] message 4", "] message 5"]);
    log.in_order(&["] message 5", "] trailing", "] closed 0 0 "]).has_times(1, "] closed ").has_times(1, "] initial,");
}

fn messages_to_the_server(engine: Engine) {
    let server = GrpcServer::new();
    let sends = "grpc_send s one; grpc_send s two; grpc_send_last s three";
    let ng = start(engine, &format!("{}; {sends}", stream(&server.name(), "Client")));
    ng.get("/").status(200).body("0");
    ng.log().has("grpc_send s one -> 0").has_times(1, "] message one+two+three").has_times(1, "] closed 0");
}

fn messages_both_ways(engine: Engine) {
    let server = GrpcServer::new();
    let sends = "grpc_send s one; grpc_send s two; grpc_send_last s three";
    let ng = start(engine, &format!("{}; {sends}", stream(&server.name(), "Bidi")));
    ng.get("/").status(200).body("0");
    ng.log().in_order(&["] message echo one", "] message echo two", "] message echo three", "] closed 0"]);
}

fn one_for_one(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send s x; pause
         grpc_message: count; body grpc 0 99; say message {{it}}; nth 1 grpc_send s 1; nth 2 grpc_send s 2; nth 3 grpc_send_last s 3
         grpc_close: reply 200 {{status}}",
        stream(&server.name(), "Bidi")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("0");
    ng.log().in_order(&["message echo x", "message echo 1", "message echo 2", "message echo 3"]);
}

fn metadata_both_ways(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {} x-a=1 x-b-bin=AH8=; grpc_send_last s x; pause
         grpc_initial: pairs grpc_initial; get grpc_initial x-a; get grpc_initial x-none; headers grpc_initial; say {{size}} initial
         grpc_trailing: pairs grpc_trailing; get grpc_trailing x-trailing; say {{size}} trailing
         grpc_close: reply 200 {{status}}",
        stream(&server.name(), "Bidi")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("0");
    server.wait("Bidi begins x-a=1,x-b-bin=007f");
    ng.log()
        .has("get grpc_initial x-a -> 0 \"1\"")
        .has("get grpc_initial x-none -> 1")
        .has("get grpc_trailing x-trailing -> 0 \"Bidi\"")
        .in_order(&[" initial", " trailing"]);
}

fn an_error_after_a_message(engine: Engine) {
    let server = GrpcServer::new();
    let ng = start(engine, &format!("{}; grpc_send_last s x", stream(&server.name(), "ServerFails")));
    ng.get("/").status(200).body("15");
    ng.log().in_order(&["] message one", "] trailing", "] closed 15 15 after one"]);
}

fn a_status_of_the_end(engine: Engine) {
    let server = GrpcServer::new();
    let call = format!("{} x-code=8; grpc_send_last s too%20much", stream(&server.name(), "Error"));
    let ng = start(engine, &call);
    ng.get("/").status(200).body("8");
    ng.log().has_times(1, "] closed 8 8 too much").lacks("] message ");
}

fn large_messages_both_ways(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send s fill 300000; grpc_send s fill 1; grpc_send_last s fill 300000; pause
         grpc_message: say size {{size}}; grpc_close: reply 200 {{status}}",
        stream(&server.name(), "Bidi")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("0");
    ng.log().in_order(&["] size 300005", "] size 6", "] size 300005"]);
}

fn cancelled(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send s one; pause
         grpc_message: say message; grpc_cancel s; reply 200 cancelled; grpc_close: say closed",
        stream(&server.name(), "Bidi")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("cancelled");
    server.wait("Bidi ends active=False");
    ng.get("/").status(200);
    ng.log().has("grpc_cancel s -> 0").has_times(2, "] message").lacks("] closed");
}

fn cancelled_in_its_own_callback(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send_last s x; pause
         grpc_initial: grpc_cancel s; grpc_cancel s; reply 200 cancelled; grpc_message: say message; grpc_close: say closed",
        stream(&server.name(), "Half") + " x-a=1"
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("cancelled");
    server.wait("Half ends active=False");
    ng.get("/").status(200);
    ng.log().has("grpc_cancel s -> 0").has("grpc_cancel s -> 1").lacks("] message").lacks("] closed");
}

/// To close is to send no more: what comes still comes, and then the end.
fn closed(engine: Engine) {
    let server = GrpcServer::new();
    let ng =
        start(engine, &format!("{}; grpc_send s one; grpc_close s; grpc_send s two", stream(&server.name(), "Bidi")));
    ng.get("/").status(200).body("0");
    server.wait("Bidi has all");
    ng.log()
        .has("grpc_close s -> 0")
        .in_order(&["] message echo one", "] closed 0"])
        .lacks("echo two")
        .lacks("grpc_send s two -> 0");
}

fn what_is_not_there(engine: Engine) {
    let script = "request_headers: grpc_send 12345 x; grpc_cancel 12345; grpc_close 12345; grpc_send 0 x; grpc_cancel 0; grpc_close 0; reply 200 done";
    let ng = Nginx::new(engine).script("/", script, "").start();
    ng.get("/").status(200);
    ng.log()
        .has("grpc_cancel 12345 -> 1")
        .has("grpc_close 12345 -> 1")
        .has("grpc_cancel 0 -> 1")
        .has("grpc_close 0 -> 1");
    for statement in ["grpc_send 12345 x", "grpc_send 0 x"] {
        let line = ng.log().lines_with(&format!("{statement} -> ")).remove(0);
        assert!(line.contains("-> 1") || line.contains("-> 2"), "{line}");
    }
}

fn two_at_the_same_time(engine: Engine) {
    let server = GrpcServer::new();
    let open = |name: &str| format!("grpc_stream {name} {} wasmx.test.Echo Bidi", server.name());
    let script = format!(
        "request_headers: {}; {}; grpc_send_last a of-a; grpc_send_last b of-b; pause
         grpc_message: body grpc 0 99; say {{call}} {{it}}; grpc_close: count; nth 2 reply 200 done",
        open("a"),
        open("b")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    ng.log().has_times(1, "] a echo of-a").has_times(1, "] b echo of-b");
}

fn a_root_streams(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "configure: tick 5; tick: once {}; count; nth 3 grpc_send s ticked; nth 5 grpc_close s; {}",
        stream(&server.name(), "Bidi"),
        TRACE.replace("; reply 200 {status}", "")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.log().wait("] closed 0");
    ng.log().has_times(1, "] message echo ticked");
}
