//! What comes back, and how the filter sees it.

use wasmx_t::{Answer, Engine, Nginx, Peer, Running, filter};

use crate::{get, telling};

wasmx_t::on_every_engine![
    fields_body_and_trailers,
    fields_of_one_name,
    a_body_in_chunks,
    a_body_of_a_mebibyte,
    a_body_that_ends_with_the_connection,
    the_first_version,
    responses_without_a_body,
    responses_before_the_response,
    a_response_byte_by_byte,
    an_error_is_a_response,
    parts_of_the_body,
    an_answer_cannot_be_changed,
    an_answer_is_gone_after_its_callback,
    the_status_is_good,
    the_callback_gets_the_root,
];

/// Makes a call and runs statements when it is answered.
fn on_answer(engine: Engine, peer: &Peer, call: &str, statements: &str) -> Running {
    let call = format!("call {} 10000 {call}", peer.name());
    let script = format!(
        "request_headers: {call}; pause; call_response: say came {{headers}} {{size}} {{trailers}}; {statements}; reply 200 done"
    );
    let ng = Nginx::new(engine).script("/", &script, "").start();
    ng.get("/").status(200).body("done");
    ng.log().has_times(1, "] came ").lacks("dispatch failed");
    ng
}

const GET: &str = ":method=GET :path=/x :authority=a";

fn fields_body_and_trailers(engine: Engine) {
    let peer = Peer::new().always(Answer::chunks(["one ", "two"], &[("X-Sum", "7"), ("x-more", "8")]));
    let statements = "get call :status; get call Transfer-Encoding; body call 0 100; pairs call_trailers; get call_trailers x-sum; headers call_trailers";
    let ng = on_answer(engine, &peer, GET, statements);
    ng.log()
        .has("get call :status -> 0 \"200\"")
        .has("body call 0 100 -> 0 \"one two\"")
        .has("pairs call_trailers -> 0 \"x-sum=7, x-more=8\"")
        .has("get call_trailers x-sum -> 0 \"7\"")
        .has("headers call_trailers -> 0 \"37\"")
        .has(" 7 2");
}

fn fields_of_one_name(engine: Engine) {
    let fields = [("Set-Cookie", "a=1"), ("X-Other", "o"), ("set-cookie", "b=2"), ("X-Empty", "")];
    let peer = Peer::new().always(Answer::with("201 Created", &fields, "made"));
    let statements = "pairs call; get call SET-COOKIE; get call x-none; get call x-empty";
    let ng = on_answer(engine, &peer, GET, statements);
    ng.log()
        .has(":status=201")
        .has("set-cookie=a=1")
        .has("set-cookie=b=2")
        .has("x-other=o")
        .has("get call SET-COOKIE -> 0 \"a=1\"")
        .has("get call x-none -> 1")
        .has("get call x-empty -> 0 \"\"")
        .lacks("Set-Cookie=");
}

fn a_body_in_chunks(engine: Engine) {
    let pieces: Vec<_> = (0..500).map(|number| format!("{number},")).collect();
    let peer = Peer::new().always(Answer::chunks(&pieces, &[]));
    let ng = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "").start();
    for _ in 0..2 {
        ng.get("/").status(200).body(pieces.concat());
    }
    assert_eq!(peer.accepted(), 1, "the end of the chunks is the end of the response");
}

fn a_body_of_a_mebibyte(engine: Engine) {
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(1 << 20).collect();
    let peer = Peer::new().ok(&body);
    // An interpreter takes its time to look at so much.
    let nginx = Nginx::new(engine).http("proxy_wasm_time_limit 20s;");
    let ng = telling(nginx, "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body(&body);
}

fn a_body_that_ends_with_the_connection(engine: Engine) {
    let peer = Peer::new().always(Answer::raw("HTTP/1.1 200 OK\r\n\r\nuntil the end").then_close());
    let ng = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body("until the end");
    ng.get("/").status(200).body("until the end");
    ng.log().lacks("dispatch failed");
}

fn the_first_version(engine: Engine) {
    let peer = Peer::new().always(Answer::raw("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").then_close());
    let ng = telling(Nginx::new(engine), "/", &get(&peer.name(), "/x"), "").start();
    ng.get("/").status(200).body("old");
    ng.log().lacks("dispatch failed");
}

fn responses_without_a_body(engine: Engine) {
    for (method, answer, status) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", "204"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
    ] {
        let peer = Peer::new().always(Answer::raw(answer));
        let call = format!("call {} 10000 :method={method} :path=/x :authority=a", peer.name());
        let script =
            format!("request_headers: {call}; pause; call_response: get call :status; reply 200 {{it}}-{{size}}");
        let ng = Nginx::new(engine).script("/", &script, "").start();
        for _ in 0..2 {
            ng.get("/").status(200).body(format!("{status}-0"));
        }
        assert_eq!(peer.accepted(), 1, "{answer:?} has no body, and its connection is good for another");
    }
}

