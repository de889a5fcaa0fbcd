//! A client that takes a request back, or leaves, in each of its phases.

use wasmx_t::{Engine, Http2, Http2Stream, Log, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    while_the_request_headers_are_held,
    while_the_request_body_comes,
    while_the_request_body_is_held,
    while_the_upstream_is_asked,
    while_the_response_headers_are_held,
    while_the_response_body_comes,
    while_the_response_body_is_held,
    a_connection_that_breaks_ends_all_its_streams,
    a_filter_closes_a_stream,
    a_filter_closes_a_stream_that_has_begun,
];

fn nginx(engine: Engine, script: &str, up: &Upstream) -> Running {
    let lines = ("proxy_buffering off;", up.pass());
    Nginx::new(engine).http2().script("/", &format!("trace; {script}"), lines).start()
}

/// One context was made, and ended as it should, whatever became of its request.
fn ended_once(log: &Log) {
    log.wait("on delete #");
    log.in_order(&["on create #", "on done #", "on log #", "on delete #"]);
    for callback in ["create", "done", "log", "delete"] {
        log.has_times(1, &format!("on {callback} #"));
    }
}

/// Begins a request, waits for a line of the log, takes the request back, and sees that the connection serves on.
fn reset_at(engine: Engine, script: &str, begin: impl Fn(&Http2, &Running) -> Http2Stream, line: &str) {
    let up = Upstream::new();
    let tap = up.tap();
    tap.send("first");
    let ng = nginx(engine, script, &up);
    let connection = ng.http2();
    let stream = begin(&connection, &ng);
    ng.log().wait(line);
    stream.reset();
    ended_once(&ng.log());
    let log = ng.log().from_here();
    connection.request("GET", "/").header("x-free", "1").send().reset();
    drop(tap);
    log.wait("on delete #");
    let up = up.ok("fine");
    connection.request("GET", "/").header("x-free", "1").send().response().status(200).body("fine");
    drop(up);
}

fn while_the_request_headers_are_held(engine: Engine) {
    let script = "request_headers: unless x-free pause";
    reset_at(engine, script, |connection, _| connection.get("/"), "on request_headers #");
}

fn while_the_request_body_comes(engine: Engine) {
    let begin = |connection: &Http2, _: &Running| {
        let mut stream = connection.request("POST", "/").begin();
        stream.send("half");
        stream
    };
    reset_at(engine, "request_body: say never", begin, "on request_headers #");
}

fn while_the_request_body_is_held(engine: Engine) {
    let script = "request_body: pause";
    reset_at(engine, script, |connection, _| connection.post("/", "body"), "on request_body #");
}

fn while_the_upstream_is_asked(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let ng = nginx(engine, "", &up);
    let connection = ng.http2();
    let stream = connection.get("/");
    up.saw(|seen| assert_eq!(seen.target(), "/"));
    stream.reset();
    ended_once(&ng.log());
    drop(tap);
}

fn while_the_response_headers_are_held(engine: Engine) {
    let script = "response_headers: unless x-free pause";
    reset_at(engine, script, |connection, _| connection.get("/"), "on response_headers #");
}

fn while_the_response_body_comes(engine: Engine) {
    let begin = |connection: &Http2, _: &Running| {
        let mut stream = connection.get("/");
        stream.until("first");
        stream
    };
    reset_at(engine, "", begin, "on response_body #");
}

fn while_the_response_body_is_held(engine: Engine) {
    let script = "response_body: unless x-free pause";
    reset_at(engine, script, |connection, _| connection.get("/"), "on response_body #");
}

fn a_connection_that_breaks_ends_all_its_streams(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let script = "request_headers: when x-request pause; request_body: pause; response_headers: pause";
    let ng = nginx(engine, script, &up);
    let connection = ng.http2();
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(connection.get("/"));
        streams.push(connection.post("/", "body"));
        streams.push(connection.request("GET", "/").header("x-request", "1").send());
    }
    ng.log().wait_for(30, "on request_headers #");
    ng.log().wait_for(10, "on request_body #");
    ng.log().wait_for(10, "on response_headers #");
    connection.reset();
    ng.log().wait_for(30, "on delete #");
    for callback in ["create", "done", "log", "delete"] {
        ng.log().has_times(30, &format!("on {callback} #"));
    }
}

fn a_filter_closes_a_stream(engine: Engine) {
    let up = Upstream::new().ok("fine");
    let ng = nginx(engine, "request_headers: when x-close close 0", &up);
    let connection = ng.http2();
    connection.request("GET", "/").header("x-close", "1").send().response().nothing();
    ended_once(&ng.log());
    // nginx ends the connection with a stream that is closed so (NGX_HTTP_CLOSE): the next one is another.
    ng.http2().get("/").response().status(200).body("fine");
}

fn a_filter_closes_a_stream_that_has_begun(engine: Engine) {
    let up = Upstream::new();
    let tap = up.tap();
    let ng = nginx(engine, "response_body: count; nth 2 close 1", &up);
    let connection = ng.http2();
    let mut stream = connection.get("/");
    tap.send("first ");
    stream.until("first ");
    tap.send("second");
    stream.response().status(200).cut_off();
    ended_once(&ng.log());
    drop(tap);
}
