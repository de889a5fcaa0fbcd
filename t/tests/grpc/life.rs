//! What becomes of calls and streams when those who made them end.

use wasmx_t::{Engine, GrpcServer, Nginx, Running};

use crate::{stream, unary};

wasmx_t::on_every_engine![
    a_client_that_leaves_cancels_a_call,
    a_client_that_leaves_cancels_a_stream,
    a_request_that_ends_cancels,
    a_trap_cancels,
    a_trap_in_an_answer,
    an_instance_of_a_request,
    a_reload_while_a_stream_is_open,
    a_graceful_end_while_a_root_streams,
];

const SAY: &str = "grpc_message: say came; grpc_close: say closed; delete: say deleted";

fn start(engine: Engine, statements: &str) -> Running {
    let script = format!("request_headers: when x-trap trap unreachable; {statements}; pause; {SAY}");
    Nginx::new(engine).script("/", &script, "").location("/free", "return 200;").start()
}

fn a_client_that_leaves_cancels_a_call(engine: Engine) {
    let server = GrpcServer::new();
    let ng = start(engine, &unary(&server.name(), "Slow", "m"));
    let connection = ng.request("GET", "/").begin();
    server.wait("Slow begins");
    connection.reset();
    server.wait("Slow ends active=False");
    ng.log().wait("] deleted");
    ng.get("/free").status(200);
    ng.log().lacks("] came").lacks("] closed");
}

fn a_client_that_leaves_cancels_a_stream(engine: Engine) {
    let server = GrpcServer::new();
    let ng = start(engine, &format!("{}; grpc_send_last s x", stream(&server.name(), "Half")));
    let connection = ng.request("GET", "/").begin();
    ng.log().wait("] came");
    connection.reset();
    server.wait("Half ends active=False");
    ng.log().wait("] deleted");
    ng.get("/free").status(200);
    ng.log().has_times(1, "] came").lacks("] closed");
}

fn a_request_that_ends_cancels(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send_last s x; pause; grpc_message: say came; reply 200 done; grpc_close: say closed; delete: say deleted",
        stream(&server.name(), "Half")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    server.wait("Half ends active=False");
    ng.log().wait("] deleted");
    ng.log().lacks("] closed");
}

fn a_trap_cancels(engine: Engine) {
    let server = GrpcServer::new();
    let ng = start(engine, &format!("{}; grpc_send_last s x", stream(&server.name(), "Half")));
    let mut connection = ng.request("GET", "/").begin();
    ng.log().wait("] came");
    ng.request("GET", "/").header("x-trap", "1").send().status(500);
    connection.response().status(500);
    server.wait("Half ends active=False");
    ng.log().lacks("] closed");
}

fn a_trap_in_an_answer(engine: Engine) {
    let server = GrpcServer::new();
    let script =
        format!("request_headers: {}; pause; grpc_message: trap unreachable", unary(&server.name(), "Unary", "m"));
    let ng = Nginx::new(engine).script("/", &script, "").location("/free", "return 200;").start();
    for _ in 0..3 {
        ng.get("/").status(500);
    }
    ng.get("/free").status(200);
}

fn an_instance_of_a_request(engine: Engine) {
    let server = GrpcServer::new();
    for isolation in ["stream", "filter"] {
        let script = format!(
            "request_headers: {}; pause; grpc_message: count; reply 200 {{it}}",
            unary(&server.name(), "Unary", "m")
        );
        let ng = Nginx::new(engine).script("/", &script, format!("proxy_wasm_isolation {isolation};")).start();
        for _ in 0..5 {
            ng.get("/").status(200).body("1");
        }
    }
}

fn a_reload_while_a_stream_is_open(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; grpc_send s one; pause; grpc_message: say came; tick 20
         tick: count; nth 20 each grpc_close s; grpc_close: reply 200 {{status}}",
        stream(&server.name(), "Bidi")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    let before = ng.workers();
    let mut connection = ng.request("GET", "/").begin();
    ng.log().wait("] came");
    ng.hangup();
    ng.log().wait("gracefully shutting down");
    connection.response().status(200).body("0");
    ng.await_replacement(&before);
}

fn a_graceful_end_while_a_root_streams(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!("configure: tick 5; tick: once {}; once grpc_send s x; {SAY}", stream(&server.name(), "Bidi"));
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.log().wait("] came");
    let begun = std::time::Instant::now();
    ng.stop();
    assert!(begun.elapsed() < wasmx_t::patience() / 2, "{:?}", begun.elapsed());
    server.wait("Bidi ends active=False");
}
