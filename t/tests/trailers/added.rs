//! Trailers that filters give to responses that have none.

use wasmx_t::{Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    they_follow_a_body_of_known_length,
    they_follow_a_file,
    they_follow_an_empty_body,
    they_may_be_added_with_the_body,
    they_are_seen_by_the_filters_when_the_body_has_ended,
    what_cannot_carry_them_refuses,
    a_response_without_them_is_as_it_was,
];

const ADD: &str = "response_headers: add response_trailers x-sum 1";

/// nginx with answers of its own, with and without a body.
fn with(engine: Engine, script: &str) -> Running {
    Nginx::new(engine)
        .http2()
        .file("html/file", "a file")
        .script("/", script, "root html;")
        .script("/hello", script, "return 200 hello;")
        .script("/empty", script, "return 200;")
        .script("/none", script, "return 204;")
        .start()
}

fn they_follow_a_body_of_known_length(engine: Engine) {
    let ng = with(engine, ADD);
    let response = ng.get("/hello");
    response.status(200).no_header("content-length").header("transfer-encoding", "chunked").body("hello");
    response.trailers_are(&[("x-sum", "1")]);
    ng.http2().get("/hello").response().status(200).body("hello").trailers_are(&[("x-sum", "1")]);
}

fn they_follow_a_file(engine: Engine) {
    let ng = with(engine, ADD);
    ng.get("/file").status(200).body("a file").trailers_are(&[("x-sum", "1")]);
    ng.http2().get("/file").response().status(200).body("a file").trailers_are(&[("x-sum", "1")]);
}

fn they_follow_an_empty_body(engine: Engine) {
    let ng = with(engine, ADD);
    ng.get("/empty").status(200).body("").trailers_are(&[("x-sum", "1")]);
    ng.http2().get("/empty").response().status(200).body("").trailers_are(&[("x-sum", "1")]);
}

fn they_may_be_added_with_the_body(engine: Engine) {
    let up = Upstream::new().ok("hello");
    let script = "response_body: add response_trailers x-size {size}";
    let ng = Nginx::new(engine).http2().script("/", script, up.pass()).start();
    ng.get("/").status(200).body("hello").trailers_are(&[("x-size", "5")]);
    ng.http2().get("/").response().status(200).body("hello").trailers_are(&[("x-size", "5")]);
}

fn they_are_seen_by_the_filters_when_the_body_has_ended(engine: Engine) {
    let second = "proxy_wasm script 'response_trailers: replace response_trailers x-sum 2';";
    let first = format!("trace; {ADD}; response_trailers: pairs response_trailers");
    let ng = Nginx::new(engine).http2().script("/", &first, (second, "return 200 hello;")).start();
    ng.get("/").status(200).body("hello").trailers_are(&[("x-sum", "2")]);
    ng.log().wait_for(2, "on delete #");
    ng.log().has(r#"pairs response_trailers -> 0 "x-sum=1""#).has_times(2, "on response_trailers #");
    ng.log().in_order(&["on response_body #", "on response_trailers #"]);
    ng.log().has_times(2, "size=5 end=false");
}

fn what_cannot_carry_them_refuses(engine: Engine) {
    let ng = with(engine, ADD);
    let refused = |log: &wasmx_t::Log| log.wait("add response_trailers x-sum 1 -> 2");
    let log = ng.log().from_here();
    ng.get("/none").status(204);
    refused(&log);
    let log = ng.log().from_here();
    ng.request("HEAD", "/hello").send().status(200).header("content-length", "5");
    refused(&log);
    let log = ng.log().from_here();
    ng.connect().send("GET /hello HTTP/1.0\r\n\r\n").response().status(200).body("hello");
    refused(&log);
}

fn a_response_without_them_is_as_it_was(engine: Engine) {
    let script = "trace; request_headers: add response_trailers x-a 1; \
                  response_headers: remove response_trailers x-sum; get response_trailers x-sum; \
                  response_body: pairs response_trailers";
    let ng = with(engine, script);
    ng.get("/hello").status(200).header("content-length", "5").body("hello").trailers_are(&[]);
    ng.log().wait("on delete #");
    ng.log().lacks("on response_trailers #").has("size=5 end=true").has("add response_trailers x-a 1 -> 2");
    ng.log().has("get response_trailers x-sum -> 2").has(r#"pairs response_trailers -> 0 """#);
}
