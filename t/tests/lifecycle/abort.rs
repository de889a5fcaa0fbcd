//! A client that leaves in each phase of its request.

use wasmx_t::{Connection, Engine, Nginx, Running, Upstream};

wasmx_t::on_every_engine![
    before_the_request_is_whole,
    while_the_request_headers_are_held,
    while_the_request_body_comes,
    while_the_request_body_is_held,
    while_the_upstream_is_asked,
    while_the_response_headers_are_held,
    while_the_response_body_comes,
    while_the_response_body_is_held,
    with_a_whole_chain_that_waits,
];

/// Begins a request, waits for a line of the log, leaves, and sees that its context ends once.
fn leave_at(engine: Engine, script: &str, begin: impl Fn(&Running) -> Connection, line: &str) {
    for in_order in [false, true] {
        let up = Upstream::new();
        let tap = up.tap();
        tap.send("first");
        let lines = ("proxy_buffering off;", up.pass());
        let ng = Nginx::new(engine).script("/", &format!("trace; {script}"), lines).start();
        let mut connection = begin(&ng);
        ng.log().wait(line);
        if in_order {
            connection.finish();
            drop(connection);
        } else {
            connection.reset();
        }
        ng.log().wait("on delete #");
        ng.log().in_order(&["on create #", "on done #", "on log #", "on delete #"]);
        for callback in ["create", "done", "log", "delete"] {
            ng.log().has_times(1, &format!("on {callback} #"));
        }
        drop(tap);
    }
}

fn before_the_request_is_whole(engine: Engine) {
    let ng = Nginx::new(engine).script("/", "trace", "return 200;").start();
    let mut connection = ng.connect();
    connection.send("GET / HTTP/1.1\r\nHost: loc");
    connection.reset();
    ng.get("/").status(200);
    ng.log().wait("on delete #");
    ng.log().has_times(1, "on create #").has_times(1, "on delete #");
}

fn while_the_request_headers_are_held(engine: Engine) {
    leave_at(engine, "request_headers: pause", |ng| ng.request("GET", "/").begin(), "on request_headers #");
}

fn while_the_request_body_comes(engine: Engine) {
    let begin = |ng: &Running| {
        let mut connection = ng.connect();
        connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf");
        connection
    };
    leave_at(engine, "request_body: say never", begin, "on request_headers #");
}

fn while_the_request_body_is_held(engine: Engine) {
    let begin = |ng: &Running| ng.request("POST", "/").body("hello").begin();
    leave_at(engine, "request_body: pause", begin, "on request_body #");
}

fn while_the_upstream_is_asked(engine: Engine) {
    leave_at(engine, "", |ng| ng.request("GET", "/").begin(), "on request_headers #");
}

fn while_the_response_headers_are_held(engine: Engine) {
    leave_at(engine, "response_headers: pause", |ng| ng.request("GET", "/").begin(), "on response_headers #");
}

fn while_the_response_body_comes(engine: Engine) {
    let begin = |ng: &Running| {
        let mut connection = ng.request("GET", "/").begin();
        connection.until("first");
        connection
    };
    leave_at(engine, "", begin, "on response_body #");
}

fn while_the_response_body_is_held(engine: Engine) {
    leave_at(engine, "response_body: pause", |ng| ng.request("GET", "/").begin(), "on response_body #");
}

fn with_a_whole_chain_that_waits(engine: Engine) {
    let filter = "proxy_wasm script 'response_headers: say last; pause';";
    let ng = Nginx::new(engine).script("/", "trace; request_headers: say first", (filter, "return 200;")).start();
    let connection = ng.request("GET", "/").begin();
    ng.log().wait("] last");
    connection.reset();
    ng.log().wait_for(2, "on delete #");
    for callback in ["create", "done", "log", "delete"] {
        ng.log().has_times(2, &format!("on {callback} #"));
    }
}
