//! The filter that answers with what it was asked.

use std::path::PathBuf;

use serde_json::{Value, json};
use wasmx_t::{Engine, Nginx, Request, Response, Running, Sdk, Upstream};

wasmx_t::on_every_engine![
    a_get_is_echoed,
    a_body_is_echoed,
    a_large_body_is_echoed,
    a_body_that_comes_in_parts_is_echoed,
    what_is_no_text_is_echoed_as_text,
];

fn filter() -> PathBuf {
    Sdk::Rust.example("echo").expect("the Rust examples")
}

fn nginx(engine: Engine) -> Running {
    Nginx::new(engine).wasm("echo", filter()).location("/", "proxy_wasm echo;").start()
}

fn echo(request: Request) -> Value {
    parsed(&request.send())
}

fn parsed(response: &Response) -> Value {
    response.status(200).header("content-type", "application/json").header("cache-control", "no-store");
    serde_json::from_slice(response.bytes()).unwrap_or_else(|error| panic!("{error} in\n{response}"))
}

fn a_get_is_echoed(engine: Engine) {
    let ng = nginx(engine);
    let request = ng.request("GET", "/a/b?c=d%20e&f").header("X-Twice", "1").header("X-Twice", "2");
    let headers = json!({"connection": "close", "host": "localhost", "x-quoted": "\"\\", "x-twice": ["1", "2"]});
    let expected = json!({"method": "GET", "path": "/a/b?c=d%20e&f", "headers": headers, "body": ""});
    assert_eq!(echo(request.header("X-Quoted", "\"\\")), expected);
}

fn a_body_is_echoed(engine: Engine) {
    let ng = nginx(engine);
    let echoed = echo(ng.request("PATCH", "/").body("{\"a\":\"ü\"}\n"));
    assert_eq!((&echoed["method"], &echoed["body"]), (&json!("PATCH"), &json!("{\"a\":\"ü\"}\n")));
    let echoed = echo(ng.request("POST", "/").chunked(["in ", "chunks"]));
    assert_eq!(echoed["body"], "in chunks");
}

fn a_large_body_is_echoed(engine: Engine) {
    let ng = nginx(engine);
    let body = "0123456789".repeat(50_000);
    assert_eq!(echo(ng.request("POST", "/").body(&body))["body"], body);
}

fn a_body_that_comes_in_parts_is_echoed(engine: Engine) {
    let up = Upstream::new();
    let lines = ("proxy_wasm echo;", "proxy_request_buffering off;", up.pass());
    let nginx = Nginx::new(engine).wasm("echo", filter());
    let ng = nginx.script("/", "request_body: say piece {size} {end}", lines).start();
    let mut connection = ng.connect();
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst");
    ng.log().wait("piece 5 false");
    connection.send("later");
    assert_eq!(parsed(&connection.response())["body"], "firstlater");
    up.saw_nothing();
}

fn what_is_no_text_is_echoed_as_text(engine: Engine) {
    let ng = nginx(engine);
    let mut connection = ng.connect();
    connection.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Raw: \xff\r\nContent-Length: 3\r\n\r\na\xffb");
    let echoed = parsed(&connection.response());
    assert_eq!((&echoed["body"], &echoed["headers"]["x-raw"]), (&json!("a\u{fffd}b"), &json!("\u{fffd}")));
}