fn responses_before_the_response(engine: Engine) {
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: early\r\n\r\n";
    let peer = Peer::new().always(Answer::raw(format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")));
    let ng = on_answer(engine, &peer, GET, "get call :status; get call link; body call 0 9");
    ng.log().has("get call :status -> 0 \"200\"").has("get call link -> 1").has("body call 0 9 -> 0 \"late\"");
}

fn a_response_byte_by_byte(engine: Engine) {
    let peer = Peer::new()
        .always(Answer::drip("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nslow\r\n0\r\nx-t: 1\r\n\r\n"));
    let ng = on_answer(engine, &peer, GET, "body call 0 9; pairs call_trailers");
    ng.log().has("body call 0 9 -> 0 \"slow\"").has("pairs call_trailers -> 0 \"x-t=1\"");
}

fn an_error_is_a_response(engine: Engine) {
    let peer = Peer::new().always(Answer::with("503 Service Unavailable", &[("retry-after", "9")], "busy"));
    let ng = on_answer(engine, &peer, GET, "get call :status; get call retry-after; body call 0 9");
    ng.log()
        .has("get call :status -> 0 \"503\"")
        .has("get call retry-after -> 0 \"9\"")
        .has("body call 0 9 -> 0 \"busy\"");
}

fn parts_of_the_body(engine: Engine) {
    let peer = Peer::new().ok("0123456789");
    let statements = "buffer_size call; body call 3 4; body call 8 100; body call 10 1; body call 100 1";
    let ng = on_answer(engine, &peer, GET, statements);
    ng.log()
        .has("buffer_size call -> 0 \"10 ")
        .has("body call 3 4 -> 0 \"3456\"")
        .has("body call 8 100 -> 0 \"89\"")
        .has("body call 10 1 -> 0 \"\"")
        .has("body call 100 1 -> 0 \"\"");
}

fn an_answer_cannot_be_changed(engine: Engine) {
    let peer = Peer::new().ok("same");
    let ng = on_answer(engine, &peer, GET, "write call 0 4 other; body call 0 9");
    ng.log().has("write call 0 4 other -> 2").has("body call 0 9 -> 0 \"same\"");
}

fn an_answer_is_gone_after_its_callback(engine: Engine) {
    let peer = Peer::new().always(Answer::chunks(["body"], &[("x-t", "1")]));
    let asks = "pairs call; pairs call_trailers; get call :status; body call 0 9";
    let script = format!(
        "request_headers: {asks}; {}; pause; call_response: say came; response_headers: say after; {asks}",
        get(&peer.name(), "/x")
    );
    let ng = Nginx::new(engine).script("/", &script, "return 200;").start();
    ng.get("/").status(200);
    let log = ng.log();
    log.in_order(&["came", "after", "pairs call -> 0 \"\"", "get call :status -> 2", "body call 0 9 -> 1"]);
    log.has_times(2, "pairs call -> 0 \"\"").has_times(2, "pairs call_trailers -> 0 \"\"");
    log.has_times(2, "get call :status -> 2").has_times(2, "body call 0 9 -> 1");
}

fn the_status_is_good(engine: Engine) {
    let peer = Peer::new().ok("fine");
    on_answer(engine, &peer, GET, "call_status").log().has("call_status -> 0 \"0 ");
}

/// A filter without an SDK, which sees what its callbacks are given.
fn plain_filter(peer: &Peer) -> String {
    let (data, call) = crate::in_text_form(peer);
    filter(&format!(
        r#"
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  {data}
  (data (i32.const 512) "root 0 call 0")
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop {call})
    i32.const 1)
  (func (export "proxy_on_http_call_response") (param $context i32) (param $token i32) (param i32 i32 i32)
    (i32.store8 (i32.const 517) (i32.add (local.get $context) (i32.const 48)))
    (i32.store8 (i32.const 524) (i32.add (i32.eq (local.get $token) (i32.load (i32.const 1024))) (i32.const 48)))
    (drop (call $log (i32.const 2) (i32.const 512) (i32.const 13)))
    (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 512) (i32.const 13) (i32.const 0)
      (i32.const 0) (i32.const -1))))
"#
    ))
}

fn the_callback_gets_the_root(engine: Engine) {
    let peer = Peer::new();
    let ng =
        Nginx::new(engine).wat("plain", plain_filter(&peer)).location("/", "proxy_wasm plain; return 200 on;").start();
    // The first context is the root's, and has no request that it could answer: the one that called goes on.
    ng.get("/").status(200).body("on");
    ng.log().has("root 1 call 1");
}
