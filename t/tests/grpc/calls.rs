//! One message there, one back.

use wasmx_t::{Engine, GrpcServer, Nginx, Upstream};

use crate::{telling, unary};

wasmx_t::on_every_engine![
    a_message_and_its_answer,
    an_empty_message,
    a_message_of_a_mebibyte,
    an_answer_of_a_mebibyte,
    bytes_of_all_values,
    metadata_is_sent,
    a_deadline_is_told,
    no_deadline,
    many_calls_share_a_connection,
    calls_at_the_same_time,
    a_call_after_a_call,
    a_request_waits_for_its_call,
    a_root_calls,
    parts_of_a_message,
];

fn a_message_and_its_answer(engine: Engine) {
    let server = GrpcServer::new();
    let ng = telling(engine, &unary(&server.name(), "Unary", "hello"), "");
    for _ in 0..3 {
        ng.get("/").status(200).body("hello");
    }
    ng.log().lacks("dispatch failed").lacks("[error]");
}

fn an_empty_message(engine: Engine) {
    let server = GrpcServer::new();
    telling(engine, &unary(&server.name(), "Unary", ""), "").get("/").status(200).body("");
    telling(engine, &unary(&server.name(), "Size", ""), "").get("/").status(200).body("0");
}

fn a_message_of_a_mebibyte(engine: Engine) {
    let server = GrpcServer::new();
    telling(engine, &unary(&server.name(), "Size", "fill 1048576"), "").get("/").status(200).body("1048576");
}

fn an_answer_of_a_mebibyte(engine: Engine) {
    let server = GrpcServer::new();
    // An interpreter takes its time to look at so much.
    let ng = telling(engine, &unary(&server.name(), "Big", "1048576"), "proxy_wasm_time_limit 20s;");
    ng.get("/").status(200).body("b".repeat(1 << 20));
}

fn bytes_of_all_values(engine: Engine) {
    let server = GrpcServer::new();
    let all: String = (0..=255u8).map(|byte| format!("%{byte:02x}")).collect();
    let ng = telling(engine, &unary(&server.name(), "Size", &all), "");
    ng.get("/").status(200).body("256");
}

fn metadata_is_sent(engine: Engine) {
    let server = GrpcServer::new();
    let call = format!("grpc_call c {} 10000 wasmx.test.Echo Unary x-b=2 X-A=1 x-c-bin=AAF/ | m", server.name());
    telling(engine, &call, "").get("/").status(200).body("m");
    // What may be binary is the filter's to encode, as in Envoy; the peer decodes it.
    server.wait("Unary begins x-a=1,x-b=2,x-c-bin=00017f");
}

fn a_deadline_is_told(engine: Engine) {
    let server = GrpcServer::new();
    let call = format!("grpc_call c {} 7000 wasmx.test.Echo Deadline | m", server.name());
    let left: f64 = telling(engine, &call, "").get("/").status(200).text().parse().expect("a number");
    assert!(left > 0.0 && left <= 7.0, "{left}");
}

fn no_deadline(engine: Engine) {
    let server = GrpcServer::new();
    let call = format!("grpc_call c {} 0 wasmx.test.Echo Unary | m", server.name());
    telling(engine, &call, "").get("/").status(200).body("m");
}

fn many_calls_share_a_connection(engine: Engine) {
    let server = GrpcServer::new();
    let ng = telling(engine, &unary(&server.name(), "Unary", "hello"), "");
    for _ in 0..100 {
        ng.get("/").status(200).body("hello");
    }
    // Connections of workers to the server, as the kernel knows them.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let table = tables.concat();
    let port = format!(":{:04X} ", server.port());
    let established = table
        .lines()
        .filter(|line| line.contains(" 01 "))
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&port)));
    assert_eq!(established.count(), 1);
}

fn calls_at_the_same_time(engine: Engine) {
    const COUNT: usize = 20;
    let server = GrpcServer::new();
    let calls: Vec<_> = (0..COUNT)
        .map(|number| format!("grpc_call c{number} {} 10000 wasmx.test.Echo Unary | of c{number}", server.name()))
        .collect();
    let script = format!(
        "request_headers: {}; pause; grpc_message: body grpc 0 9; say {{call}} {{it}}; count; nth {COUNT} reply 200 all",
        calls.join("; ")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("all");
    for number in 0..COUNT {
        ng.log().has_times(1, &format!("] c{number} of c{number}"));
    }
}

fn a_call_after_a_call(engine: Engine) {
    let server = GrpcServer::new();
    let name = server.name();
    let script = format!(
        "request_headers: {}; pause; grpc_message: body grpc 0 9; of second reply 200 {{it}}; of c grpc_call second {name} 10000 wasmx.test.Echo Size | {{it}}",
        unary(&name, "Unary", "12345")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("5");
}

fn a_request_waits_for_its_call(engine: Engine) {
    let (server, up) = (GrpcServer::new(), Upstream::new().ok("passed"));
    let script = format!(
        "request_headers: {}; pause; grpc_message: body grpc 0 9; add request x-told {{it}}; continue 0",
        unary(&server.name(), "Unary", "told")
    );
    let ng = Nginx::new(engine).script("/", &script, up.pass()).start();
    ng.post("/", "the body").status(200).body("passed");
    up.saw_times(1).saw(|req| {
        req.header("x-told", "told").body("the body");
    });
}

fn a_root_calls(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "configure: tick 5; tick: once {}; grpc_message: body grpc 0 9; say came {{it}}",
        unary(&server.name(), "Unary", "ticked")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.log().wait("came ticked");
}

fn parts_of_a_message(engine: Engine) {
    let server = GrpcServer::new();
    let script = format!(
        "request_headers: {}; pause; grpc_message: buffer_size grpc; body grpc 1 3; body grpc 9 9; write grpc 0 1 x; reply 200 done",
        unary(&server.name(), "Unary", "hello")
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200);
    ng.log()
        .has("buffer_size grpc -> 0 \"5 ")
        .has("body grpc 1 3 -> 0 \"ell\"")
        .has("body grpc 9 9 -> 0 \"\"")
        .has("write grpc 0 1 x -> 2");
}
