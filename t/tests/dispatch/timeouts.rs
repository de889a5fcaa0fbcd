//! Peers that are too slow, in each stage of a call.

use std::net::TcpListener;
use std::time::Instant;

use wasmx_t::{Answer, Dns, Engine, Full, Nginx, Peer, patience};

use crate::failures::{Failure, RESOLVER, TIMEOUT, TLS};
use crate::get;

wasmx_t::on_every_engine![
    to_connect,
    to_connect_by_the_settings_of_wasm,
    to_send,
    to_answer,
    to_answer_by_the_settings_of_wasm,
    to_end_the_header,
    to_end_the_body,
    to_end_the_chunks,
    to_shake_hands,
    to_resolve,
    the_calls_own_is_the_shorter,
    the_calls_own_counts_for_the_whole,
    the_calls_own_while_it_connects,
    the_calls_own_while_it_resolves,
    the_calls_own_is_the_longer,
    the_settings_of_a_location,
    a_root_by_the_settings_of_wasm,
    slow_and_in_time,
    no_time_at_all,
];

fn late(call: String, nginx: Nginx, lines: &str, reason: &str) {
    let begun = Instant::now();
    Failure { call, status: &[TIMEOUT], reason }.check(nginx, lines);
    // Three calls, and two others are not waited for.
    assert!(begun.elapsed() < patience(), "{:?}", begun.elapsed());
}

fn to_connect(engine: Engine) {
    let full = Full::new();
    let reason = format!("tcp socket - timed out connecting to \"{}\"", full.address());
    let call = get(&full.address().to_string(), "/x");
    late(call, Nginx::new(engine), "wasm_socket_connect_timeout 50ms;", &reason);
}

fn to_connect_by_the_settings_of_wasm(engine: Engine) {
    let full = Full::new();
    let nginx = Nginx::new(engine).wasm_directive("socket_connect_timeout 50ms;");
    late(get(&full.address().to_string(), "/x"), nginx, "", "tcp socket - timed out connecting to ");
}

fn to_send(engine: Engine) {
    // Connections are made, and nobody reads from them.
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
    let address = listener.local_addr().expect("the address of a bound listener");
    let call = format!("call {address} 10000 :method=POST :path=/x :authority=a | fill 30000000");
    late(call, Nginx::new(engine), "wasm_socket_send_timeout 50ms;", "");
}

fn answers_late(engine: Engine, answer: Answer) {
    let peer = Peer::new().always(answer.then_wait());
    late(get(&peer.name(), "/x"), Nginx::new(engine), "wasm_socket_read_timeout 50ms;", "");
    peer.wait_open(0);
}

fn to_answer(engine: Engine) {
    answers_late(engine, Answer::raw(""));
}

fn to_answer_by_the_settings_of_wasm(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    let nginx = Nginx::new(engine).wasm_directive("socket_read_timeout 50ms;");
    late(get(&peer.name(), "/x"), nginx, "", "");
}

fn to_end_the_header(engine: Engine) {
    answers_late(engine, Answer::raw("HTTP/1.1 200 OK\r\nContent-"));
}

fn to_end_the_body(engine: Engine) {
    answers_late(engine, Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"));
}

fn to_end_the_chunks(engine: Engine) {
    answers_late(engine, Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
}

fn to_shake_hands(engine: Engine) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind to 127.0.0.1:0");
    let address = listener.local_addr().expect("the address of a bound listener");
    let call = format!("call {address} 10000 :scheme=https :method=GET :path=/x :authority=a");
    let lines = "wasm_socket_connect_timeout 50ms; wasm_socket_send_timeout 50ms; wasm_socket_read_timeout 50ms;";
    Failure { call, status: &[TIMEOUT, TLS], reason: "" }.check(Nginx::new(engine), lines);
}

fn to_resolve(engine: Engine) {
    let dns = Dns::new().silent("silent.example");
    let lines = dns.resolver() + "resolver_timeout 50ms;";
    let call = get("silent.example:80", "/x");
    let failure = Failure { call, status: &[RESOLVER], reason: "tcp socket - resolver error: " };
    failure.check(Nginx::new(engine), lines);
}

fn own(upstream: &str) -> String {
    format!("call {upstream} 50 :method=GET :path=/x :authority=a")
}

fn the_calls_own_is_the_shorter(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    late(own(&peer.name()), Nginx::new(engine), "wasm_socket_read_timeout 60s;", "");
    peer.wait_open(0);
}

fn the_calls_own_counts_for_the_whole(engine: Engine) {
    // There is always something to read, and no end.
    let answer = Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").then_drip("x".repeat(100_000));
    let peer = Peer::new().always(answer);
    late(own(&peer.name()), Nginx::new(engine), "wasm_socket_read_timeout 60s;", "");
}

fn the_calls_own_while_it_connects(engine: Engine) {
    let full = Full::new();
    late(own(&full.address().to_string()), Nginx::new(engine), "wasm_socket_connect_timeout 60s;", "");
}

fn the_calls_own_while_it_resolves(engine: Engine) {
    let dns = Dns::new().silent("silent.example");
    let lines = dns.resolver() + "resolver_timeout 30s;";
    let failure = Failure { call: own("silent.example:80"), status: &[TIMEOUT, RESOLVER], reason: "" };
    failure.check(Nginx::new(engine), lines);
}

fn the_calls_own_is_the_longer(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    let call = format!("call {} 60000 :method=GET :path=/x :authority=a", peer.name());
    late(call, Nginx::new(engine), "wasm_socket_read_timeout 50ms;", "");
}

fn the_settings_of_a_location(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    let script = format!(
        "request_headers: {}; pause; call_response: get call :dispatch_status; reply 502 {{it}}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine)
        .wasm_directive("socket_read_timeout 60s;")
        .http("wasm_socket_read_timeout 60s;")
        .script("/", &script, "wasm_socket_read_timeout 50ms;")
        .start();
    ng.get("/").status(502).body("timeout");
}

fn a_root_by_the_settings_of_wasm(engine: Engine) {
    let peer = Peer::new().always(Answer::silence());
    let script =
        format!("configure: tick 5; tick: once {}; call_response: get call :dispatch_status", get(&peer.name(), "/x"));
    let ng = Nginx::new(engine).wasm_directive("socket_read_timeout 50ms;").script("/", &script, "").start();
    ng.log().wait("get call :dispatch_status -> 0 \"timeout\"");
}

fn slow_and_in_time(engine: Engine) {
    // Longer as a whole than the read timeout, which is for two reads.
    let body = "x".repeat(150);
    let answer = Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 150\r\n\r\n").then_drip(&body);
    let peer = Peer::new().always(answer);
    let nginx = Nginx::new(engine).http("wasm_socket_read_timeout 250ms;");
    let ng = crate::telling(nginx, "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body(&body);
}

/// No time of its own: that of the settings.
fn no_time_at_all(engine: Engine) {
    let peer = Peer::new().answers(|asked| if asked.target() == "/x" { Answer::ok("") } else { Answer::silence() });
    let call = |path: &str| format!("call {} 0 :method=GET :path={path} :authority=a", peer.name());
    let script = format!(
        "request_headers: {}; {}; pause; call_response: answered say yes {{call}}; failed get call :dispatch_status; failed say {{call}} {{it}}",
        call("/x"),
        call("/silent")
    );
    let ng = Nginx::new(engine).script("/", &script, "wasm_socket_read_timeout 100ms; return 200;").start();
    ng.get("/").status(200);
    ng.log().has("] yes /x").has("] /silent timeout");
}
